"""Pascal VOC's ``SegmentationClass`` and ``SegmentationObject``: ours and any other's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.checks import rules
from boxmask_core.checks.maps import check_palette, open_map, told_names
from boxmask_core.formats.class_names import CLASS_NAMES
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import image_of_key
from boxmask_core.formats.keys import text_lines
from boxmask_core.formats.voc import VOC_CLASSES
from boxmask_core.palette import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.maps import LabelMap

CLASSES: Final = "SegmentationClass"
OBJECTS: Final = "SegmentationObject"
_LABEL_MAP: Final = "labelmap.txt"
"""Where CVAT and Datumaro name the classes: a line ``name:r,g,b:parts:actions`` each."""


def check_voc(root: Path, examination: Examination) -> None:
    """Checks the label maps of a VOC folder, one image in memory at a time."""
    findings = examination.findings
    names = told_names(lambda: _class_names(root), findings)
    own_colours = (root / _LABEL_MAP).is_file()
    if names is None:
        examination.notes.append(f"no {CLASS_NAMES} names the classes: indices are not checked")
    if not (root / CLASSES).is_dir():
        findings.add(rules.MISSING_FILE, str(root / CLASSES))
    has_objects = (root / OBJECTS).is_dir()
    examination.counts_masks = has_objects
    if has_objects:
        for name in files_below(root / OBJECTS, (".png",)):
            if not (root / CLASSES / name).is_file():
                findings.add(rules.MISSING_FILE, str(root / CLASSES / name), f"its {OBJECTS} is there")
    for name in files_below(root / CLASSES, (".png",)):
        classes = open_map(root / CLASSES / name, findings)
        if classes is None:
            continue
        where = f"{CLASSES}/{name}"
        indices = classes.indices()
        if not own_colours:
            check_palette(classes, indices, findings, where)
        if names is not None:
            for index in indices:
                if index >= len(names) and index != classes.void:
                    findings.add(rules.BAD_INDEX, where, f"{index}, of classes 0 to {len(names) - 1}")
        masks = _objects(root, name, classes, names, examination) if has_objects else None
        key = name[: -len(".png")]
        examination.add_image(key, classes.size, [image_of_key(root / "JPEGImages", key)], masks)


def _objects(
    root: Path, name: str, classes: LabelMap, names: Sequence[str] | None, examination: Examination
) -> Counter[str]:
    """Checks the object map beside a class map; returns its instances by class."""
    masks: Counter[str] = Counter()
    file, where = root / OBJECTS / name, f"{OBJECTS}/{name}"
    if not file.is_file():
        examination.findings.add(rules.MISSING_FILE, str(file), f"its {CLASSES} is there")
        return masks
    objects = open_map(file, examination.findings)
    if objects is None:
        return masks
    if objects.size != classes.size:
        told = "{} x {}, but its class map has {} x {}".format(*objects.size, *classes.size)
        examination.findings.add(rules.WRONG_SIZE, where, told)
        return masks
    # One number for each pair of object and class: pairs that occur are few, whatever the image's size.
    pairs = objects.labels.astype(np.int64) * (classes.void + 1) + classes.labels
    found: dict[int, set[int]] = {}
    for pair in np.unique(pairs).tolist():
        number, index = divmod(pair, classes.void + 1)
        found.setdefault(number, set()).add(index)
    for number, indices in found.items():
        if number == objects.void:
            indices = indices - {classes.void, 0}
            if indices:
                examination.findings.add(
                    rules.MIXED_OBJECT, where, f"void pixels have the classes {sorted(indices)}"
                )
        elif number == 0:
            if indices - {0, classes.void}:
                told = f"pixels of no object have the classes {sorted(indices - {0, classes.void})}"
                examination.findings.add(rules.MIXED_OBJECT, where, told)
        elif len(indices) > 1 or indices & {0, classes.void}:
            examination.findings.add(
                rules.MIXED_OBJECT, where, f"object {number} has the classes {sorted(indices)}"
            )
        else:
            (index,) = indices
            masks[names[index] if names is not None and index < len(names) else str(index)] += 1
    return masks


def _class_names(root: Path) -> tuple[str, ...] | None:
    """Returns the names by index, the background's first, or None where nothing tells them."""
    if (root / CLASS_NAMES).is_file():
        return text_lines(root / CLASS_NAMES)
    if (root / _LABEL_MAP).is_file():
        lines = text_lines(root / _LABEL_MAP)
        return tuple(line.split(":")[0] for line in lines if line.strip() and not line.startswith("#"))
    if (root / "ImageSets" / "Segmentation").is_dir():
        return (BACKGROUND, *VOC_CLASSES)
    return None
