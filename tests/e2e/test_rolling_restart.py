"""Two servers that restart one after the other, while clients of both ask on: no call fails."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from boxmask_client import Answer, AsyncClient, Client, Question, Segmentation
from tests.clients.scenes import CAT, EAR, cat, png
from tests.clients.serving_process import ServingProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from boxmask_core.bundle import Bundle

ROUNDS = 2
IMAGE = png(cat())
QUESTION = Question(IMAGE, [CAT, EAR], label_map=False)


class Asker:
    """Asks in a thread of its own, until it is told to stop or an answer is wrong."""

    def __init__(self, ask: Callable[[threading.Event], Iterator[object]], expected: type) -> None:
        self.answers = 0
        self.problem: object = None
        self._stop = threading.Event()
        self._ask = ask
        self._expected = expected
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(60)
        if self._thread.is_alive():
            frame = sys._current_frames()[self._thread.ident or 0]
            self.problem = "it does not end: " + "".join(traceback.format_stack(frame))

    def _run(self) -> None:
        try:
            for answer in self._ask(self._stop):
                if not isinstance(answer, self._expected):
                    self.problem = answer
                    return
                self.answers += 1
        except Exception as error:  # crosses to the test, and is shown there
            self.problem = error


def _singly(addresses: str) -> Callable[[threading.Event], Iterator[object]]:
    def ask(stop: threading.Event) -> Iterator[object]:
        with Client(addresses) as client:
            while not stop.is_set():
                yield client.pseudo_label(IMAGE, [CAT, EAR])

    return ask


def _streaming(addresses: str) -> Callable[[threading.Event], Iterator[object]]:
    def ask(stop: threading.Event) -> Iterator[object]:
        with Client(addresses) as client:
            questions = itertools.takewhile(lambda _: not stop.is_set(), itertools.count())
            keys = set()
            for key, outcome in client.stream_pseudo_label((i, QUESTION) for i in questions):
                yield outcome
                assert key not in keys, f"the question {key} was answered twice"
                keys.add(key)
            assert keys == set(range(len(keys))), "a question was not answered"

    return ask


def _in_a_loop(
    addresses: str, asking: Callable[[AsyncClient, threading.Event], AsyncIterator[object]]
) -> Callable[[threading.Event], Iterator[object]]:
    def ask(stop: threading.Event) -> Iterator[object]:
        async def drawn() -> list[object]:
            async with AsyncClient(addresses) as client:
                return [answer async for answer in asking(client, stop)]

        yield from asyncio.run(drawn())

    return ask


async def _segmenting(client: AsyncClient, stop: threading.Event) -> AsyncIterator[object]:
    while not stop.is_set():
        for answer in await asyncio.gather(*(client.segment(IMAGE) for _ in range(2))):
            yield answer


async def _streaming_in_a_loop(client: AsyncClient, stop: threading.Event) -> AsyncIterator[object]:
    questions = itertools.takewhile(lambda _: not stop.is_set(), itertools.count())
    async for _, outcome in client.stream_pseudo_label((i, QUESTION) for i in questions):
        yield outcome


@contextmanager
def _two(bundle: Path, folder: Path) -> Iterator[tuple[ServingProcess, ServingProcess]]:
    folders = folder / "one", folder / "two"
    for each in folders:
        each.mkdir()
    servers = ServingProcess(bundle, folders[0]), ServingProcess(bundle, folders[1])
    for server in servers:
        server.start()
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


@pytest.mark.slow
def test_servers_that_restart_one_after_the_other_fail_no_call(bundle: Bundle, tmp_path: Path) -> None:
    with _two(bundle.root, tmp_path) as servers:
        addresses = ",".join(server.address for server in servers)
        askers = {
            "single": Asker(_singly(addresses), Answer),
            "stream": Asker(_streaming(addresses), Answer),
            "loop": Asker(_in_a_loop(addresses, _segmenting), Segmentation),
            "stream in a loop": Asker(_in_a_loop(addresses, _streaming_in_a_loop), Answer),
        }
        try:
            for server in servers * ROUNDS:
                server.stop()
                server.start()
        finally:
            for asker in askers.values():
                asker.finish()
    assert {name: asker.problem for name, asker in askers.items()} == dict.fromkeys(askers)
    assert all(asker.answers > 10 for asker in askers.values())
