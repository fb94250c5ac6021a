"""The errors of boxmask.

::

    BoxmaskError
    |-- InvalidInputError          the caller sent something that cannot be worked on
    |   |-- InvalidBoxError        one box is degenerate or outside its image
    |   |-- InvalidImageError      the bytes are no image, or a broken one
    |   |-- ImageTooLargeError     more bytes or pixels than the limit
    |   |-- TooManyBoxesError      more boxes than the limit
    |   `-- DatasetError           a dataset or one of its files breaks its format
    |-- BundleError                a model bundle is missing, damaged or does not fit
    |-- DeviceError                the device asked for is not to be had
    |-- MissingExtraError          a command needs an optional part of the distribution
    `-- TrainingError              a training run cannot start or go on

Constructors take facts and build the sentence: the thing, the rule, the value, the remedy.
"""

from __future__ import annotations


class BoxmaskError(Exception):
    """Root of every error that boxmask raises on purpose."""


class InvalidInputError(BoxmaskError):
    """The caller sent something that cannot be worked on."""


class InvalidBoxError(InvalidInputError):
    """One box is degenerate or lies outside its image.

    Args:
        corners: The box as given: x0, y0, x1, y1 in pixels.
        rule: The rule that it breaks.
    """

    def __init__(self, corners: tuple[float, float, float, float], rule: str) -> None:
        x0, y0, x1, y1 = corners
        super().__init__(f"invalid box: {rule}, but got x0={x0:g} y0={y0:g} x1={x1:g} y1={y1:g}")


class InvalidImageError(InvalidInputError):
    """The bytes are not an image that can be decoded.

    Args:
        what: Which image (a path, or "image").
        reason: What the decoder said.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} cannot be decoded: {reason}; send JPEG, PNG, WebP, BMP or TIFF bytes")


class ImageTooLargeError(InvalidInputError):
    """The image has more bytes or pixels than the limit.

    Args:
        what: "bytes" or "pixels".
        value: How many it has.
        limit: How many are allowed.
    """

    def __init__(self, what: str, value: int, limit: int) -> None:
        super().__init__(
            f"the image has {value} {what}, the limit is {limit}; resize it, or raise the limit (--max-{what})"
        )


class TooManyBoxesError(InvalidInputError):
    """One image comes with more boxes than the limit.

    Args:
        value: How many boxes came.
        limit: How many are allowed.
    """

    def __init__(self, value: int, limit: int) -> None:
        super().__init__(f"the image has {value} boxes, the limit is {limit}; split it, or raise --max-boxes")


class DatasetError(InvalidInputError):
    """A dataset, or one of its files, breaks the rules of its format.

    Args:
        where: The file or folder.
        problem: What is wrong, and what to do.
    """

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


class BundleError(BoxmaskError):
    """A model bundle is missing, damaged or does not fit.

    Args:
        where: The bundle's folder or file.
        problem: What is wrong, and what to do.
    """

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"bundle {where}: {problem}")


class DeviceError(BoxmaskError):
    """The device asked for is not to be had.

    Args:
        device: The device asked for.
        reason: Why not, and what to do.
    """

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(f"device {device!r} is not available: {reason}")


class MissingExtraError(BoxmaskError):
    """A command needs an optional part of the distribution.

    Args:
        command: The command that was called.
        module: The module that could not be imported.
        extra: The extra that brings it.
    """

    def __init__(self, command: str, module: str, extra: str) -> None:
        super().__init__(
            f"{command} needs the Python module {module!r}, which is not installed; "
            f"run: pip install 'boxmask[{extra}]'"
        )


class TrainingError(BoxmaskError):
    """A training run cannot start or cannot go on."""
