"""From questions to answers: batches, the host pool and the two pipelines. It knows nothing of gRPC."""
