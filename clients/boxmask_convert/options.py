"""Options that the commands share: where the networks run."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from boxmask_client.targets import split
from boxmask_convert.server_access import ServerAccess

N = TypeVar("N", int, float)
TLS_FILES: Final = {
    "ca": "PEM certificates to trust",
    "cert": "PEM certificate to show",
    "key": "its private key",
}


def add_network_options(group: argparse._ArgumentGroup) -> None:
    """Adds ``--bundle``, ``--device``, ``--workers``, ``--server`` and what belongs to it."""
    where = group.add_mutually_exclusive_group()
    where.add_argument("--bundle", type=Path, metavar="DIR", help="the networks (default: boxmask's own)")
    where.add_argument(
        "--server", metavar="ADDRESS", help="ask a server: HOST:PORT or unix:PATH; several: A,B"
    )
    for name, what in TLS_FILES.items():
        group.add_argument(f"--tls-{name}", type=Path, metavar="FILE", help=f"of a server with TLS: {what}")
    group.add_argument(
        "--patience",
        type=_seconds,
        metavar="SECONDS",
        help="how long a server that is gone is waited for (default: 30)",
    )
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


def server_access(parser: argparse.ArgumentParser, options: argparse.Namespace) -> ServerAccess | None:
    """Returns how the server is reached, None where there is none; ends the command where that is wrong.

    Args:
        parser: The command line.
        options: What it read.
    """
    files = {name: getattr(options, f"tls_{name}") for name in TLS_FILES}
    given = [f"--tls-{name}" for name, file in files.items() if file is not None]
    given += ["--patience"] if options.patience is not None else []
    if options.server is None:
        if given:
            parser.error(f"without --server leave out {', '.join(given)}")
        return None
    try:
        split(options.server)
    except ValueError as error:
        parser.error(f"--server: {error}")
    if (files["cert"] is None) != (files["key"] is None):
        parser.error("--tls-cert and --tls-key go together")
    if files["cert"] is not None and files["ca"] is None:
        parser.error("--tls-cert needs --tls-ca: whom to trust")
    for flag, file in zip(TLS_FILES, files.values(), strict=True):
        if file is not None and not file.is_file():
            parser.error(f"--tls-{flag}: there is no file {file}")
    access = ServerAccess(options.server, **files)
    return access if options.patience is None else replace(access, patience=options.patience)


def _seconds(text: str) -> float:
    value = number(text, float)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds from 0 up, but got {value:g}")
    return value


def positive(text: str) -> int:
    """Reads a number of at least 1.

    Raises:
        ArgumentTypeError: It is smaller, or no number.
    """
    value = number(text, int)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, but got {value}")
    return value


def number(text: str, kind: type[N]) -> N:
    """Reads a number of a command line.

    Args:
        text: What was given.
        kind: int or float.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        return kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"expected {what}, but got {text!r}") from error
