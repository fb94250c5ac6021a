"""The service against the bare engine, under overload, and with two priorities at once."""
