"""What a server answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from boxmask_core.palette import decode_indexed_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.bundle import InputSize
    from boxmask_core.instances import InstanceMask
    from boxmask_core.segmentation import Canvas


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one question went at the server, in milliseconds.

    Attributes:
        decode_ms: Header check, decoding, orientation.
        crop_ms: Cropping the expanded boxes and resizing them; of a segmentation, drawing its views.
        network_ms: Waiting for the network: queue and batch together.
        inference_ms: The network's own work: a batch's time shared out among its items.
        refine_ms: GrabCut, and resizing the probability; of a segmentation, carrying the scores back, and
            the CRF.
        encode_ms: Compositing and encoding.
        total_ms: From the question's arrival to its answer.
        queue_ms: Waiting, without work: for a place, for workers, and for the network to take it.
    """

    decode_ms: float
    crop_ms: float
    network_ms: float
    inference_ms: float
    refine_ms: float
    encode_ms: float
    total_ms: float
    queue_ms: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The masks of one image.

    Attributes:
        width: Width of the EXIF-oriented image, pixels.
        height: Height likewise.
        masks: One per instance, in the question's order.
        label_map: uint8, ``(H, W)``: class index, 0 background; smaller boxes lie on top. None if the
            question left it out.
        class_names: Class names of the label map: the first has index 1.
        timings: Where the time went.
        model_digest: ``sha256:...`` of the network that answered; empty where none was used.
        bundle: The bundle that answered.
        version: Its version.
    """

    width: int
    height: int
    masks: tuple[InstanceMask, ...]
    label_map: NDArray[np.uint8] | None
    class_names: tuple[str, ...]
    timings: Timings
    model_digest: str
    bundle: str = ""
    version: str = ""


@dataclass(frozen=True, eq=False)
class ClassScore:
    """One class of a label map.

    Attributes:
        name: Its name; ``background`` for index 0.
        index: Its index in the label map.
        area: Number of its pixels, at least 1.
        mean_score: Its mean probability over its own pixels, 0 to 1.
        scores_png: Its probability everywhere, times 255: an 8-bit greyscale PNG of the image's size. None if
            the question left it out.
    """

    name: str
    index: int
    area: int
    mean_score: float
    scores_png: bytes | None

    @cached_property
    def scores(self) -> NDArray[np.uint8] | None:
        """The decoded ``scores_png``: uint8, ``(H, W)``.

        Raises:
            InvalidImageError: The PNG is broken.
        """
        return None if self.scores_png is None else decode_indexed_png(self.scores_png)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The label map of one image. It stays encoded until it is looked at, so that many may be kept.

    Attributes:
        width: Width of the EXIF-oriented image, pixels.
        height: Height likewise.
        label_map_png: Indexed 8-bit PNG with VOC's palette.
        class_names: Class names of the label map: the first has index 1.
        classes: The classes that the label map holds, by index, the background included.
        views: How the image was shown to the network, one per size, in the order of the scales.
        timings: Where the time went.
        model_digest: ``sha256:...`` of the network that answered.
        bundle: The bundle that answered.
        version: Its version.
    """

    width: int
    height: int
    label_map_png: bytes
    class_names: tuple[str, ...]
    classes: tuple[ClassScore, ...]
    views: tuple[Canvas, ...]
    timings: Timings
    model_digest: str
    bundle: str = ""
    version: str = ""

    @cached_property
    def label_map(self) -> NDArray[np.uint8]:
        """The decoded label map: uint8, ``(H, W)``, class index, 0 background.

        Raises:
            InvalidImageError: The PNG is broken.
        """
        return decode_indexed_png(self.label_map_png)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question to a server may hold.

    Attributes:
        max_bytes: Bytes of the encoded image.
        max_pixels: Pixels of the image.
        max_boxes: Boxes of the image.
        stream_window: Unanswered items of one stream before the server stops reading.
        max_message_bytes: Bytes of one message: what the image, its boxes and its class names may take
            together; 0 where the server does not say.
    """

    max_bytes: int
    max_pixels: int
    max_boxes: int
    stream_window: int
    max_message_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A network that a server holds.

    Attributes:
        name: Its name in the bundle: ``cfs`` or ``lgsa``.
        task: What it does.
        class_names: Its classes; the first has index 1 in label maps.
        input: The sizes that it takes.
        output_stride: Input pixels per output value and axis.
        digest: ``sha256:...`` of its ONNX file.
        provider: The ONNX Runtime provider that runs it.
        license: SPDX licence of the weights.
        training_data: What it was trained on.
        parity_error: Largest absolute difference to PyTorch that the export measured.
        limits: Limits of questions to this server.
        bundle: The bundle that it belongs to.
        version: The bundle's version.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    input: InputSize
    output_stride: int
    digest: str
    provider: str
    license: str
    training_data: str
    parity_error: float
    limits: Limits
    bundle: str = ""
    version: str = ""


ReloadOutcome = Literal["loaded", "unchanged", "failed", "removed"]
"""It was new or had changed and answers now; was as before; cannot be used; is no longer held."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of one version of a bundle.

    Attributes:
        server: The address of the server that tells it.
        bundle: The bundle.
        version: Its version.
        outcome: What became of it.
        problem: Why it cannot be used, where it failed; what was held before still answers then.
    """

    server: str
    bundle: str
    version: str
    outcome: ReloadOutcome
    problem: str = ""
