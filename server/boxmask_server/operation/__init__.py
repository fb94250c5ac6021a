"""What an operator sets and sees: metrics, logs, settings."""
