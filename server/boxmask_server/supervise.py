"""``boxmask serve --processes N``: a parent that starts N servers on one port, and replaces those that die.

The parent loads neither gRPC nor ONNX Runtime: whatever a native library does, it does to a child. Each child
is a whole server. One that crashes is replaced, after a pause that grows if it crashes again; where that goes
on, or one does not even start, all are ended, and whoever started the parent is told why. A child that is
told to stop (SIGTERM to it alone) drains and is replaced.

SIGTERM and SIGINT drain all, SIGHUP is passed on. A parent that is killed takes its children with it: they
drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from boxmask_core.errors import ListenError
from boxmask_server.shared_port import held_port

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE: Final = "_BOXMASK_PLACE"
"""What tells a child its place, in the environment; no operator sets it."""
LISTENING: Final = "listening on "
"""What the line begins with that a server prints when it is ready."""
PATIENCE: Final = 10.0
"""Seconds beyond the grace after which a child that does not end is killed."""
PR_SET_PDEATHSIG: Final = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the processes a server is.

    Attributes:
        index: From 0 up.
        address: Where all of them listen.
    """

    index: int
    address: str

    def metrics(self, address: str) -> str:
        """Returns where this process serves its metrics.

        Args:
            address: ``HOST:PORT`` of the first; each next one is at the next port. Port 0 stays 0.
        """
        host, _, port = address.rpartition(":")
        return address if not port.isdecimal() or port == "0" else f"{host}:{int(port) + self.index}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How many crashes are borne.

    Attributes:
        crashes: Of one place, within the window; one more ends all.
        window: Seconds.
        pause: Seconds before the second start in a row; each next pause is twice as long.
        longest_pause: Seconds.
    """

    crashes: int = 5
    window: float = 60.0
    pause: float = 0.2
    longest_pause: float = 5.0


def place() -> Place | None:
    """Returns the place of this process under a supervisor; None where there is none.

    From then on this process is told to stop when its supervisor dies.
    """
    text = os.environ.pop(VARIABLE, None)  # what this process starts has no place
    if text is None:
        return None
    fields = json.loads(text)
    _stop_with(fields.pop("parent"))
    return Place(**fields)


def run(
    command: Sequence[str], *, listen: str, processes: int, grace: float, patience: Patience | None = None
) -> int:
    """Runs servers until SIGTERM or SIGINT, then drains them.

    Args:
        command: Starts one server, which asks for its `place`.
        listen: ``HOST:PORT``, or ``unix:PATH`` for one process.
        processes: How many.
        grace: Seconds that the drain of one may take.
        patience: How many crashes are borne.

    Returns:
        The exit status: 0 after a drain; that of the first to fail where they do not start; 1 where one goes
        on crashing, or did not drain.

    Raises:
        ListenError: The address is malformed or taken, or several processes cannot share it.
    """
    if not listen.startswith("unix:"):
        with held_port(listen) as address:
            return asyncio.run(_Supervisor(command, address, processes, grace, patience).run())
    if processes > 1:
        raise ListenError(
            listen, f"{processes} processes cannot share a Unix socket; use HOST:PORT, or one process"
        )
    return asyncio.run(_Supervisor(command, listen, processes, grace, patience).run())


class _Supervisor:
    def __init__(
        self, command: Sequence[str], address: str, processes: int, grace: float, patience: Patience | None
    ) -> None:
        self._command = command
        self._address = address
        self._processes = processes
        self._grace = grace
        self._patience = patience or Patience()
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._listening: set[int] = set()
        self._announced = False
        self._stopping = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on_hangup)
        async with asyncio.TaskGroup() as group:
            for index in range(self._processes):
                group.create_task(self._keep(index))
        return self._status

    async def _keep(self, index: int) -> None:
        """Runs one child after the other, until all is to end."""
        crashes: deque[float] = deque()
        while not self._stopping.is_set():
            listened, status = await self._one_life(index)
            if self._stopping.is_set():
                self._conclude(index, status)
            elif not self._announced:
                self._give_up(index, status, "before all were ready; what it said is above", status)
            elif status == 0 and listened:
                logger.info("process %d was told to stop; starting it again", index)
            else:
                crashes.append(time.monotonic())
                await self._after_crash(index, status, crashes)

    async def _one_life(self, index: int) -> tuple[bool, int]:
        """Runs a child to its end; returns whether it ever listened, and its exit status."""
        seat = asdict(Place(index, self._address)) | {"parent": os.getpid()}
        child = await asyncio.create_subprocess_exec(
            *self._command,
            env=os.environ | {VARIABLE: json.dumps(seat)},
            stdout=asyncio.subprocess.PIPE,
            process_group=0,  # an interrupt from the keyboard is the parent's to pass on, once
        )
        self._children[index] = child
        if self._stopping.is_set():  # it was being started when the others were told
            child.terminate()
        reading = asyncio.create_task(self._read(index, child))
        status = await child.wait()
        del self._children[index]
        with contextlib.suppress(TimeoutError):  # what it started itself may hold the pipe open
            await asyncio.wait_for(reading, 1)
        listened = index in self._listening
        self._listening.discard(index)
        return listened, status

    async def _read(self, index: int, child: asyncio.subprocess.Process) -> None:
        """Reads what a child prints: passes it on, but for the line that it is ready."""
        assert child.stdout is not None
        async for line in child.stdout:
            if not line.startswith(LISTENING.encode()):
                sys.stdout.write(line.decode(errors="replace"))
                sys.stdout.flush()
                continue
            self._listening.add(index)
            logger.info("process %d is ready (pid %d)", index, child.pid)
            if len(self._listening) == self._processes and not self._announced:
                self._announced = True
                sys.stdout.write(f"{LISTENING}{self._address}\n")
                sys.stdout.flush()

    async def _after_crash(self, index: int, status: int, crashes: deque[float]) -> None:
        patience = self._patience
        while crashes[0] < crashes[-1] - patience.window:
            crashes.popleft()
        if len(crashes) > patience.crashes:
            self._give_up(index, status, f"and has crashed {len(crashes)} times in {patience.window:g} s", 1)
            return
        pause = min(patience.pause * 2 ** (len(crashes) - 1), patience.longest_pause)
        logger.error("process %d %s; starting it again in %g s", index, _told(status), pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause)

    def _stop(self) -> None:
        if self._stopping.is_set():
            return
        logger.info("draining %d processes, at most %g s", len(self._children), self._grace)
        self._stopping.set()
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._grace + PATIENCE, self._signal, signal.SIGKILL)

    def _pass_on_hangup(self) -> None:
        # Who does not listen yet does not know the signal yet either, and reads its files afterwards.
        for index in self._listening:
            self._children[index].send_signal(signal.SIGHUP)

    def _give_up(self, index: int, status: int, why: str, exit_status: int) -> None:
        logger.critical("process %d %s %s; ending all", index, _told(status), why)
        self._status = exit_status if exit_status > 0 else 1
        self._stop()

    def _conclude(self, index: int, status: int) -> None:
        """Notes how a child ended that was told to. Before it knows the signal, the signal itself ends it."""
        if status not in {0, -signal.SIGTERM}:
            logger.error("process %d %s instead of draining", index, _told(status))
            self._status = self._status or 1

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children.values():
            child.send_signal(number)


def _told(status: int) -> str:
    return f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"


def _stop_with(parent: int) -> None:
    """Has this process told to stop when its parent dies (Linux), or at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)
