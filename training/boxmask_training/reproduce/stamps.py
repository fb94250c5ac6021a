"""What is done: a stamp for every step that succeeded, which no longer counts when anything changed."""

from __future__ import annotations

import json
import logging
import shutil
from typing import TYPE_CHECKING

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.errors import DatasetError
from boxmask_training.reproduce.step import content_digest, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from boxmask_training.reproduce.step import Step


log = logging.getLogger(__name__)


class Stamps:
    """The record of a reproduction, in a folder: for every step its log and two small files.

    ``STEP.key`` is written when the step starts: what lies at its output belongs to that key. ``STEP.done``
    is written when it has succeeded, with the key and the digest of the product.

    Args:
        folder: Where the record lies.
        steps: All steps, in the order of the plan.

    Raises:
        DatasetError: An image set cannot be read.
    """

    def __init__(self, folder: Path, steps: tuple[Step, ...]) -> None:
        self._folder = folder
        self._steps = {step.name: step for step in steps}
        self._keys = keys_of(steps)

    def log(self, step: Step) -> Path:
        """Returns the file that holds what the step's command says."""
        return self._file(step, "log")

    def is_current(self, step: Step) -> bool:
        """Says whether the step succeeded, and nothing that it depends on has changed since."""
        return self._done_digest(step) is not None

    def is_done(self, step: Step) -> bool:
        """Says whether the step is current and its product is still what it made."""
        digest = self._done_digest(step)
        return digest is not None and digest == content_digest(step.product)

    def missing(self, targets: Iterable[str]) -> tuple[Step, ...]:
        """Returns the steps to carry out, in the order of the plan.

        What lies behind a target that is done may be missing: large intermediates may be deleted.

        Args:
            targets: Names of the steps whose products are wanted.
        """
        wanted: set[str] = set()
        seen: set[str] = set()
        left = list(targets)
        while left:
            name = left.pop()
            if name not in seen and not self.is_done(self._steps[name]):
                wanted.add(name)
                left.extend(self._steps[name].after)
            seen.add(name)
        return tuple(step for name, step in self._steps.items() if name in wanted)

    def begin(self, step: Step) -> None:
        """Makes way for the step; what it had begun with the same key stays where it can go on from there.

        Raises:
            DatasetError: Something lies at the step's output that no step has made.
        """
        key_file = self._file(step, "key")
        begun = key_file.read_text(encoding="ascii") if key_file.is_file() else None
        if step.output.exists():
            if begun is None:
                raise DatasetError(step.output, "is there, and no step has made it; name another --out")
            if not (step.resumes and begun == self._keys[step.name] and not self.is_current(step)):
                log.info(
                    "%s: what %s holds is of other settings, or half done; it makes way",
                    step.name,
                    step.output,
                )
                _remove(step.output)
        self._file(step, "done").unlink(missing_ok=True)
        write_bytes_atomically(key_file, self._keys[step.name].encode())
        step.output.parent.mkdir(parents=True, exist_ok=True)

    def finish(self, step: Step, seconds: float) -> None:
        """Stamps the step as done.

        Raises:
            DatasetError: Its product is not there.
        """
        digest = content_digest(step.product)
        if digest is None:
            raise DatasetError(step.product, f"step {step.name} should have made it; see {self.log(step)}")
        stamp = {"key": self._keys[step.name], "product": digest, "seconds": round(seconds, 1)}
        write_bytes_atomically(self._file(step, "done"), json.dumps(stamp).encode() + b"\n")

    def _done_digest(self, step: Step) -> str | None:
        """Returns the digest of the product that a stamp with the step's key records."""
        file = self._file(step, "done")
        if not file.is_file():
            return None
        stamp = json.loads(file.read_bytes())
        return str(stamp["product"]) if stamp["key"] == self._keys[step.name] else None

    def _file(self, step: Step, suffix: str) -> Path:
        return self._folder / f"{step.name}.{suffix}"


def _remove(output: Path) -> None:
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink()
