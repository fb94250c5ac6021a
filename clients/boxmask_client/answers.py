"""What a server answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.instances import InstanceMask


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one question went at the server, in milliseconds.

    Attributes:
        decode_ms: Header check, decoding, orientation.
        crop_ms: Cropping the expanded boxes and resizing them.
        network_ms: Waiting for the network: queue and batch together.
        refine_ms: GrabCut, and resizing the probability.
        encode_ms: Compositing and encoding.
        total_ms: From the question's arrival to its answer.
    """

    decode_ms: float
    crop_ms: float
    network_ms: float
    refine_ms: float
    encode_ms: float
    total_ms: float


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
    """

    width: int
    height: int
    masks: tuple[InstanceMask, ...]
    label_map: NDArray[np.uint8] | None
    class_names: tuple[str, ...]
    timings: Timings
    model_digest: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question to a server may hold.

    Attributes:
        max_bytes: Bytes of the encoded image.
        max_pixels: Pixels of the image.
        max_boxes: Boxes of the image.
        stream_window: Unanswered items of one stream before the server stops reading.
    """

    max_bytes: int
    max_pixels: int
    max_boxes: int
    stream_window: int


@dataclass(frozen=True, slots=True)
class Model:
    """A network that a server holds.

    Attributes:
        name: Its name in the bundle, for example ``cfs``.
        task: What it does.
        class_names: Its classes; the first has index 1 in label maps.
        input_size: Side of its square input, pixels.
        digest: ``sha256:...`` of its ONNX file.
        provider: The ONNX Runtime provider that runs it.
        license: SPDX licence of the weights.
        training_data: What it was trained on.
        parity_error: Largest absolute difference to PyTorch that the export measured.
        limits: Limits of questions to this server.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    input_size: int
    digest: str
    provider: str
    license: str
    training_data: str
    parity_error: float
    limits: Limits
