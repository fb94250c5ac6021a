"""A disk that is full in the middle of a conversion: a sentence, nothing that looks whole, nothing lost."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from boxmask_convert.command import main
from tests.clients.scenes import VocFolder
from tests.e2e.processes import BOXMASK, ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

# A file system of so many kilobytes, which nobody but the commands in it sees.
SCRIPT = """
set -e
mount -t tmpfs -o size={size}k tmpfs {disk}
status=0
{command} || status=$?
ls -A {disk}
mount -o remount,size=64m {disk}
{command} >&2
cp -r {disk}/out {saved}
exit $status
"""


def _may_mount() -> bool:
    mount = "mount -t tmpfs tmpfs /mnt"
    return (
        subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode
        == 0
    )


pytestmark = pytest.mark.skipif(not _may_mount(), reason="needs a mount namespace of its own")


@pytest.mark.parametrize("size", [16, 60, 120])
def test_a_conversion_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, size: int
) -> None:
    data = VocFolder(tmp_path / "data")
    for i in range(30):
        data.good(f"{i:02}", seed=i)
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.mkdir()
    common = ["--to", "labelme", "--method", "grabcut", "--no-report", "--progress", "none"]
    command = " ".join([str(BOXMASK), "convert", str(data.root), str(disk / "out"), *common])
    script = SCRIPT.format(size=size, disk=disk, saved=saved, command=command)
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert "No space left on device" in ended.stderr
    assert "the same command goes on from there" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "\nout\n" not in ended.stdout  # while the disk was full, there was no result
    whole = tmp_path / "whole"
    assert main([str(data.root), str(whole), *common]) == 0
    assert sorted(path.name for path in saved.iterdir()) == sorted(path.name for path in whole.iterdir())
    for file in (path for path in whole.rglob("*") if path.is_file() and path.name != "summary.json"):
        assert (saved / file.relative_to(whole)).read_bytes() == file.read_bytes()
    assert json.loads((saved / "summary.json").read_bytes())["images_converted"] == 30
