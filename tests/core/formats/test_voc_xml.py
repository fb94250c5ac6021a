"""Annotation files are parsed by the fast parser, and never one that could hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import DatasetError
from boxmask_core.formats.voc_xml import parse_annotation, text_of

if TYPE_CHECKING:
    from pathlib import Path

BOMB = (
    '<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<annotation><filename>&b;</filename></annotation>"
)
FILE = '<!DOCTYPE annotation [<!ENTITY f SYSTEM "file:///etc/hostname">]><annotation>&f;</annotation>'
NAME = "Katze & M\N{LATIN SMALL LETTER A WITH DIAERESIS}use.jpg"
PLAIN = f"<annotation><filename>{NAME.replace('&', '&amp;')}</filename></annotation>"
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "iso-8859-1",
    "cp1252",
    "cp037",
    "utf-7",
]


def _written(path: Path, text: str, encoding: str) -> Path:
    """Declares the encoding in the file's own encoding, or in ASCII where no reader could find it else."""
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    readable = encoding.startswith("utf-16")
    start = head.encode(encoding) if readable else head.encode("ascii")
    path.write_bytes(start + text.encode("utf-16-le" if encoding == "utf-16" else encoding))
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", [BOMB, FILE])
def test_entities_are_refused_in_every_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(DatasetError, match="cannot be read as XML"):
        parse_annotation(_written(tmp_path / "a.xml", text, encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "cp1252"])
def test_plain_files_are_read_in_their_encoding(tmp_path: Path, encoding: str) -> None:
    root = parse_annotation(_written(tmp_path / "a.xml", PLAIN, encoding))
    assert text_of(root, "filename") == NAME


def test_a_reference_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotation>&nobody;</annotation>")
    with pytest.raises(DatasetError, match="cannot be read as XML"):
        parse_annotation(tmp_path / "a.xml")
