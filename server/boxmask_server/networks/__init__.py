"""The networks in ONNX Runtime: which device, which threads. It knows nothing of files, requests or gRPC."""
