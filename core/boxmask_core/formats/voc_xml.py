"""One annotation file of VOC's: its fields by name, wherever they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import ParseError

from defusedxml import ElementTree as DefusedTree
from defusedxml.common import DefusedXmlException

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

TAGS = ("xmin", "ymin", "xmax", "ymax")
"""The corners of a box, as VOC calls them."""


def annotation_path(root: Path, key: str) -> Path:
    """Returns the annotation file of a key."""
    return root / "Annotations" / f"{key}.xml"


def parse_annotation(path: Path) -> Element:
    """Returns the root of an annotation file.

    Raises:
        DatasetError: It is missing, is no XML, holds what untrusted XML must not, or has another root.
    """
    try:
        root = _parsed(path.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(path, "the annotation file is missing") from error
    except (ParseError, DefusedXmlException, ValueError, LookupError, OSError) as error:
        raise DatasetError(path, f"cannot be read as XML: {error}") from error
    if root.tag != "annotation":
        raise DatasetError(path, "the root element of a VOC file must be <annotation>")
    return root


def _parsed(data: bytes) -> Element:
    """Parses a file, by the fast parser where it can hold nothing that untrusted XML must not.

    Entities need a document type, and its mark is written as such in every encoding that expat takes, but for
    UTF-16, which has zero bytes.
    """
    plain = b"<!DOCTYPE" not in data and b"\0" not in data
    root: Element = ElementTree.fromstring(data) if plain else DefusedTree.fromstring(data)
    return root


def corners_of(element: Element) -> tuple[float, float, float, float] | None:
    """Returns xmin, ymin, xmax, ymax of an object as the file has them, None where they are no numbers."""
    texts = [text_of(element, f"bndbox/{tag}") for tag in TAGS]
    try:
        xmin, ymin, xmax, ymax = map(float, texts)  # float: VOC2012 itself has boxes with decimals
    except ValueError:
        return None
    return xmin, ymin, xmax, ymax


def flag_of(element: Element, tag: str) -> bool:
    """Says whether a flag is set: a positive number, or "true"."""
    text = text_of(element, tag).lower()
    try:
        return float(text) > 0
    except ValueError:
        return text == "true"


def text_of(element: Element, path: str) -> str:
    """Returns the text of a direct child, or of one below it, without the white space around it."""
    return (element.findtext(path) or "").strip()


def declared_size(annotation: Element) -> tuple[int, int] | None:
    """Returns ``(width, height)`` in pixels, None where the file declares none."""
    try:
        width, height = (int(float(text_of(annotation, f"size/{side}"))) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None
