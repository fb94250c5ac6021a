"""From a training checkpoint to an ONNX bundle, with a parity check that can fail."""
