"""One ONNX model of a whole run: ids, noise and guidance in, pictures out, in one call."""
