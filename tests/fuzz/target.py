"""What fuzzing knows of a part of boxmask: what it may be given, and what may come of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote

import grpc
from google.rpc.error_details_pb2 import ErrorInfo

from boxmask_core.errors import BoxmaskError
from boxmask_server.wire.status import RULES, to_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

Example = TypeVar("Example")

OK = "OK"
HEADERS = 8 * 1024
"""Bytes of headers that gRPC's clients take; an error whose words are longer comes as another one."""


@dataclass(frozen=True, slots=True)
class Target(Generic[Example]):
    """A part of boxmask that must take anything.

    Attributes:
        name: What it is called.
        examples: What it is given: plain values, so that their ``repr`` is all that it takes to see it again.
        attempt: Gives it one; raises a `BoxmaskError` where it is refused, and anything else where that is a
            fault.
        share: How many of the test's examples it is worth.
    """

    name: str
    examples: SearchStrategy[Example]
    attempt: Callable[[Example], None]
    share: float = 1.0

    def outcome(self, example: Example) -> str:
        """Tells what came of one example: ``OK``, or the reason that a caller would be given.

        Raises:
            Exception: A fault: an error outside the table, a broken promise, not enough memory.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", UserWarning)  # Pillow also warns of files that are cut off
                warnings.filterwarnings("ignore", "__array__ implementation")  # pycocotools under numpy 2
                self.attempt(example)
        except BoxmaskError as error:
            return _reason(error)
        return OK


def _reason(error: BoxmaskError) -> str:
    """Returns the reason of an error on the wire, where it must fit and must not be our own fault."""
    assert type(error) in RULES, f"no rule for {type(error).__name__}"
    status = to_status(error)
    if status.code == grpc.StatusCode.INTERNAL.value[0]:
        raise error
    size = len(quote(status.message)) + len(status.SerializeToString())
    assert size <= HEADERS, f"{size} bytes of {type(error).__name__} do not fit in headers"
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason
