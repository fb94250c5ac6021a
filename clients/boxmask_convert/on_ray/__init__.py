"""The same conversion on a Ray cluster."""
