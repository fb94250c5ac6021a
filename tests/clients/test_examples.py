"""The examples run as they stand, against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.scenes import cat, jpeg

EXAMPLES = Path(__file__).parents[2] / "clients" / "examples"
ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "errors.py": (["{image}"], "INVALID_BOX"),
    "models.py": ([], "cfs: constrained-foreground-segmentation, 3 classes"),
    "pseudo_label.py": (["{image}", "cat", "40", "8", "190", "140"], "cat: "),
    "segment.py": (["{image}"], " % of the image, probability 0."),
    "stream.py": (["{folder}"], "broken.jpg: "),
}


def test_every_example_is_run() -> None:
    assert ARGUMENTS.keys() == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example(name: str, server: str, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(jpeg(cat()))
    if name == "stream.py":
        (tmp_path / "broken.jpg").write_bytes(jpeg(cat())[:5000])
    arguments, expected = ARGUMENTS[name]
    filled = [argument.format(image=tmp_path / "cat.jpg", folder=tmp_path) for argument in arguments]
    command = [sys.executable, str(EXAMPLES / name), *filled, server]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert expected in told.stdout
    assert told.stderr == ""
