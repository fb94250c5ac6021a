"""What is said over gRPC: the services, the border between messages and values, the table of errors."""
