"""Answers of a server, over one stream."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from boxmask_client import Answer, Client, ServerError
from boxmask_core.errors import BundleError, ImageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from boxmask_client import Question

MAX_MESSAGE_BYTES = 1 << 30
"""What is too large is the server's to say, image by image."""


class RemoteLabeler:
    """Sends questions over one stream and hands each answer to its future.

    Args:
        client: The connection; closed with the labeler.
        max_bytes: Bytes of an encoded image that the server takes.
        window: Most questions on their way.
        description: See `Labeler.description`.
    """

    def __init__(self, client: Client, *, max_bytes: int, window: int, description: str) -> None:
        self.description = description
        self._client = client
        self._max_bytes = max_bytes
        self._window = window
        self._asked: SimpleQueue[tuple[Future[Answer], Question] | None] = SimpleQueue()
        self._open: set[Future[Answer]] = set()
        self._lost: Exception | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._collect, name="answers", daemon=True)

    def submit(self, question: Question) -> Future[Answer]:
        """See `Labeler.submit`."""
        future: Future[Answer] = Future()
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
            for future, outcome in self._client.stream_pseudo_label(self._questions(), window=self._window):
                with self._lock:
                    self._open.discard(future)
                if isinstance(outcome, ServerError):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
        except Exception as error:  # crosses to the threads that wait for answers, and is raised there
            self._lose(error)

    def _questions(self) -> Iterator[tuple[Future[Answer], Question]]:
        while (asked := self._asked.get()) is not None:
            yield asked

    def _lose(self, error: Exception) -> None:
        with self._lock:
            self._lost = error
            open_futures, self._open = self._open, set()
        for future in open_futures:
            future.set_exception(error)


def open_remote_labeler(target: str, *, window: int) -> RemoteLabeler:
    """Returns the labeler of a run that asks a server.

    Args:
        target: ``host:port`` or ``unix:/path``.
        window: Most questions on their way.

    Raises:
        UnavailableError: No server answers there.
        BundleError: The server holds no network.
    """
    client = Client(target, max_message_bytes=MAX_MESSAGE_BYTES)
    try:
        models = client.models()
        if not models:
            raise BundleError(f"of the server {target}", "it holds no network; start it with a bundle")
    except BaseException:
        client.close()
        raise
    description = f"server {target}, {models[0].provider}"
    return RemoteLabeler(client, max_bytes=models[0].limits.max_bytes, window=window, description=description)
