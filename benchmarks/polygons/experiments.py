"""What is done to a converter to see how it behaves."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from benchmarks.polygons.generated import Ellipse, random_ellipses, write_folder
from benchmarks.polygons.sides import begin, finish, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.polygons.sides import Side

PATIENCE_SECONDS: Final = 120
FIRST, SECOND = Ellipse(30, 40, 14, 18, class_index=0), Ellipse(65, 50, 16, 12, class_index=1)


class Experiments:
    """What is done to a converter; each experiment has a folder of its own.

    Args:
        side: The converter.
        scratch: An empty folder.
        count: Images of the larger experiments.
    """

    def __init__(self, side: Side, scratch: Path, count: int) -> None:
        self._side = side
        self._scratch = scratch
        self._count = count
        self.ratios: dict[str, float] = {}

    def outcomes(self) -> dict[str, str]:
        """Does everything; returns what happened, by what was done."""
        return {
            "killed half way": self.killed(),
            "run twice": self.twice(),
            "an image without boxes": self.empty(),
            "the model finds nothing for the first of two boxes": self.unanswered(),
            "one of three images is broken": self.broken(),
            "two images of one name in two folders": self.same_names(),
        }

    def killed(self) -> str:
        """Kills a run by SIGKILL when half of the images are answered, and runs it again."""
        folder = self._folder("killed", _many(self._count))
        process = begin(self._side, folder)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._side.answered(folder) < self._count / 2:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"it did not get half way: {(folder / 'told.txt').read_text()}")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        answered, files = self._side.answered(folder), len(rows(self._side, folder))
        again = finish(self._side, folder)
        self.ratios["kept"] = min((self._count - again.asked) / answered, 1.0)
        return (
            f"killed with {answered} of {self._count} answers, {files} label files; "
            f"then asked about {again.asked}, and wrote {len(rows(self._side, folder))} files"
        )

    def twice(self) -> str:
        """Runs the same command twice."""
        folder = self._folder("twice", _many(self._count))
        finish(self._side, folder)
        first = rows(self._side, folder)
        again = finish(self._side, folder)
        second = rows(self._side, folder)
        self.ratios["asked_again"] = again.asked / self._count
        counts = [sum(map(len, files.values())) for files in (first, second)]
        return f"asked about {again.asked} of {self._count} again; {counts[0]} rows became {counts[1]}"

    def empty(self) -> str:
        """Converts an image that shows nothing, beside one that does."""
        folder = self._folder("empty", {"full": [FIRST], "nothing": []})
        finish(self._side, folder)
        found = rows(self._side, folder)
        return f"{len(found['nothing'])} rows" if "nothing" in found else "no label file"

    def unanswered(self) -> str:
        """Has the model find nothing for a cat; a dog beside it has a mask."""
        folder = self._folder("unanswered", {"pair": [FIRST, SECOND]}, frozenset({FIRST}))
        ended = finish(self._side, folder)
        written = [row.split()[0] for row in rows(self._side, folder)["pair"]]
        return f"status {ended.status}, classes of the rows: {', '.join(written) or 'none'} (boxes: 0, 1)"

    def broken(self) -> str:
        """Cuts one image off after its header."""
        folder = self._folder("broken", {"a": [FIRST], "b": [SECOND], "cut": [FIRST, SECOND]})
        picture = folder / "images" / "cut.png"
        picture.write_bytes(picture.read_bytes()[:60])
        ended = finish(self._side, folder)
        named = "named" if "cut" in ended.told else "not named"
        return f"status {ended.status}, {len(rows(self._side, folder))} files, the image is {named}"

    def same_names(self) -> str:
        """Converts ``a/same`` and ``b/same``."""
        folder = self._folder("same", {"a/same": [FIRST], "b/same": [SECOND]})
        finish(self._side, folder)
        return f"{len(rows(self._side, folder))} label files"

    def kib_an_image(self, many: int) -> float:
        """Returns what an image adds to the resident memory, KiB."""
        few = many // 10
        first, last = (
            finish(self._side, self._folder(f"memory-{count}", _many(count))).memory for count in (few, many)
        )
        return (last - first) / (many - few) / 1024

    def _folder(
        self, name: str, images: dict[str, Sequence[Ellipse]], unanswered: frozenset[Ellipse] = frozenset()
    ) -> Path:
        folder = self._scratch / name
        folder.mkdir(parents=True)
        write_folder(folder, images, unanswered)
        return folder


def _many(count: int) -> dict[str, Sequence[Ellipse]]:
    return {f"{index:06}": [ellipse] for index, ellipse in enumerate(random_ellipses(count))}
