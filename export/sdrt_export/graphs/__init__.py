"""Networks to ONNX and OpenVINO IR, each checked against torch."""
