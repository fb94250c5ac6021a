"""Options that the commands share: where the networks run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_network_options(group: argparse._ArgumentGroup) -> None:
    """Adds ``--bundle``, ``--server``, ``--device`` and ``--workers``."""
    where = group.add_mutually_exclusive_group()
    where.add_argument("--bundle", type=Path, metavar="DIR", help="the networks (default: boxmask's own)")
    where.add_argument("--server", metavar="ADDRESS", help="ask a server: HOST:PORT or unix:PATH")
    group.add_argument("--device", choices=["auto", "cpu", "cuda"], help="where they run (default: auto)")
    group.add_argument("--workers", type=positive, metavar="N", help="threads (default: one per core)")


def check_network_options(
    parser: argparse.ArgumentParser, options: argparse.Namespace, *engines: str
) -> None:
    """Ends the command where an option would be without effect.

    Args:
        parser: The command line.
        options: What it read.
        engines: Names of the options that choose who computes what.
    """
    given = [name for name in ("device", "workers", *engines) if getattr(options, name) is not None]
    if options.server is not None and given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        parser.error(f"the server chooses that itself: leave out {flags}, or leave out --server")


def positive(text: str) -> int:
    """Reads a number of at least 1.

    Raises:
        ArgumentTypeError: It is smaller.
        ValueError: It is no number.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, but got {value}")
    return value
