"""Label maps without instances (Ultralytics semantic), and with instance ids (Cityscapes-like)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.checks import rules
from boxmask_core.checks.maps import open_map, told_names
from boxmask_core.checks.yolo_config import config_names, read_config
from boxmask_core.formats.cityscapes_masks import FOLDER
from boxmask_core.formats.class_names import written_class_names
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import exists, image_of_key
from boxmask_core.palette import VOID

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.checks.examination import Examination

_LABELS: Final = "_labelIds.png"
_INSTANCES: Final = "_instanceIds.png"
_OURS: Final = "_gtFine"
_PER_CLASS: Final = 1000


def check_semantic(root: Path, examination: Examination) -> None:
    """Checks the folders of masks that ``data.yaml`` names, one map in memory at a time."""
    examination.counts_masks = False
    config = read_config(root, examination.findings)
    if config is None:
        return
    names = config_names(config)
    if not names:
        examination.findings.add(rules.MISSING_FIELD, str(root / "data.yaml"), "names")
    told = config.get("masks_dir")
    masks_dir = told if isinstance(told, str) and told else "masks"
    folder = root / masks_dir
    if not (exists(folder) and folder.is_dir()):
        examination.findings.add(rules.MISSING_FILE, str(folder))
        return
    for name in files_below(folder, (".png",)):
        found = open_map(folder / name, examination.findings)
        if found is None:
            continue
        if found.labels.dtype != np.uint8:
            examination.findings.add(
                rules.WRONG_MODE, f"{masks_dir}/{name}", "16 bits, where the format has 8"
            )
        for index in found.indices():
            if names and index not in names and index != VOID:
                examination.findings.add(
                    rules.BAD_INDEX, f"{masks_dir}/{name}", f"{index} is not among the names"
                )
        key = name[: -len(".png")]
        examination.add_image(key, found.size, [image_of_key(root / "images", key)])


def check_cityscapes(root: Path, examination: Examination) -> None:
    """Checks pairs of label ids and instance ids, one pair in memory at a time."""
    findings = examination.findings
    names = told_names(lambda: written_class_names(root), findings)
    if names is None:
        examination.notes.append("no class_names.txt names the classes: label ids are not checked")
    base = root / FOLDER if (root / FOLDER).is_dir() else root
    for name in files_below(base, (_INSTANCES.lower(),)):
        if not (base / (name[: -len(_INSTANCES)] + _LABELS)).is_file():
            findings.add(rules.MISSING_FILE, str(base / (name[: -len(_INSTANCES)] + _LABELS)))
    for name in files_below(base, (_LABELS.lower(),)):
        stem = name[: -len(_LABELS)]
        labels = open_map(base / name, findings)
        if not (base / f"{stem}{_INSTANCES}").is_file():
            findings.add(rules.MISSING_FILE, str(base / f"{stem}{_INSTANCES}"))
            continue
        instances = open_map(base / f"{stem}{_INSTANCES}", findings)
        if labels is None or instances is None:
            continue
        if instances.size != labels.size:
            told = "{} x {}, but its label ids have {} x {}".format(*instances.size, *labels.size)
            findings.add(rules.WRONG_SIZE, f"{stem}{_INSTANCES}", told)
            continue
        for index in labels.indices():
            if names is not None and index >= len(names) and index != VOID:
                findings.add(rules.BAD_INDEX, name, f"{index}, of classes 0 to {len(names) - 1}")
        ids, classes = instances.labels.astype(np.int64), labels.labels.astype(np.int64)
        of_class = np.where(ids >= _PER_CLASS, ids // _PER_CLASS, ids)
        # Cityscapes gives regions without evaluation an instance id of their own or none.
        wrong = (of_class != classes) & ~((classes == VOID) & (ids == 0))
        if wrong.any():
            y, x = (int(place[0]) for place in np.nonzero(wrong))
            told = f"id {ids[y, x]} at x={x} y={y}, where the label is {classes[y, x]}"
            findings.add(rules.MIXED_OBJECT, f"{stem}{_INSTANCES}", told)
        masks: Counter[str] = Counter()
        for number in instances.indices():
            if number >= _PER_CLASS:
                index = number // _PER_CLASS
                masks[names[index] if names is not None and index < len(names) else str(index)] += 1
            elif number not in {0, VOID}:
                examination.counts_masks = False  # a group: how many it holds is not told
        key = stem.removesuffix(_OURS)
        images = base.parent / "leftImg8bit"
        places = [images / f"{key}_leftImg8bit.png", image_of_key(root / "images", key)]
        examination.add_image(key, labels.size, places, masks)
