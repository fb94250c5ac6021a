"""How far a run is: a bar for people at a terminal, one line of JSON every few seconds for programs."""

from __future__ import annotations

import json
import sys
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from types import TracebackType

ProgressStyle = Literal["auto", "bar", "json", "none"]
EVERY_SECONDS: Final = 5.0


class Progress(Protocol):
    """Is told of every image; a context manager."""

    def advance(self, *, reused: bool, failed: bool) -> None:
        """Counts an image.

        Args:
            reused: Whether its answer was in the journal.
            failed: Whether it, or a box of it, failed.
        """

    def __enter__(self) -> Self:
        """Returns the progress, begun."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it."""


def open_progress(style: ProgressStyle, total: int, stream: TextIO | None = None) -> Progress:
    """Returns the progress of a run.

    Args:
        style: "auto" is a bar on a terminal and JSON elsewhere.
        total: Images.
        stream: Where it is written; None is the standard error, so that the outcome on the standard output
            can be read alone.
    """
    stream = stream or sys.stderr
    if style == "auto":
        style = "bar" if stream.isatty() else "json"
    if style == "bar":
        return _Bar(total, stream)
    return _Events(total, stream) if style == "json" else _Nothing()


class _Nothing:
    def advance(self, *, reused: bool, failed: bool) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class _Bar(_Nothing):
    def __init__(self, total: int, stream: TextIO) -> None:
        # With earlier answers first, the mean since the beginning would promise too early an end.
        self._bar = tqdm(total=total, unit="img", file=stream, smoothing=0.05)
        self._failed = 0

    def advance(self, *, reused: bool, failed: bool) -> None:  # noqa: ARG002 - tqdm shows one speed
        if failed:
            self._failed += 1
            self._bar.set_postfix(failed=self._failed, refresh=False)
        self._bar.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


class _Events(_Nothing):
    """Events ``progress`` and ``end``: images in all, done, reused, failed; seconds, and seconds left."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._stream = stream
        self._total = total
        self._done = self._reused = self._failed = 0
        self._start = self._told = monotonic()

    def advance(self, *, reused: bool, failed: bool) -> None:
        self._done += 1
        self._reused += reused
        self._failed += failed
        if monotonic() - self._told >= EVERY_SECONDS:
            self._tell("progress")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell("end")

    def _tell(self, event: str) -> None:
        self._told = monotonic()
        seconds = self._told - self._start
        fresh = self._done - self._reused
        rate = fresh / seconds if seconds > 0 else 0.0
        fields: dict[str, object] = {
            "event": event,
            "images": self._total,
            "done": self._done,
            "reused": self._reused,
            "failed": self._failed,
            "seconds": round(seconds, 1),
            "images_per_second": round(rate, 2),
            "seconds_left": round((self._total - self._done) / rate, 1) if rate > 0 else None,
        }
        self._stream.write(json.dumps(fields) + "\n")
        self._stream.flush()
