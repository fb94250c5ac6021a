"""What a server holds, and what it takes.

Usage: ``python clients/examples/models.py [SERVER]``
"""

from __future__ import annotations

import sys

from boxmask_client import Client


def main(server: str = "localhost:8500") -> None:
    """Waits for the server, and lists its networks."""
    with Client(server) as client:
        client.wait_until_ready(timeout=10)
        for model in client.models():
            sys.stdout.write(
                f"{model.name}: {model.task}, {len(model.class_names)} classes, {model.provider}\n"
                f"  of bundle {model.bundle!r}, version {model.version}\n"
                f"  trained on {model.training_data} ({model.license})\n"
                f"  images of at most {model.limits.max_pixels} pixels and {model.limits.max_boxes} boxes\n"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
