"""The errors of boxmask.

::

    BoxmaskError
    |-- InvalidInputError          the caller sent something that cannot be worked on
    |   |-- InvalidBoxError        one box is degenerate or outside its image
    |   |-- InvalidImageError      the bytes are no image, or a broken one
    |   |-- ImageTooLargeError     more bytes or pixels than the limit
    |   |-- TooManyBoxesError      more boxes than the limit
    |   |-- InvalidMaskError       an encoded mask or label map does not decode, or does not fit its size
    |   |-- InvalidRequestError    a request breaks a rule of the service
    |   |-- ModelNotFoundError     the server holds no network of that name
    |   `-- DatasetError           a dataset or one of its files breaks its format
    |-- BundleError                a model bundle is missing, damaged or does not fit
    |-- DeviceError                the device asked for is not to be had
    |-- ListenError                the server cannot listen at the address
    |-- QueueFullError             the server has as much to do as it may hold
    |-- DrainingError              the server finishes what it has and takes nothing new
    |-- DeadlineError              the caller's deadline passed before the answer was ready
    |-- AuthenticationError        the caller did not say who it is, or nobody of that token is known
    |-- PermissionDeniedError      the caller is known, and may not do that
    |-- TooManyCallsError          the caller, or all callers together, have as many calls as they may
    |-- SettingsError              a setting of the server, or a file that it names, breaks its rule
    |-- OutputError                what was made cannot be written
    |-- TooManyFailuresError       more images failed than the user allowed
    |-- ClusterError               a Ray cluster cannot do the work
    |-- MissingExtraError          a command needs an optional part of the distribution
    |-- TrainingError              a training run cannot start or go on
    `-- ParityError                an exported graph does not compute what its network computes

Constructors take facts and build the sentence: the thing, the rule, the value, the remedy.
"""

from __future__ import annotations


class BoxmaskError(Exception):
    """Root of every error that boxmask raises on purpose.

    Attributes:
        exit_status: What a command ends with that could not do its work because of it: 1, or 2 where what it
            was given cannot be worked on, or 3 where a server cannot be reached.
    """

    exit_status: int = 1


class InvalidInputError(BoxmaskError):
    """The caller sent something that cannot be worked on."""

    exit_status = 2


class InvalidBoxError(InvalidInputError):
    """One box is degenerate or lies outside its image.

    Args:
        corners: The box as given: x0, y0, x1, y1 in pixels.
        rule: The rule that it breaks.
        index: 0-based place of the box among the image's boxes, or None where there is only one.
        instance_id: The id of its instance, if it has one.
    """

    def __init__(
        self,
        corners: tuple[float, float, float, float],
        rule: str,
        *,
        index: int | None = None,
        instance_id: str = "",
    ) -> None:
        x0, y0, x1, y1 = corners
        which = "" if index is None else f" {index}" + (f" (id {instance_id!r})" if instance_id else "")
        super().__init__(f"invalid box{which}: {rule}, but got x0={x0:g} y0={y0:g} x1={x1:g} y1={y1:g}")
        self.corners = corners
        self.rule = rule
        self.index = index
        self.instance_id = instance_id

    def of(self, index: int, instance_id: str) -> InvalidBoxError:
        """Returns the same error, naming which of the image's boxes it is."""
        return InvalidBoxError(self.corners, self.rule, index=index, instance_id=instance_id)


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
            f"the image has {value} {what}, the limit is {limit}; "
            f"resize it, or raise the limit (--max-{what})"
        )


class TooManyBoxesError(InvalidInputError):
    """One image comes with more boxes than the limit.

    Args:
        value: How many boxes came.
        limit: How many are allowed.
    """

    def __init__(self, value: int, limit: int) -> None:
        super().__init__(f"the image has {value} boxes, the limit is {limit}; split it, or raise --max-boxes")


class InvalidRequestError(InvalidInputError):
    """A request breaks a rule of the service.

    Args:
        field: The field of the request, as in the .proto file.
        problem: The rule that it breaks, the value, and what to do.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class ModelNotFoundError(InvalidInputError):
    """The server holds no network, bundle or version of that name.

    Args:
        name: The name asked for.
        held: The names that it holds.
        what: What was asked for.
    """

    def __init__(self, name: str, held: tuple[str, ...], what: str = "network") -> None:
        super().__init__(f"there is no {what} {name!r}, only: {', '.join(held) or 'none'}")


class InvalidMaskError(InvalidInputError):
    """An encoded mask or label map does not decode, or does not fit its size.

    Args:
        what: Which mask (a path, or "mask").
        problem: The rule that it breaks, with the value.
    """

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what} is not valid: {problem}")


class DatasetError(InvalidInputError):
    """A dataset, or one of its files, breaks the rules of its format.

    Args:
        where: The file or folder.
        problem: What is wrong, and what to do.
    """

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class OutputError(BoxmaskError):
    """What was made cannot be written.

    Args:
        out: Where it was to go.
        error: What the system said.
        kept: A sentence on what is kept of the work; empty where nothing was done yet.
    """

    def __init__(self, out: object, error: OSError, kept: str) -> None:
        where = f"{error.filename}: " if error.filename and str(error.filename) != str(out) else ""
        problem = (
            f"{out} cannot be written ({where}{error.strerror or error}); mend that, or name another place"
        )
        super().__init__(f"{problem}. {kept}" if kept else problem)
        self.exit_status = 1 if kept else 2


class TooManyFailuresError(BoxmaskError):
    """More images failed than the user allowed.

    Args:
        failed: Images that failed.
        most: Images that may fail.
        last: What was wrong with the last one.
    """

    def __init__(self, failed: int, most: int, last: str) -> None:
        images = "1 image" if failed == 1 else f"{failed} images"
        super().__init__(
            f"{images} failed, and --max-errors allows {most}; the last: {last}. What was answered is kept: "
            "mend the cause, or allow more, and run the same command again"
        )


class BundleError(BoxmaskError):
    """A model bundle is missing, damaged or does not fit.

    Args:
        where: The bundle's folder or file.
        problem: What is wrong, and what to do.
    """

    exit_status = 2

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"bundle {where}: {problem}")


class DeviceError(BoxmaskError):
    """The device asked for is not to be had.

    Args:
        device: The device asked for.
        reason: Why not, and what to do.
    """

    exit_status = 2

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(f"device {device!r} is not available: {reason}")


class ListenError(BoxmaskError):
    """The server cannot listen at the address.

    Args:
        address: The address, as given.
        reason: Why not, and what to do.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen at {address}: {reason}")


class QueueFullError(BoxmaskError):
    """The server has as much to do as it may hold.

    Args:
        capacity: How much it holds at most.
        what: "requests" or "bytes".
    """

    def __init__(self, capacity: int, what: str = "requests") -> None:
        flag = "--queue" if what == "requests" else "--queue-bytes"
        super().__init__(
            f"the server holds as many {what} as it may, {capacity} ({flag}), a part of them kept for "
            "interactive requests; try again in a moment"
        )


class DrainingError(BoxmaskError):
    """The server finishes what it has and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down and takes no new requests; send it to another one")


class DeadlineError(BoxmaskError):
    """The caller's deadline passed before the answer was ready."""

    def __init__(self) -> None:
        super().__init__("the deadline of the request passed before the answer was ready; allow it more time")


class AuthenticationError(BoxmaskError):
    """The caller did not say who it is, or nobody of that token is known.

    Args:
        problem: What is wrong with the token; never the token itself.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}; send the metadata 'authorization: Bearer TOKEN' with a token of this server"
        )


class PermissionDeniedError(BoxmaskError):
    """The caller is known, and may not do that.

    Args:
        caller: The name of its token.
        what: What it asked for.
        right: The word that its token lacks.
    """

    def __init__(self, caller: str, what: str, right: str) -> None:
        super().__init__(
            f"{caller!r} may not call {what}: its token is not marked {right!r}; use one that is"
        )


class TooManyCallsError(BoxmaskError):
    """The caller, or all callers together, have as many calls as they may.

    Args:
        whose: Whose calls they are: the name of a token, or "all callers".
        limit: The limit, with its unit.
        setting: What sets it.
        retry_seconds: When it is worth trying again.
    """

    def __init__(self, whose: str, limit: str, setting: str, retry_seconds: float = 1.0) -> None:
        super().__init__(f"{whose} may have {limit}, which is reached ({setting}); try again in a moment")
        self.retry_seconds = retry_seconds


class SettingsError(BoxmaskError):
    """A setting of the server, or a file that it names, breaks its rule.

    Args:
        setting: The setting, and where it comes from.
        problem: The rule that it breaks, the value, and what to do.
    """

    exit_status = 2

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting


class ClusterError(BoxmaskError):
    """A Ray cluster cannot do the work.

    Args:
        problem: What is wrong, and what to do.
        exit_status: What a command ends with because of it, see `BoxmaskError`.
    """

    def __init__(self, problem: str, exit_status: int = 1) -> None:
        super().__init__(problem)
        self.exit_status = exit_status


class MissingExtraError(BoxmaskError):
    """A command needs an optional part of the distribution.

    Args:
        command: The command that was called.
        module: The module that could not be imported.
        extra: The extra that brings it.
    """

    exit_status = 2

    def __init__(self, command: str, module: str, extra: str) -> None:
        super().__init__(
            f"{command} needs the Python module {module!r}, which is not installed; "
            f"run: pip install 'boxmask[{extra}]'"
        )


class TrainingError(BoxmaskError):
    """A training run cannot start or cannot go on."""


class ParityError(BoxmaskError):
    """An exported graph does not compute what the trained network computes.

    Args:
        compared: The two whose probabilities differ.
        error: Largest absolute difference of a probability.
        limit: What is allowed.
        remedy: What to do.
    """

    def __init__(self, compared: str, error: float, limit: float, remedy: str) -> None:
        super().__init__(
            f"{compared} differ by {error:.2e} in a probability, the limit is {limit:.0e}; "
            f"no bundle was written; {remedy}"
        )
