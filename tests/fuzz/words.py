"""Exchanges words of JSON, XML, YAML, CSV and plain lists, which often stay what they are by that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Word = tuple[int, str | int]
"""Which word goes (modulo their number), and what takes its place: a text, or which other one (likewise)."""

_WORD = re.compile(r'"[^"\n]*"|[^\s,:;<>{}\[\]="]+')
_WORDS = (
    "", "-1", "0", "0.5", "1e30", "1e400", "-1e308", "nan", "NaN", "Infinity", "2147483648", "100000",
    "9" * 30, "9" * 400, "9" * 5000, "true", "null", "[]", "[[]]", "{}", "[1]", '[{"id":1}]', '""', '"x"',
    '"0"', '"-1"', '"nan"', '"1e400"', '"../../x"', '"a\\u0000"', '"\\ud800"', "[" * 1200, "<a>" * 300,
    "&x;", "!!x", "*a",
)  # fmt: skip

words: SearchStrategy[Word] = st.tuples(
    st.integers(0, 2000), st.one_of(st.sampled_from(_WORDS), st.sampled_from(_WORDS), st.integers(0, 2000))
)
"""Any of them."""


def with_word(data: bytes, word: Word) -> bytes:
    """Returns a text with one of its words exchanged, or as it is where it has none."""
    text, (place, value) = data.decode("latin-1"), word
    found = list(_WORD.finditer(text))
    if not found:
        return data
    old = found[place % len(found)]
    new = found[value % len(found)].group() if isinstance(value, int) else _dressed(value, old.group())
    return (text[: old.start()] + new + text[old.end() :]).encode("latin-1")


def _dressed(value: str, instead_of: str) -> str:
    # An attribute of XML without its quotes says only that this is no XML: they are given back at times.
    quoted = instead_of.startswith('"') and not value.startswith('"') and len(instead_of) % 2
    return f'"{value}"' if quoted else value
