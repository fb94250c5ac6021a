"""Training of boxmask's networks in PyTorch."""
