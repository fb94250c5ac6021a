"""The client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.messages import malformed, to_answer, to_model, to_request
from boxmask_client.questions import Method, Question, SegmentQuestion
from boxmask_client.segment_messages import to_segment_request, to_segmentation
from boxmask_client.stream import (
    LABEL_MAPS,
    MASKS,
    Answered,
    Asked,
    Exchange,
    Item,
    Key,
    Reply,
    stream_answers,
)
from boxmask_client.transport import (
    GET_MODEL,
    LIST_MODELS,
    MAX_MESSAGE_BYTES,
    PSEUDO_LABEL,
    SEGMENT,
    GrpcTransport,
    Request,
    Response,
    Rpc,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    import grpc
    import numpy as np
    from numpy.typing import NDArray

    from boxmask_client.answers import Answer, Model, Segmentation
    from boxmask_client.errors import ServerError
    from boxmask_core.instances import Instance


class Client:
    """A connection to one boxmask server. Threads may share it.

    Args:
        target: ``host:port`` or ``unix:/path``.
        timeout: Seconds for one call, where the call does not say otherwise.
        max_message_bytes: Largest message sent or taken, bytes.
        credentials: Of a TLS channel (`grpc.ssl_channel_credentials`); None for a plain one.
        transport: The way to the server, if not gRPC to ``target``.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 60.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        credentials: grpc.ChannelCredentials | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._timeout = timeout
        self._max_message_bytes = max_message_bytes
        self._transport = transport or GrpcTransport(
            target, max_message_bytes=max_message_bytes, credentials=credentials
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection back."""
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
        timeout: float | None = None,
    ) -> Answer:
        """Makes one mask per box of one image. The arguments are those of `Question`.

        Args:
            image: JPEG, PNG, WebP, BMP or TIFF bytes, the path of such a file, or uint8 RGB ``(H, W, 3)``.
            instances: The objects.
            method: How masks are made.
            refine: Whether GrabCut sharpens the network's answer.
            class_names: Class names in the label map's order.
            label_map: Whether the answer holds the label map.
            timeout: Seconds for this call, if not the client's.

        Raises:
            ServerError: The question was answered by an error, or not at all.
            OSError: The image file cannot be read.
            InvalidImageError: The array is not uint8 RGB.
        """
        question = Question(image, instances, method, refine, class_names, label_map)
        return to_answer(self._one(PSEUDO_LABEL, to_request(question), timeout), instances)

    def stream_pseudo_label(
        self, items: Iterable[tuple[Key, Question]], *, window: int = 8, timeout: float | None = None
    ) -> Generator[tuple[Key, Answer | ServerError], None, None]:
        """Asks many questions over one call; each is answered by its masks or by its error.

        Answers come as they are ready, not in the order of the questions; the caller's key tells them
        apart. Close the generator to stop early.

        Args:
            items: A key of the caller's (anything, also the same twice) and the question. Pulled lazily, in
                another thread, and only while fewer than ``window`` are unanswered.
            window: Most unanswered questions.
            timeout: Seconds for the whole stream; None for no limit.

        Raises:
            ValueError: The window is below 1.
            ServerError: The stream itself failed.
        """
        return self._stream(MASKS, items, window, timeout)

    def segment(
        self,
        image: bytes | Path | NDArray[np.uint8],
        *,
        crf: bool = False,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        scores: bool = False,
        timeout: float | None = None,
    ) -> Segmentation:
        """Gives every pixel of one image its class. The arguments are those of `SegmentQuestion`.

        Args:
            image: JPEG, PNG, WebP, BMP or TIFF bytes, the path of such a file, or uint8 RGB ``(H, W, 3)``.
            crf: Whether a DenseCRF sharpens the probabilities.
            scales: Sizes to show the image to the network at, relative to its own.
            flip: Whether every view is shown mirrored as well.
            scores: Whether the answer holds the probabilities of each class that is found.
            timeout: Seconds for this call, if not the client's.

        Raises:
            NotFoundError: The server holds no segmentation network.
            UnsupportedError: The server was installed without the CRF.
            ServerError: The question was answered by an error, or not at all.
            OSError: The image file cannot be read.
            InvalidImageError: The array is not uint8 RGB.
        """
        question = SegmentQuestion(image, crf, scales, flip, scores)
        return to_segmentation(self._one(SEGMENT, to_segment_request(question), timeout))

    def stream_segment(
        self, items: Iterable[tuple[Key, SegmentQuestion]], *, window: int = 8, timeout: float | None = None
    ) -> Generator[tuple[Key, Segmentation | ServerError], None, None]:
        """Segments many images over one call; each is answered by its label map or by its error.

        Args:
            items: As for `stream_pseudo_label`.
            window: Most unanswered questions.
            timeout: Seconds for the whole stream; None for no limit.

        Raises:
            ValueError: The window is below 1.
            ServerError: The stream itself failed.
        """
        return self._stream(LABEL_MAPS, items, window, timeout)

    def models(self) -> tuple[Model, ...]:
        """Lists the networks that the server holds.

        Raises:
            ServerError: The call failed.
        """
        return tuple(to_model(model) for model in self._one(LIST_MODELS, pb.ListModelsRequest()).models)

    def model(self, name: str) -> Model:
        """Describes one network.

        Raises:
            NotFoundError: The server does not hold it.
            ServerError: The call failed.
        """
        return to_model(self._one(GET_MODEL, pb.GetModelRequest(name=name)).model)

    def wait_until_ready(self, timeout: float) -> None:
        """Waits until the server is there and answers.

        Args:
            timeout: Most seconds to wait.

        Raises:
            DeadlineExceededError: It did not answer in time.
        """
        self._one(LIST_MODELS, pb.ListModelsRequest(), timeout, wait_for_ready=True)

    def _stream(
        self,
        exchange: Exchange[Asked, Answered, Item, Reply],
        items: Iterable[tuple[Key, Asked]],
        window: int,
        timeout: float | None,
    ) -> Generator[tuple[Key, Answered | ServerError], None, None]:
        if window < 1:
            raise ValueError(f"expected a window of at least 1, but got {window}")
        limit = self._max_message_bytes
        return stream_answers(
            self._transport, exchange, items, window=window, max_message_bytes=limit, timeout=timeout
        )

    def _one(
        self,
        rpc: Rpc[Request, Response],
        request: Request,
        timeout: float | None = None,
        *,
        wait_for_ready: bool = False,
    ) -> Response:
        limit = self._timeout if timeout is None else timeout
        answers = self._transport.call(rpc, iter((request,)), timeout=limit, wait_for_ready=wait_for_ready)
        response = next(answers, None)
        if response is None:
            raise malformed(f"{rpc.name} ended without an answer")
        return response
