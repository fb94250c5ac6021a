"""How a run that ends early says so, and what is kept of it."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from boxmask_client import UnavailableError
from boxmask_convert.result.stage import hidden_folder
from boxmask_core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boxmask_convert.settings import Settings


@contextmanager
def told_endings(settings: Settings) -> Iterator[None]:
    """Adds to whatever ends the block early what was kept, and what to do.

    A request to terminate ends it as Ctrl-C does, so that nothing unfinished is left.

    Raises:
        OutputError: The system refused to write.
        UnavailableError: The server cannot be reached.
        KeyboardInterrupt: The run was interrupted.
    """
    try:
        with _terminated_as_interrupted():
            yield
    except OSError as error:
        pipe = isinstance(error, BrokenPipeError)
        raise OutputError(
            "the standard output" if pipe else settings.out, error, _kept(settings.out)
        ) from error
    except UnavailableError as error:
        address = settings.server.address if settings.server is not None else ""
        problem = f"the server {address} cannot be reached ({error.args[0]}); start it, or name another"
        if kept := _kept(settings.out):
            problem += f". {kept}, with this server, another, or none"
        told = UnavailableError(error.code, error.reason, problem)
        told.request_id = error.request_id
        raise told from error
    except KeyboardInterrupt:
        kept = _kept(settings.out) or "Nothing was answered yet"
        sys.stderr.write(f"\nboxmask: interrupted. {kept}\n")
        raise


def _kept(out: Path) -> str:
    """Returns a sentence on the journal of a run that ended; empty where there is none."""
    if not (hidden_folder(out) / "journal").exists():
        return ""
    return f"What was answered is kept beside {out}: the same command goes on from there"


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
