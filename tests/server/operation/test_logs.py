from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_server.operation.call import CURRENT, Call, host_of, request_id_of
from boxmask_server.operation.logs import FACTS, LineHandler, configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger("boxmask_server.tests")


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[str, str], Callable[[], list[str]]]]:
    """Returns what sends logs to a file, and then what reads it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    descriptor = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def to_file(kind: str, least: str) -> Callable[[], list[str]]:
        configure("json" if kind == "json" else "text", least, descriptor)
        return lambda: (tmp_path / "log").read_text(encoding="utf-8").splitlines()

    yield to_file
    os.close(descriptor)
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def call() -> Iterator[Call]:
    call = Call("boxmask.v1.LabelingService", "Segment", "id-7", caller="editor")
    token = CURRENT.set(call)
    yield call
    CURRENT.reset(token)


@pytest.mark.usefixtures("call")
def test_a_json_line_holds_the_message_its_facts_and_the_request(
    lines: Callable[[str, str], Callable[[], list[str]]],
) -> None:
    written = lines("json", "info")
    logger.info("called %s", "once\nor twice", extra={FACTS: {"ms": 1.5, "reason": "", "peer": None}})
    (line,) = map(json.loads, written())
    assert line.pop("time").endswith("+00:00")
    assert line.pop("pid") == os.getpid()
    assert line == {
        "level": "INFO",
        "logger": "boxmask_server.tests",
        "message": "called once\nor twice",
        "request_id": "id-7",
        "method": "Segment",
        "caller": "editor",
        "ms": 1.5,
    }


def test_a_trace_stays_in_the_line_of_its_record(
    lines: Callable[[str, str], Callable[[], list[str]]],
) -> None:
    written = lines("json", "info")
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError:
        logger.exception("it failed")
    (line,) = map(json.loads, written())
    assert "ZeroDivisionError: by nought" in line["exception"]
    assert "request_id" not in line


@pytest.mark.usefixtures("call")
def test_a_text_line_ends_with_the_facts(lines: Callable[[str, str], Callable[[], list[str]]]) -> None:
    written = lines("text", "info")
    logger.warning("slow", extra={FACTS: {"ms": 1234.5678, "what": "two words", "id": "line\nbreak"}})
    (line,) = written()
    assert line.partition(" ")[2] == (
        "WARNING boxmask_server.tests: slow request_id=id-7 method=Segment caller=editor ms=1234.6 "
        'what="two words" id="line\\nbreak"'
    )


def test_what_is_less_urgent_than_the_level_is_left_out(
    lines: Callable[[str, str], Callable[[], list[str]]],
) -> None:
    written = lines("text", "warning")
    logger.info("no")
    logger.warning("yes")
    assert [line.split(": ")[1] for line in written()] == ["yes"]


def test_a_log_on_a_full_disk_is_counted_and_breaks_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        handler = LineHandler(descriptor)
        record = logging.makeLogRecord({"msg": "lost"})
        handler.handle(record)
        handler.handle(record)
    finally:
        os.close(descriptor)
    handler.handle(record)  # and a closed one is no better
    assert handler.lost == 3
    assert capfd.readouterr() == ("", "")


def test_a_record_that_cannot_be_written_out_is_counted_too() -> None:
    handler = LineHandler(1)
    handler.handle(logging.makeLogRecord({"msg": "%d items", "args": ("no number",)}))
    assert handler.lost == 1


@pytest.mark.parametrize("given", ["abc-123", "x" * 128, "{}\"'"])
def test_a_printable_request_id_is_kept(given: str) -> None:
    assert request_id_of(given) == given


@pytest.mark.parametrize(
    "given", [None, "", "x" * 129, "two words", "line\nbreak", "\x1b[31m", "ä", b"bytes"]
)
def test_another_request_id_is_replaced_by_a_new_one(given: Any) -> None:
    made = request_id_of(given)
    assert len(made) == 16
    assert made != request_id_of(given)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.1:51234", "ipv4:10.0.0.1"),
        ("ipv6:[::1]:51234", "ipv6:[::1]"),
        ("ipv6:%5B::1%5D:51234", "ipv6:%5B::1%5D"),
        ("unix:/run/boxmask.sock", "unix:/run/boxmask.sock"),
        ("unix:", "unix:"),
    ],
)
def test_a_peer_is_named_without_its_port(peer: str, host: str) -> None:
    assert host_of(peer) == host
