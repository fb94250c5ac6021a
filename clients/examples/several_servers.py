"""Several servers that hold the same bundle: single calls take turns, a stream is worked on by all of them.

A server that drains, or is gone, is passed over until it is back. Where one name stands for all the servers,
as of a headless service in Kubernetes, give that: ``dns:///boxmask:8500``.

Usage: ``python clients/examples/several_servers.py FOLDER SERVER,SERVER[,...]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import Client, SegmentQuestion, ServerError


def main(folder: str, servers: str = "localhost:8500,localhost:8501") -> None:
    """Segments every image of a folder once by itself, and once in a stream."""
    images = sorted(Path(folder).glob("*.jpg"))
    with Client(servers) as client:
        client.wait_until_ready(timeout=10)
        for image in images:
            sys.stdout.write(f"{image}: {client.segment(image).width} pixels wide\n")
        outcomes = client.stream_segment((image, SegmentQuestion(image)) for image in images)
        failed = sum(isinstance(outcome, ServerError) for _, outcome in outcomes)
    sys.stdout.write(f"{len(images) - failed} of {len(images)} answered\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
