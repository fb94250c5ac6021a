"""Has servers take up new versions of their bundles, while they go on answering.

The servers need ``--admin``; where they ask for tokens, this one must be marked ``admin``.

Usage: ``python clients/examples/reload.py SERVER[,SERVER...] [TOKEN]``
"""

from __future__ import annotations

import sys

from boxmask_client import Client


def main(servers: str = "localhost:8500", token: str | None = None) -> int:
    """Tells what became of each version, and fails if one cannot be used."""
    with Client(servers, token=token) as client:
        reloads = client.reload_models()
    for each in reloads:
        sys.stdout.write(f"{each.server}: {each.bundle} {each.version} {each.outcome} {each.problem}\n")
    return int(any(each.outcome == "failed" for each in reloads))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
