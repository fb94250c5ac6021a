"""The wire contract of boxmask; one package per version."""
