"""The two converters as commands over a folder that `benchmarks.polygons.generated` wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

THEIR_SIDE: Final = Path(__file__).with_name("ultralytics_manners.py")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended by itself.

    Attributes:
        status: Its exit status.
        told: What it printed, and what it left beside its masks for people to read.
        asked: Images that the model was asked about.
        memory: Bytes that grew with the images: the greatest resident memory, or what the conversion added.
    """

    status: int
    told: str
    asked: int
    memory: int


class Side(Protocol):
    """A converter."""

    def labels(self, folder: Path) -> Path:
        """Returns where it puts label files."""

    def command(self, folder: Path) -> list[str]:
        """Returns the command that converts a folder."""

    def answered(self, folder: Path) -> int:
        """Returns how many images a run that is on its way has answers for."""

    def asked(self, folder: Path, told: str) -> int:
        """Returns how many images a run that ended asked its model about, by what it told."""

    def notes(self, folder: Path) -> str:
        """Returns what lies beside the masks about failures."""

    def memory(self, told: str, peak: int) -> int:
        """Returns what a run took: bytes, by what it told or by its greatest resident memory."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """ultralytics' function, in its own Python.

    Attributes:
        python: The Python.
        seconds: What an answer of the stand-in for SAM takes.
    """

    python: Path
    seconds: float

    def labels(self, folder: Path) -> Path:
        """Returns where it puts label files."""
        return folder / "segments"

    def command(self, folder: Path) -> list[str]:
        """Returns the command that converts a folder."""
        return [str(self.python), str(THEIR_SIDE), str(folder), str(self.seconds)]

    def answered(self, folder: Path) -> int:
        """Returns how many images a run that is on its way has answers for."""
        asked = folder / "asked.txt"
        return len(asked.read_text().splitlines()) if asked.exists() else 0

    def asked(self, folder: Path, told: str) -> int:
        """Returns how many images a run that ended asked its model about."""
        del told
        return self.answered(folder)

    def notes(self, folder: Path) -> str:
        """Returns what lies beside the masks about failures: nothing."""
        del folder
        return ""

    def memory(self, told: str, peak: int) -> int:
        """Returns the bytes that the conversion added, without what the stand-in's answers take."""
        del peak
        return int(told_by_their_side(told)["grown"])


@dataclass(frozen=True, slots=True)
class Ours:
    """``boxmask convert --to yolo``.

    Attributes:
        method: How masks are made.
    """

    method: str = "grabcut"

    def labels(self, folder: Path) -> Path:
        """Returns where it puts label files."""
        return folder / "out" / "labels"

    def command(self, folder: Path) -> list[str]:
        """Returns the command that converts a folder."""
        options = [
            "--to",
            "yolo",
            "--allow-lossy",
            "--method",
            self.method,
            "--no-report",
            "--progress",
            "json",
        ]
        engine = ["--grabcut-engine", "opencv"] if self.method == "grabcut" else []
        python = [sys.executable, "-m", "boxmask_core.cli", "convert"]
        return [*python, str(folder), str(folder / "out"), *options, *engine]

    def answered(self, folder: Path) -> int:
        """Returns how many images a run that is on its way has answers for."""
        return sum(1 for _ in folder.glob(".out.partial/**/labels/*.txt"))

    def asked(self, folder: Path, told: str) -> int:
        """Returns how many images a run that ended asked its model about."""
        del folder
        events = [json.loads(line) for line in told.splitlines() if line.startswith('{"event": "end"')]
        return sum(int(event["done"]) - int(event["reused"]) for event in events)

    def notes(self, folder: Path) -> str:
        """Returns what lies beside the masks about failures."""
        errors = folder / "out" / "errors.jsonl"
        return errors.read_text(encoding="utf-8") if errors.exists() else ""

    def memory(self, told: str, peak: int) -> int:
        """Returns the greatest resident memory of the process, bytes."""
        del told
        return peak


def told_by_their_side(told: str) -> dict[str, Any]:
    """Returns what the stand-in's process told of itself at its end."""
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


def begin(side: Side, folder: Path) -> subprocess.Popen[bytes]:
    """Starts a conversion; what it prints goes to ``told.txt`` in the folder."""
    with (folder / "told.txt").open("wb") as told:
        return subprocess.Popen(
            side.command(folder),
            stdout=told,
            stderr=subprocess.STDOUT,
            env=_environment(folder),
            cwd=folder,
            start_new_session=True,
        )


def finish(side: Side, folder: Path) -> Ended:
    """Runs a conversion to its end."""
    (folder / "asked.txt").unlink(missing_ok=True)
    process = begin(side, folder)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    told = (folder / "told.txt").read_text(encoding="utf-8", errors="replace")
    memory = side.memory(told, 1024 * usage.ru_maxrss) if process.returncode == 0 else 0
    return Ended(process.returncode, told + side.notes(folder), side.asked(folder, told), memory)


def rows(side: Side, folder: Path) -> dict[str, list[str]]:
    """Returns the rows of every label file that a conversion left, by its path without suffix."""
    root = side.labels(folder)
    return {
        file.relative_to(root).with_suffix("").as_posix(): file.read_text(encoding="utf-8").splitlines()
        for file in sorted(root.rglob("*.txt"))
    }


def _environment(folder: Path) -> Mapping[str, str]:
    return {
        **os.environ,
        "YOLO_CONFIG_DIR": str(folder.parent),
        "YOLO_OFFLINE": "true",
        "PYTHONUNBUFFERED": "1",
    }
