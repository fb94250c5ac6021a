"""The client for an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from boxmask_client import calls
from boxmask_client.aio.stream import stream_answers
from boxmask_client.aio.transport import AsyncGrpcTransport, AsyncTransport
from boxmask_client.base import BaseClient, name_of
from boxmask_client.exchange import LABEL_MAPS, MASKS, Answered, Asked, Exchange, Item, Reply
from boxmask_client.questions import Method, Priority, Question, SegmentQuestion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_client.answers import Answer, Model, Reload, Segmentation
    from boxmask_client.errors import ServerError
    from boxmask_client.ledger import Key
    from boxmask_client.rpcs import Request, Response
    from boxmask_core.instances import Instance


class AsyncClient(BaseClient[AsyncTransport]):
    """The client for an event loop: the methods of `Client`, with its arguments, to be awaited.

    Files are read, arrays encoded and masks decoded in threads, so that the event loop goes on. A task that
    is cancelled cancels its call, and the server drops what it has not begun. The client belongs to the event
    loop in which it is first used. The arguments are those of `BaseClient`.
    """

    def _open(self) -> AsyncTransport:
        return AsyncGrpcTransport(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives the connections back; what is on its way is cancelled."""
        await self._transport.close()

    async def pseudo_label(
        self,
        image: bytes | Path | NDArray[np.uint8],
        instances: Sequence[Instance],
        *,
        method: Method = "cfs",
        refine: bool = True,
        class_names: Sequence[str] = (),
        label_map: bool = True,
        priority: Priority | None = None,
        bundle: str = "",
        version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Makes one mask per box of one image; see `Client.pseudo_label`."""
        question = Question(
            image, instances, method, refine, class_names, label_map, priority, bundle, version
        )
        return await self._one(calls.masks(question), self._seconds(timeout), request_id)

    def stream_pseudo_label(
        self,
        items: AsyncIterable[tuple[Key, Question]] | Iterable[tuple[Key, Question]],
        *,
        window: int = 8,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[tuple[Key, Answer | ServerError], None]:
        """Asks many questions; see `Client.stream_pseudo_label`.

        ``items`` may be an asynchronous iterable, or any other, which is then pulled in a thread. Close the
        generator (`contextlib.aclosing`) to stop early.
        """
        return self._stream(MASKS, items, window, timeout, request_id)

    async def segment(
        self,
        image: bytes | Path | NDArray[np.uint8],
        *,
        crf: bool = False,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        scores: bool = False,
        priority: Priority | None = None,
        bundle: str = "",
        version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Segmentation:
        """Gives every pixel of one image its class; see `Client.segment`."""
        question = SegmentQuestion(image, crf, scales, flip, scores, priority, bundle, version)
        return await self._one(calls.label_map(question), self._seconds(timeout), request_id)

    def stream_segment(
        self,
        items: AsyncIterable[tuple[Key, SegmentQuestion]] | Iterable[tuple[Key, SegmentQuestion]],
        *,
        window: int = 8,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[tuple[Key, Segmentation | ServerError], None]:
        """Segments many images; see `Client.stream_segment` and `stream_pseudo_label`."""
        return self._stream(LABEL_MAPS, items, window, timeout, request_id)

    async def models(self) -> tuple[Model, ...]:
        """Lists the networks that the server holds; see `Client.models`."""
        return await self._one(calls.models(), self._timeout)

    async def model(self, name: str, *, bundle: str = "", version: str = "") -> Model:
        """Describes one network; see `Client.model`."""
        return await self._one(calls.model(name, bundle, version), self._timeout)

    async def reload_models(self, *, timeout: float = calls.RELOAD_SECONDS) -> tuple[Reload, ...]:
        """Has every server look for new bundles and versions; see `Client.reload_models`."""
        reloads = [
            await self._one(calls.reload_models(server), timeout, lane=lane)
            for lane, server in enumerate(self._transport.targets)
        ]
        return tuple(reload for each in reloads for reload in each)

    async def wait_until_ready(self, timeout: float) -> None:
        """Waits until the server, or one of several, is there and answers; see `Client.wait_until_ready`."""
        await self._one(calls.models(), timeout, wait_for_ready=True)

    async def _one(
        self,
        call: calls.Call[Request, Response, calls.Result],
        timeout: float,
        request_id: str | None = None,
        *,
        wait_for_ready: bool = False,
        lane: int | None = None,
    ) -> calls.Result:
        name = name_of(request_id)
        request = await asyncio.to_thread(call.write) if call.slow_write else call.write()
        response = await self._transport.ask(
            call.rpc,
            request,
            timeout=timeout,
            request_id=name,
            wait_for_ready=wait_for_ready,
            lane=lane,
        )
        return await asyncio.to_thread(call.read, response) if call.slow_read else call.read(response)

    def _stream(
        self,
        exchange: Exchange[Asked, Answered, Item, Reply],
        items: AsyncIterable[tuple[Key, Asked]] | Iterable[tuple[Key, Asked]],
        window: int,
        timeout: float | None,
        request_id: str | None,
    ) -> AsyncGenerator[tuple[Key, Answered | ServerError], None]:
        name = name_of(request_id)
        books = self._books(exchange, window, name)
        return stream_answers(self._transport, exchange, books, items, timeout=timeout, request_id=name)
