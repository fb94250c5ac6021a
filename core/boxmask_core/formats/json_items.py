"""JSON files of any size, one list item at a time.

Items are decoded by the standard library's decoder, so that a stream takes exactly what `json.loads` takes:
NaN and Infinity, which annotation tools do write, a byte order mark, UTF-16. Parsers made for streams refuse
the whole file for one of them.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TextIO

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_CHUNK: Final = 1 << 20
_LONGEST_TOKEN: Final = 16
"""An error that stands further from the end of what was read is none of text that was cut off there."""


class ListStart(Enum):
    """Stands in a stream where a list begins, so that an empty list is seen too."""

    LIST = "list"


def json_items(file: Path, *, without: Collection[str] = ()) -> Iterator[tuple[str | None, Any]]:
    """Yields what a JSON file holds, a list's items one by one.

    Args:
        file: The file, in an encoding of Unicode.
        without: Fields that are dropped from every object inside: masks and embedded images are by far the
            most of an annotation file.

    Yields:
        ``(field, value)`` of every field of the object that the file holds; of a list first `ListStart.LIST`,
        then every item under the same field. The field is None where the file holds no object.

    Raises:
        DatasetError: The file is missing or is not JSON; what was well-formed has been yielded by then.
    """

    def kept(fields: dict[str, Any]) -> dict[str, Any]:
        for name in without:
            fields.pop(name, None)
        return fields

    decoder = json.JSONDecoder(object_hook=kept if without else None)
    try:
        with file.open("rb") as opened:
            encoding = json.detect_encoding(opened.read(4))
        with file.open(encoding=encoding, errors="surrogatepass", newline="") as text:
            yield from _document(_Window(text, decoder))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(file, f"cannot be read as JSON: {error}") from error


class _Window:
    """The part of a text that was read and not yet decoded."""

    def __init__(self, opened: TextIO, decoder: json.JSONDecoder) -> None:
        self._opened = opened
        self._decoder = decoder
        self._text = ""
        self._at = 0
        self._before = 0
        self._ended = False

    def next_mark(self) -> str:
        """Returns the next character that is no white space, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text):
                if (mark := self._text[self._at]) not in " \t\r\n":
                    return mark
                self._at += 1
            if self._ended:
                return ""
            self._read_on()

    def take(self, *expected: str) -> str:
        """Takes the next mark, which must be one of the expected."""
        mark = self.next_mark()
        if mark not in expected:
            got = repr(mark) if mark else "the end of the file"
            raise self._error(f"expected {' or '.join(map(repr, expected))}, but got {got}", self._at)
        self._at += 1
        return mark

    def value(self) -> Any:
        """Takes one whole value."""
        self.next_mark()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._is_of_the_cut(error):
                    raise self._error(error.msg, error.pos) from error
            else:
                if (
                    self._ended or len(self._text) - end >= _LONGEST_TOKEN
                ):  # else a number might go on: 1.5e+7
                    self._at = end
                    return value
            self._read_on()

    def _is_of_the_cut(self, error: json.JSONDecodeError) -> bool:
        near_end = len(self._text) - error.pos <= _LONGEST_TOKEN
        return near_end or error.msg.startswith("Unterminated string")

    def _read_on(self) -> None:
        self._before += self._at
        self._text = self._text[self._at :]
        self._at = 0
        more = self._opened.read(max(_CHUNK, len(self._text)))  # doubling: a long value takes linear time
        self._ended = not more
        self._text += more

    def _error(self, problem: str, at: int) -> ValueError:
        return ValueError(f"{problem} (char {self._before + at})")


def _document(text: _Window) -> Iterator[tuple[str | None, Any]]:
    yield from _fields(text) if text.next_mark() == "{" else _items(text, None)
    if mark := text.next_mark():
        raise ValueError(f"{mark!r} follows its end")


def _fields(text: _Window) -> Iterator[tuple[str | None, Any]]:
    text.take("{")
    if text.next_mark() == "}":
        text.take("}")
        return
    while True:
        if text.next_mark() != '"':
            text.take('"')
        field = text.value()
        text.take(":")
        yield from _items(text, field)
        if text.take(",", "}") == "}":
            return


def _items(text: _Window, field: str | None) -> Iterator[tuple[str | None, Any]]:
    if text.next_mark() != "[":
        yield field, text.value()
        return
    text.take("[")
    yield field, ListStart.LIST
    if text.next_mark() == "]":
        text.take("]")
        return
    while True:
        yield field, text.value()
        if text.take(",", "]") == "]":
            return
