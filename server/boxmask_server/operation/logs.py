"""Logs: one line for each record, for people or as JSON, with the id of the request that it belongs to.

What is logged of an image is how many bytes it has; what is logged of a caller is the name of its token. A
log that cannot be written, on a full disk for example, is counted and otherwise nobody's concern: serving
goes on.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from boxmask_server.operation.call import CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping

Format = Literal["text", "json"]

FACTS: Final = "facts"
"""The attribute of a record that holds what it says in fields of their own."""
NOT_OURS: Final = ("grpc", "opentelemetry", "urllib3")
"""Libraries whose chatter below a warning is left out."""


class LineHandler(logging.Handler):
    """Writes lines to a file descriptor, whole and unbuffered: what cannot be written now is not kept.

    Args:
        descriptor: Where lines go.

    Attributes:
        lost: Lines that could not be written.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record; never raises."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            while line:
                line = line[os.write(self._descriptor, line) :]
        except Exception:  # whatever it is, the work that is logged must go on
            self.lost += 1


def configure(kind: Format, level: str, descriptor: int | None = None) -> LineHandler:
    """Makes all logs of the process lines of one kind.

    Args:
        kind: ``text`` or ``json``.
        level: The least urgent level to log, by its name.
        descriptor: Where they go; without it, to standard error.

    Returns:
        What writes them.
    """
    handler = LineHandler(sys.stderr.fileno() if descriptor is None else descriptor)
    handler.setFormatter(JsonLines() if kind == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in NOT_OURS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """Time, level, logger and message, then the facts as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end; a trace of an error adds lines of its own."""
        facts = "".join(f" {name}={_word(value)}" for name, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{facts}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _facts(record: logging.LogRecord) -> dict[str, object]:
    call = CURRENT.get()
    facts: dict[str, object] = {}
    if call is not None:
        facts = {
            "request_id": call.request_id,
            "trace_id": call.trace_id,
            "method": call.method,
            "caller": call.caller,
        }
    given: Mapping[str, object] = getattr(record, FACTS, {})
    return {name: value for name, value in (facts | dict(given)).items() if value not in {"", None}}


def _word(value: object) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    is_word = text.isprintable() and " " not in text and '"' not in text
    return text if is_word else json.dumps(text, ensure_ascii=False)
