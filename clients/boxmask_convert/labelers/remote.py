"""Answers of a server, over one stream, whatever is asked."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from boxmask_client import Question, SegmentQuestion, ServerError
from boxmask_core.bundle import LGSA
from boxmask_core.errors import BundleError, ImageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from boxmask_client import Answer, Client, Model, Segmentation
    from boxmask_convert.server_access import ServerAccess

Asked = TypeVar("Asked", bound=Question | SegmentQuestion)
Answered = TypeVar("Answered")


class RemoteLabeler(Generic[Asked, Answered]):
    """Sends questions over one stream and hands each answer to its future; see `Answerer`.

    Args:
        client: The connection; closed with the labeler.
        stream: The client's method that answers a stream of such questions.
        max_bytes: Bytes of an encoded image that the server takes.
        description: See `Answerer.description`.
    """

    def __init__(
        self,
        client: Client,
        stream: Callable[
            [Iterator[tuple[Future[Answered], Asked]]],
            Generator[tuple[Future[Answered], Answered | ServerError], None, None],
        ],
        *,
        max_bytes: int,
        description: str,
    ) -> None:
        self.description = description
        self._client = client
        self._stream = stream
        self._max_bytes = max_bytes
        self._asked: SimpleQueue[tuple[Future[Answered], Asked] | None] = SimpleQueue()
        self._open: set[Future[Answered]] = set()
        self._lost: Exception | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._collect, name="answers", daemon=True)

    def submit(self, question: Asked) -> Future[Answered]:
        """See `Answerer.submit`."""
        future: Future[Answered] = Future()
        size = len(question.encoded_image())
        with self._lock:
            if self._lost is not None:
                future.set_exception(self._lost)
            elif size > self._max_bytes:
                # Sent, it could end the stream for all the others.
                future.set_exception(ImageTooLargeError("bytes", size, self._max_bytes))
            else:
                self._open.add(future)
                self._asked.put((future, question))
        return future

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.put(None)
        if error is not None:
            self._client.close()  # cancels what is on its way
        self._thread.join()
        self._client.close()

    def _collect(self) -> None:
        try:
            for future, outcome in self._stream(self._questions()):
                with self._lock:
                    self._open.discard(future)
                if isinstance(outcome, ServerError):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
        except Exception as error:  # crosses to the threads that wait for answers, and is raised there
            self._lose(error)

    def _questions(self) -> Iterator[tuple[Future[Answered], Asked]]:
        while (asked := self._asked.get()) is not None:
            yield asked

    def _lose(self, error: Exception) -> None:
        with self._lock:
            self._lost = error
            open_futures, self._open = self._open, set()
        for future in open_futures:
            future.set_exception(error)


def open_remote_labeler(
    server: ServerAccess, *, window: int, network: str | None
) -> RemoteLabeler[Question, Answer]:
    """Returns the labeler of a run that asks a server.

    Args:
        server: How it is reached.
        window: Most questions on their way.
        network: The network that it must hold, or None where any will do.

    Raises:
        UnavailableError: No server answers there.
        NotFoundError: The server does not hold the network.
        BundleError: The server holds no network at all.
    """
    client, model = _connected(server, network)
    stream = partial(client.stream_pseudo_label, window=window)
    return RemoteLabeler(
        client,
        stream,
        max_bytes=model.limits.max_bytes,
        description=f"server {server.address}, {model.provider}",
    )


def open_remote_segmenter(
    server: ServerAccess, *, window: int
) -> RemoteLabeler[SegmentQuestion, Segmentation]:
    """Returns the segmenter of a run that asks a server.

    Args:
        server: How it is reached.
        window: Most questions on their way.

    Raises:
        UnavailableError: No server answers there.
        NotFoundError: The server holds no segmentation network.
    """
    client, model = _connected(server, LGSA)
    stream = partial(client.stream_segment, window=window)
    return RemoteLabeler(
        client,
        stream,
        max_bytes=model.limits.max_bytes,
        description=f"server {server.address}, {model.provider}",
    )


def _connected(server: ServerAccess, network: str | None) -> tuple[Client, Model]:
    client = server.client()
    try:
        if network is not None:
            return client, client.model(network)
        models = client.models()
        if not models:
            raise BundleError(
                f"of the server {server.address}", "it holds no network; start it with a bundle"
            )
        return client, models[0]
    except BaseException:
        client.close()
        raise
