"""One server, several bundles, several versions of each: which network answers.

Usage: ``python clients/examples/bundles.py IMAGE [SERVER]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import Client


def main(image: str, server: str = "localhost:8500") -> None:
    """Asks every segmentation network that the server holds, then whichever the server takes by itself."""
    with Client(server) as client:
        for model in client.models():
            if model.task == "semantic-segmentation":
                answer = client.segment(Path(image), bundle=model.bundle, version=model.version)
                sys.stdout.write(f"{answer.bundle} {answer.version}: {len(answer.classes)} classes\n")
        answer = client.segment(Path(image))
        sys.stdout.write(f"by itself: {answer.bundle} {answer.version}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
