"""Carries out steps: each in a process of its own, several side by side, each as soon as it can."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from boxmask_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from boxmask_training.reproduce.stamps import Stamps
    from boxmask_training.reproduce.step import Step

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.1
GRACE_SECONDS: Final = 20.0
TAIL_LINES: Final = 20
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Running:
    """A step that is under way.

    Attributes:
        process: Its process.
        since: When it started, seconds of the monotonic clock.
    """

    process: subprocess.Popen[bytes]
    since: float


def carry_out(
    steps: tuple[Step, ...],
    stamps: Stamps,
    *,
    jobs: int,
    threads: int,
    lock: int,
    finished: Callable[[Step], None],
) -> None:
    """Carries out steps; of those that can start, the plan's first come first.

    Args:
        steps: The steps that are not done, in the order of the plan.
        stamps: The record.
        jobs: How many run side by side.
        threads: Threads of each.
        lock: Descriptor of the lock on the folder, as `locked` gives it. The processes share it, so that the
            folder stays locked while one of them outlives this process.
        finished: Is told of every step that succeeded.

    Raises:
        TrainingError: A step failed. Nothing new is started then, and what runs is stopped, to go on next
            time.
        DatasetError: Something lies where a step wants to write.
    """
    waiting = list(steps)
    unfinished = {step.name for step in steps}
    running: dict[Step, Running] = {}
    try:
        while waiting or running:
            ready = [step for step in waiting if unfinished.isdisjoint(step.after)]
            for step in ready[: jobs - len(running)]:
                waiting.remove(step)
                running[step] = _start(step, stamps, threads, lock)
            time.sleep(POLL_SECONDS)
            for step in [step for step, run in running.items() if run.process.poll() is not None]:
                _conclude(step, running.pop(step), stamps)
                unfinished.discard(step.name)
                finished(step)
                log.info("%s is done, %d to go", step.name, len(unfinished))
    finally:
        for run in running.values():
            _stop(run.process)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Holds the lock of a folder, which is made if it is missing; yields the lock's descriptor.

    Raises:
        TrainingError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise TrainingError(
            f"another reproduction, or a step that it left running, works in {folder}; wait for it or stop it"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Makes a SIGTERM end the block as Ctrl-C does, so that what runs is stopped with this process."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(step: Step, stamps: Stamps, threads: int, lock: int) -> Running:
    stamps.begin(step)
    file = stamps.log(step)
    file.parent.mkdir(parents=True, exist_ok=True)
    log.info("%s starts; it tells %s", step.name, file)
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = step.command()
    with file.open("ab") as stream:
        stream.write(f"$ {shlex.join(['boxmask', *command])}\n".encode())
        stream.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "boxmask_core.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(lock,),
            process_group=0,  # so that processes that it starts can be stopped with it
        )
    return Running(process, time.monotonic())


def _conclude(step: Step, run: Running, stamps: Stamps) -> None:
    status = run.process.returncode
    if status != 0:
        file = stamps.log(step)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        log.error("the end of %s:\n%s", file, "\n".join(lines[-TAIL_LINES:]))
        raise TrainingError(
            f"step {step.name} failed with exit status {status}; mend what {file} names, then give the same "
            "command again"
        )
    stamps.finish(step, time.monotonic() - run.since)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
