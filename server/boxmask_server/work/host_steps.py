"""What the host does for one question: open the image, make and judge its masks. Run in the host pool."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from boxmask_core.crops import probability_in_image
from boxmask_core.errors import ImageTooLargeError, InvalidBoxError
from boxmask_core.grabcut import (
    cfs_proposal,
    coarse_proposal,
    filled_box,
    refine_proposal,
)
from boxmask_core.images import decode, read_header
from boxmask_core.instances import InstanceMask
from boxmask_core.quality import measured, score
from boxmask_core.rivalry import rivalries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.boxes import Window
    from boxmask_core.engines import GrabCutEngine
    from boxmask_core.grabcut import Proposal
    from boxmask_core.instances import Instance
    from boxmask_core.quality import Signals

Params = ParamSpec("Params")
Result = TypeVar("Result")


def timed(
    function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> tuple[Result, float]:
    """Calls the function and returns its result and its time in milliseconds."""
    start = perf_counter()
    result = function(*args, **kwargs)
    return result, since(start)


def since(start: float) -> float:
    """Returns the milliseconds since a reading of `perf_counter`."""
    return (perf_counter() - start) * 1e3


def pixels_of(data: bytes, max_pixels: int, what: str) -> int:
    """Returns how many pixels an image will have once it is decoded.

    Raises:
        InvalidImageError: The bytes are no image, or a broken one.
        ImageTooLargeError: The header declares more pixels than the limit.
    """
    header = read_header(data, what=what)
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise ImageTooLargeError("pixels", pixels, max_pixels)
    return pixels


def open_image(data: bytes, instances: Sequence[Instance], max_pixels: int, what: str) -> NDArray[np.uint8]:
    """Decodes an image and checks that every box overlaps it.

    Returns:
        uint8 RGB, ``(H, W, 3)``, EXIF-oriented.

    Raises:
        InvalidImageError: The bytes are no image, or a broken one.
        ImageTooLargeError: The header declares more pixels than the limit.
        InvalidBoxError: A box lies outside the image; it names which.
    """
    image = decode(data, max_pixels=max_pixels, what=what)
    height, width = image.shape[:2]
    for index, instance in enumerate(instances):
        try:
            instance.box.clipped(width, height)
        except InvalidBoxError as error:
            raise error.of(index, instance.id) from error
    return image


def filled_mask(image: NDArray[np.uint8], instance: Instance) -> InstanceMask:
    """Answers with the box itself."""
    height, width = image.shape[:2]
    proposal = filled_box((width, height), instance.box)
    return _judged(instance, proposal, measured(image, instance.box, proposal))


def grabcut_mask(image: NDArray[np.uint8], instance: Instance, *, engine: GrabCutEngine) -> InstanceMask:
    """Answers with the coarse GrabCut proposal."""
    proposal = coarse_proposal(image, instance.box, engine=engine)
    return _judged(instance, proposal, measured(image, instance.box, proposal))


def cfs_mask(
    image: NDArray[np.uint8],
    instance: Instance,
    probability: NDArray[np.float32],
    window: Window,
    *,
    refine: bool,
    engine: GrabCutEngine,
) -> InstanceMask:
    """Answers with the network's mask.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        instance: The object.
        probability: float32 foreground probability as the network gave it, ``(size, size)``.
        window: The network crop's place in the image.
        refine: Whether GrabCut sharpens it.
        engine: Who computes GrabCut.
    """
    height, width = image.shape[:2]
    part, visible = probability_in_image(probability, window, (width, height))
    make = refine_proposal if refine else cfs_proposal
    proposal = make(image, instance.box, part, visible, engine=engine)
    signals = measured(image, instance.box, proposal, probability=part, window=visible)
    return _judged(instance, proposal, signals)


def beside_each_other(masks: Sequence[InstanceMask]) -> tuple[InstanceMask, ...]:
    """Judges the masks of one image anew, now that each is known to have others beside it."""
    found = rivalries([mask.proposal for mask in masks])
    return tuple(map(_beside_rivals, masks, found))


def _beside_rivals(mask: InstanceMask, rivalry: float) -> InstanceMask:
    if mask.signals is None:
        return mask
    return _judged(mask.instance, mask.proposal, replace(mask.signals, rivalry=rivalry))


def _judged(instance: Instance, proposal: Proposal, signals: Signals) -> InstanceMask:
    return InstanceMask(instance, proposal, score(signals, proposal.fallback), signals)
