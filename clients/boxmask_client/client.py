"""The client for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from boxmask_client import calls
from boxmask_client.base import BaseClient, name_of
from boxmask_client.exchange import LABEL_MAPS, MASKS, Answered, Asked, Exchange, Item, Reply
from boxmask_client.questions import Method, Priority, Question, SegmentQuestion
from boxmask_client.stream import stream_answers
from boxmask_client.transport import GrpcTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_client.answers import Answer, Model, Reload, Segmentation
    from boxmask_client.errors import ServerError
    from boxmask_client.ledger import Key
    from boxmask_client.rpcs import Request, Response
    from boxmask_core.instances import Instance


class Client(BaseClient[Transport]):
    """The client for threads, which may share it. The arguments are those of `BaseClient`."""

    def _open(self) -> Transport:
        return GrpcTransport(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back; what is on its way is cancelled."""
        self._transport.close()

    def pseudo_label(
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
        """Makes one mask per box of one image. The arguments are those of `Question`.

        Args:
            image: JPEG, PNG, WebP, BMP or TIFF bytes, the path of such a file, or uint8 RGB ``(H, W, 3)``.
            instances: The objects.
            method: How masks are made.
            refine: Whether GrabCut sharpens the network's answer.
            class_names: Class names in the label map's order.
            label_map: Whether the answer holds the label map.
            priority: Who goes first where questions wait.
            bundle: The bundle whose network answers; empty: the server's first.
            version: Its version; empty: the latest.
            timeout: Seconds for this call, if not the client's.
            request_id: What the call is called in the server's log; None: a name is made up.

        Raises:
            ServerError: The question was answered by an error, or not at all.
            OSError: The image file cannot be read.
            InvalidImageError: The array is not uint8 RGB.
        """
        question = Question(
            image, instances, method, refine, class_names, label_map, priority, bundle, version
        )
        return self._one(calls.masks(question), self._seconds(timeout), request_id)

    def stream_pseudo_label(
        self,
        items: Iterable[tuple[Key, Question]],
        *,
        window: int = 8,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Generator[tuple[Key, Answer | ServerError], None, None]:
        """Asks many questions over one call to each server; each is answered by its masks or by its error.

        Answers come as they are ready, not in the order of the questions; the caller's key tells them
        apart. Close the generator to stop early. A call that breaks, as when its server restarts, is made
        again: what was not answered is asked again, what was answered is not.

        Args:
            items: A key of the caller's (anything, also the same twice) and the question. Pulled lazily, in
                another thread, and only while fewer than ``window`` are unanswered.
            window: Most unanswered questions.
            timeout: Seconds for the whole stream; None for no limit.
            request_id: What the calls are called in the servers' logs; None: a name is made up.

        Raises:
            ValueError: The window is below 1.
            ServerError: The stream itself failed.
        """
        return self._stream(MASKS, items, window, timeout, request_id)

    def segment(
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
        """Gives every pixel of one image its class. The arguments are those of `SegmentQuestion`.

        Args:
            image: JPEG, PNG, WebP, BMP or TIFF bytes, the path of such a file, or uint8 RGB ``(H, W, 3)``.
            crf: Whether a DenseCRF sharpens the probabilities.
            scales: Sizes to show the image to the network at, relative to its own.
            flip: Whether every view is shown mirrored as well.
            scores: Whether the answer holds the probabilities of each class that is found.
            priority: Who goes first where questions wait.
            bundle: The bundle whose network answers; empty: the server's first.
            version: Its version; empty: the latest.
            timeout: Seconds for this call, if not the client's.
            request_id: What the call is called in the server's log; None: a name is made up.

        Raises:
            NotFoundError: The server holds no segmentation network, or not of that bundle and version.
            UnsupportedError: The server was installed without the CRF.
            ServerError: The question was answered by an error, or not at all.
            OSError: The image file cannot be read.
            InvalidImageError: The array is not uint8 RGB.
        """
        question = SegmentQuestion(image, crf, scales, flip, scores, priority, bundle, version)
        return self._one(calls.label_map(question), self._seconds(timeout), request_id)

    def stream_segment(
        self,
        items: Iterable[tuple[Key, SegmentQuestion]],
        *,
        window: int = 8,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Generator[tuple[Key, Segmentation | ServerError], None, None]:
        """Segments many images over one call to each server; each gets its label map or its error.

        Args:
            items: As for `stream_pseudo_label`, as is all else.
            window: Most unanswered questions.
            timeout: Seconds for the whole stream; None for no limit.
            request_id: What the calls are called in the servers' logs; None: a name is made up.

        Raises:
            ValueError: The window is below 1.
            ServerError: The stream itself failed.
        """
        return self._stream(LABEL_MAPS, items, window, timeout, request_id)

    def models(self) -> tuple[Model, ...]:
        """Lists the networks that the server holds; of several servers, those of one.

        Raises:
            ServerError: The call failed.
        """
        return self._one(calls.models(), self._timeout)

    def model(self, name: str, *, bundle: str = "", version: str = "") -> Model:
        """Describes one network.

        Args:
            name: Its name: ``cfs`` or ``lgsa``.
            bundle: The bundle that it belongs to; empty: the server's first.
            version: The bundle's version; empty: the latest.

        Raises:
            NotFoundError: The server does not hold it.
            ServerError: The call failed.
        """
        return self._one(calls.model(name, bundle, version), self._timeout)

    def reload_models(self, *, timeout: float = calls.RELOAD_SECONDS) -> tuple[Reload, ...]:
        """Has every server look for new bundles and versions, one server after the other.

        A server's networks go on answering while new ones are loaded, and a bundle that cannot be used leaves
        the old one in place: look at each `Reload.outcome`. Of ``dns:///`` names, one server in all is asked.

        Args:
            timeout: Seconds for each server.

        Raises:
            UnsupportedError: A server was started without ``--admin``.
            PermissionDeniedError: The token is not an administrator's.
            ServerError: A call failed; the servers before it have looked.
        """
        reloads = [
            self._one(calls.reload_models(server), timeout, lane=lane)
            for lane, server in enumerate(self._transport.targets)
        ]
        return tuple(reload for each in reloads for reload in each)

    def wait_until_ready(self, timeout: float) -> None:
        """Waits until the server, or one of several, is there and answers.

        Args:
            timeout: Most seconds to wait.

        Raises:
            DeadlineExceededError: It did not answer in time.
        """
        self._one(calls.models(), timeout, wait_for_ready=True)

    def _one(
        self,
        call: calls.Call[Request, Response, calls.Result],
        timeout: float,
        request_id: str | None = None,
        *,
        wait_for_ready: bool = False,
        lane: int | None = None,
    ) -> calls.Result:
        name = name_of(request_id)
        response = self._transport.ask(
            call.rpc,
            call.write(),
            timeout=timeout,
            request_id=name,
            wait_for_ready=wait_for_ready,
            lane=lane,
        )
        return call.read(response)

    def _stream(
        self,
        exchange: Exchange[Asked, Answered, Item, Reply],
        items: Iterable[tuple[Key, Asked]],
        window: int,
        timeout: float | None,
        request_id: str | None,
    ) -> Generator[tuple[Key, Answered | ServerError], None, None]:
        name = name_of(request_id)
        books = self._books(exchange, window, name)
        return stream_answers(self._transport, exchange, books, items, timeout=timeout, request_id=name)
