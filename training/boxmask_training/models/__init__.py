"""The networks, one file per part, named after it."""
