"""The server: engine, batcher, pipeline and the gRPC service that they answer through."""
