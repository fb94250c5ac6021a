from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.errors import (
    BoxmaskError,
    BundleError,
    DrainingError,
    ImageTooLargeError,
    InvalidBoxError,
    InvalidImageError,
    InvalidRequestError,
    MissingExtraError,
    ModelNotFoundError,
    QueueFullError,
    TooManyBoxesError,
)
from boxmask_server.wire.status import RULES, abort, to_status
from tests.server.details import field_of, reason_of, retry_seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = grpc.StatusCode


def test_every_error_of_the_tree_has_a_rule() -> None:
    missing = {kind.__name__ for kind in _tree(BoxmaskError)} - {kind.__name__ for kind in RULES}
    assert not missing, f"add to boxmask_server.wire.status.RULES: {sorted(missing)}"


def test_every_reason_is_promised_in_the_contract_and_every_promise_is_kept() -> None:
    proto = Path(pb.__file__).with_name("labeling.proto").read_text(encoding="utf-8")
    sentence = re.search(r"one of the reasons (.*?)\. Bad input", proto, re.DOTALL)
    assert sentence is not None
    assert set(re.findall(r"[A-Z_]{4,}", sentence[1])) == {rule.reason for rule in RULES.values()}


@pytest.mark.parametrize(
    ("error", "code", "reason", "field"),
    [
        (
            InvalidBoxError((1, 1, 0, 0), "rule").of(3, "x"),
            CODE.INVALID_ARGUMENT,
            "INVALID_BOX",
            "instances[3].box",
        ),
        (InvalidImageError("image", "cut off"), CODE.INVALID_ARGUMENT, "INVALID_IMAGE", "image"),
        (ImageTooLargeError("pixels", 2, 1), CODE.INVALID_ARGUMENT, "IMAGE_TOO_LARGE", "image"),
        (TooManyBoxesError(2, 1), CODE.INVALID_ARGUMENT, "TOO_MANY_BOXES", "instances"),
        (InvalidRequestError("method", "no"), CODE.INVALID_ARGUMENT, "INVALID_REQUEST", "method"),
        (ModelNotFoundError("x", ("cfs",)), CODE.NOT_FOUND, "MODEL_NOT_FOUND", None),
        (MissingExtraError("x", "y", "crf"), CODE.FAILED_PRECONDITION, "MISSING_EXTRA", None),
        (QueueFullError(9), CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", None),
        (DrainingError(), CODE.UNAVAILABLE, "DRAINING", None),
    ],
)
def test_an_error_says_its_code_its_reason_and_its_field(
    error: BoxmaskError, code: grpc.StatusCode, reason: str, field: str | None
) -> None:
    status = to_status(error)
    assert (status.code, status.message) == (code.value[0], str(error))
    assert (reason_of(status), field_of(status)) == (reason, field)


def test_a_full_queue_says_when_to_come_back() -> None:
    assert retry_seconds_of(to_status(QueueFullError(9))) == 1
    assert retry_seconds_of(to_status(DrainingError())) is None


@pytest.mark.parametrize("error", [BundleError("/secret/place", "broken"), ValueError("/secret/place")])
def test_what_is_not_the_callers_business_is_logged_and_not_told(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    status = to_status(error)
    assert (status.code, reason_of(status)) == (CODE.INTERNAL.value[0], "INTERNAL")
    assert "secret" not in status.message
    assert "/secret/place" in caplog.text


def test_a_caller_that_left_in_this_very_moment_is_no_error_of_the_server() -> None:
    class Gone:
        def trailing_metadata(self) -> tuple[()]:
            return ()

        async def abort(self, *_: object) -> None:
            raise grpc.aio.InternalError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(abort(Gone(), DrainingError()))  # type: ignore[arg-type]  # all that is asked of a context


def test_a_message_stays_small_enough_for_a_header() -> None:
    status = to_status(InvalidBoxError((1, 1, 0, 0), "rule").of(0, "x" * 100_000))
    assert status.ByteSize() < 4000


def _tree(root: type[BoxmaskError]) -> Iterator[type[BoxmaskError]]:
    """Every error that a server can meet; the client's own are answers of another server."""
    yield root
    for child in root.__subclasses__():
        if not child.__module__.startswith("boxmask_client"):
            yield from _tree(child)
