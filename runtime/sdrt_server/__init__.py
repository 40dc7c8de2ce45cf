"""The HTTP server of sdrt: its own API, those of OpenAI and AUTOMATIC1111, and a page."""
