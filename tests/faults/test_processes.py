"""A server process of several is killed."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_client import Client
from boxmask_client.errors import ServerError
from tests.faults.servers import Server, serving, until
from tests.server.pictures import CAT, EAR, png

if TYPE_CHECKING:
    from boxmask_client import Answer

KILLS, CALLERS = 2, 3


def test_every_call_of_a_client_that_tries_again_is_answered_while_processes_are_killed(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with serving(tiny_bundle, tmp_path, "--processes", "2", "--workers", "1") as server:
        with Client(server.address) as client:
            undisturbed = said(client.pseudo_label(png("cat"), [CAT, EAR]))
        over = threading.Event()
        wrong: list[object] = []
        calls: list[int] = []

        def caller() -> None:
            while not over.is_set():
                # A new connection each time: it may lead to either process.
                with Client(server.address) as client:
                    for _ in range(5):
                        try:
                            if said(client.pseudo_label(png("cat"), [CAT, EAR])) != undisturbed:
                                wrong.append("another answer")
                        except ServerError as error:
                            wrong.append(error)
                        calls.append(1)

        threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for kill in range(KILLS):
            os.kill(min(children(server)), signal.SIGKILL)
            until(partial(has_started, server, 2 + kill + 1))
        asked = len(calls)
        until(lambda: len(calls) > asked + 20)
        over.set()
        for thread in threads:
            thread.join()
        assert not wrong
        log = server.log.read_text(encoding="utf-8")
        assert log.count("was killed by SIGKILL; starting it again") == KILLS
        last = children(server)
    assert not any(Path(f"/proc/{pid}").exists() for pid in last)


def has_started(server: Server, processes: int) -> bool:
    """Tells whether a supervisor has seen so many processes ready, those that are gone among them."""
    return server.log.read_text(encoding="utf-8").count("is ready (pid ") == processes


def children(server: Server) -> set[int]:
    """Returns the pids of a supervisor's processes."""
    pid = server.process.pid
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return {int(word) for word in text.split()}


def said(answer: Answer) -> tuple[object, ...]:
    """Returns all that an answer says, but for the timings."""
    masks = tuple((mask.proposal.window, mask.proposal.mask.tobytes(), mask.quality) for mask in answer.masks)
    assert answer.label_map is not None
    return masks, answer.label_map.tobytes(), answer.class_names, answer.model_digest
