"""CVAT XML 1.1 "for images": ``<mask>`` elements, written and read back.

A mask is the runs of its bounds, row by row, with ``left``, ``top``, ``width`` and ``height``. ``occluded``
is an XML attribute; the other flags and what `boxmask_core.formats.kept_masks` names are CVAT attributes: a
task whose labels declare them keeps them, and any other passes over them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import truth
from boxmask_core.formats.cvat import ANNOTATIONS, attributes, children, declared_size
from boxmask_core.formats.cvat_rle import pixels_of_runs, row_runs
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.kept_masks import (
    MASK_ERRORS,
    checked_size,
    cropped,
    flag_fields,
    kept_fields,
    mask_bounds,
    restored_mask,
)
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.one_file import OneFileWriter
from boxmask_core.instances import Flags, MaskedImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import InstanceMask

NO_XML = "texts with characters that XML cannot hold"
_KEPT = ("source_box", "source_id", "quality", "fallback")
_ATTRIBUTES = ("difficult", "truncated", "crowd", *_KEPT)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, escaped or not."""


class CvatMaskWriter(OneFileWriter):
    """Writes ``annotations.xml``: one file, complete or absent, the same whatever the order of the images.

    Args:
        out: The folder to write to.
        class_names: Every class.
        options: What the user decided; overlaps are kept, and ``void_below`` is refused.

    Raises:
        DatasetError: Masks that are not trusted are to become void.
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> None:
        super().__init__(out, class_names, options, ANNOTATIONS)

    def write(self, image: MaskedImage) -> tuple[()]:
        """Keeps the masks of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        masks = [_fields(mask) for _, mask in self.filled(image)]
        head = {"name": image.file_name, "width": image.width, "height": image.height}
        texts = [image.file_name, *(mask.instance.id for mask in image.masks)]
        self.count({NO_XML: sum(map(bool, map(_NOT_XML.search, texts)))})
        self._journal.add(image.key, {"image": head, "masks": masks})
        return ()

    def _assemble(self, file: BinaryIO) -> None:
        file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(_meta(self._class_names).encode())
        for number, line in enumerate(self._journal.lines()):
            file.write(_image(number, line).encode())
        file.write(b"</annotations>\n")


def read_cvat_masks(path: Path) -> Iterator[MaskedImage]:
    """Yields what `CvatMaskWriter` wrote, in the file's order, and the masks of CVAT's own exports.

    Args:
        path: ``annotations.xml``, or the folder with it.

    Raises:
        DatasetError: The file breaks the format.
    """
    file = path / ANNOTATIONS if path.is_dir() else path
    for element in children(file):
        if element.tag != "image":
            continue
        name = element.get("name") or ""
        try:
            size = declared_size(element)
            if size is None:
                raise ValueError("no width and height")
            checked_size(*size)
            masks = tuple(_read(mask, size) for mask in element.findall("mask"))
        except MASK_ERRORS as error:
            raise DatasetError(file, f"image {name!r} cannot be read as masks: {error!r}") from error
        yield MaskedImage(key_of(name, file), name, *size, masks)


def _fields(mask: InstanceMask) -> dict[str, Any]:
    bounds = mask_bounds(mask.proposal)
    kept = kept_fields(mask)
    kept["source_box"] = ",".join(map(repr, kept["source_box"]))
    noted = {name: str(value).lower() for name, value in flag_fields(mask.instance.flags).items()}
    return {
        "label": mask.instance.class_name,
        "occluded": int(mask.instance.flags.occluded),
        "rle": ", ".join(map(str, row_runs(cropped(mask.proposal, bounds)))),
        "place": {"left": bounds.x0, "top": bounds.y0, "width": bounds.width, "height": bounds.height},
        "attributes": {**noted, **kept},
    }


def _meta(class_names: Sequence[str]) -> str:
    attribute = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
        for name in _ATTRIBUTES
    )
    labels = "".join(
        f"<label><name>{_escaped(name)}</name><type>mask</type><attributes>{attribute}</attributes></label>\n"
        for name in class_names
    )
    return f"<meta><task><mode>annotation</mode><labels>\n{labels}</labels></task></meta>\n"


def _image(number: int, line: Mapping[str, Any]) -> str:
    masks = "".join(map(_mask, line["masks"]))
    return f"<image {_words({'id': number, **line['image']})}>\n{masks}</image>\n"


def _mask(mask: Mapping[str, Any]) -> str:
    head = {"label": mask["label"], "source": "auto", "occluded": mask["occluded"], "rle": mask["rle"]}
    noted = "".join(
        f'<attribute name="{name}">{_escaped(str(mask["attributes"][name]))}</attribute>'
        for name in _ATTRIBUTES
    )
    return f"<mask {_words({**head, **mask['place'], 'z_order': 0})}>{noted}</mask>\n"


def _words(fields: Mapping[str, object]) -> str:
    return " ".join(f"{name}={quoteattr(_NOT_XML.sub('?', str(value)))}" for name, value in fields.items())


def _escaped(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))


def _read(mask: Element, size: tuple[int, int]) -> InstanceMask:
    left, top, width, height = (int(mask.get(name, "")) for name in ("left", "top", "width", "height"))
    pixels = pixels_of_runs([int(run) for run in mask.get("rle", "").split(",")], width, height)
    noted = attributes(mask)
    flags = Flags(
        difficult=truth(noted.get("difficult")),
        truncated=truth(noted.get("truncated")),
        occluded=truth(mask.get("occluded")),
        crowd=truth(noted.get("crowd")),
    )
    fields: dict[str, Any] = {name: noted[name] for name in _KEPT if name in noted}
    if "source_box" in fields:
        fields["source_box"] = fields["source_box"].split(",")
    return restored_mask(pixels, left, top, size, mask.get("label", ""), flags, fields)
