"""OpenAI's API for pictures, below `/v1` and, as OpenVINO Model Server has it, `/v3`."""
