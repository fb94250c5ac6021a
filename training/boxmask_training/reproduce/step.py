"""One step of a reproduction: a public command, what it depends on, and what it makes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from boxmask_core.bundle import file_digest
from boxmask_core.formats.keys import listed_keys
from boxmask_core.images import IMAGE_SUFFIXES

_SUFFIXES = (*IMAGE_SUFFIXES, ".xml")


@dataclass(frozen=True, slots=True)
class Files:
    """Files of a dataset that a step reads: those of the images of an image set.

    Attributes:
        image_set: File of image keys, one a line.
        folders: Where the files lie, named after their image.
    """

    image_set: Path
    folders: tuple[Path, ...]

    def digest(self) -> str:
        """Returns a digest of the files' names below their folder and of their content, wherever they lie.

        Raises:
            DatasetError: The image set cannot be read.
        """
        digest = hashlib.sha256()
        for key in listed_keys(self.image_set):
            digest.update(f"{key}\n".encode())
            for path in (folder / f"{key}{suffix}" for folder in self.folders for suffix in _SUFFIXES):
                if path.is_file():
                    digest.update(f"{path.parent.name} {path.suffix} {file_digest(path)}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command.

    Attributes:
        name: Its name, folders joined by ``/``.
        words: The command, after ``boxmask``. A `Path` is a place: where things lie does not matter to what
            is computed, so it does not enter the step's key.
        placement: More of the command that does not enter the key: device, threads.
        facts: What the command depends on and does not spell out, such as the settings of a config.
        files: What it reads of the dataset.
        after: Names of the steps whose products it reads.
        output: What it writes: a file, or a folder of its own.
        product: The part of the output that other steps read, the output itself or inside it.
        resumes: Whether the command, given again, goes on where it was stopped.
    """

    name: str
    words: tuple[str | Path, ...]
    output: Path
    product: Path
    placement: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    files: tuple[Files, ...] = ()
    after: tuple[str, ...] = ()
    resumes: bool = False

    def command(self) -> tuple[str, ...]:
        """Returns the whole command, after ``boxmask``."""
        return (*map(str, self.words), *self.placement)

    def meaning(self) -> str:
        """Returns what of the command, its places left out, decides about its product."""
        words = [None if isinstance(word, Path) else word for word in self.words]
        return json.dumps([words, self.facts])


def keys_of(steps: tuple[Step, ...]) -> dict[str, str]:
    """Returns the key of every step; where keys are equal, products are.

    A key is a digest of the step's meaning, of the files that it reads, and of the keys of the steps before.

    Args:
        steps: The steps, each after those whose products it reads.

    Raises:
        DatasetError: An image set cannot be read.
    """
    files: dict[Files, str] = {}
    keys: dict[str, str] = {}
    for step in steps:
        for part in step.files:
            if part not in files:
                files[part] = part.digest()
        facts = [step.meaning(), *(files[part] for part in step.files), *(keys[name] for name in step.after)]
        keys[step.name] = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return keys


def content_digest(path: Path) -> str | None:
    """Returns a digest of a file's content, or of a folder's files' names and content; None where none is."""
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file_digest(file)}\n".encode())
    return digest.hexdigest()
