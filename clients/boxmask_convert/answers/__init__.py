"""Answers, each asked for once: their keys, the journal, and the asking."""
