"""The whole chain, from boxes to a table beside the paper's: a plan of public commands, and its runner."""
