"""Benchmarks: each prints a table and, as its last line, JSON with ratios against a peer of the same run."""
