"""Who makes the masks: this process or a server."""
