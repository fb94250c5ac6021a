"""Whatever stands in an annotation file, a check ends and says what is wrong."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_core.checks import CHECKS, checked_format
from boxmask_core.checks.examination import Examination
from boxmask_core.formats import WRITERS
from tests.core.formats.scenes import NAMES, cat_and_dog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.core.conftest import MakeMask

FILES = {
    "coco": "instances.json",
    "coco-polygons": "instances.json",
    "coco-panoptic": "panoptic.json",
    "labelme": "labelme/sub/a.json",
    "labelme-polygons": "labelme/sub/a.json",
    "labelstudio": "tasks.json",
    "labelstudio-bitmask": "tasks.json",
    "labelstudio-polygons": "tasks.json",
}
STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    0.5,
    10**30,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "../../x",
    "\ud800",
    [],
    [1],
    [[]],
    {},
    {"id": 1},
)


def _places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = (
        content.keys()
        if isinstance(content, dict)
        else range(len(content))
        if isinstance(content, list)
        else ()
    )
    for step in steps:
        yield (*place, step)
        yield from _places(content[step], (*place, step))


@pytest.mark.parametrize("target", FILES)
def test_no_value_in_any_place_ends_a_check(tmp_path: Path, make_mask: MakeMask, target: str) -> None:
    with WRITERS[target](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    file = tmp_path / FILES[target]
    whole = file.read_text()
    places = list(_places(json.loads(whole)))
    rng = random.Random(7)
    noticed = 0
    for place in rng.choices(places, k=150):
        content = json.loads(whole)
        inner = content
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = rng.choice(STRANGE)
        file.write_text(json.dumps(content))
        examination = Examination()
        CHECKS[checked_format(target) or ""](tmp_path, examination)
        examination.finish()
        noticed += examination.findings.errors > 0
    # Much of a file is nobody's business but its owner's: scores, flags, descriptions.
    assert noticed > 20


@pytest.mark.parametrize("target", FILES)
def test_a_file_that_is_cut_anywhere_is_unreadable(tmp_path: Path, make_mask: MakeMask, target: str) -> None:
    with WRITERS[target](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    file = tmp_path / FILES[target]
    whole = file.read_bytes().rstrip()
    for end in random.Random(7).sample(range(len(whole)), 20):
        file.write_bytes(whole[:end])
        examination = Examination()
        CHECKS[checked_format(target) or ""](tmp_path, examination)
        assert any(found.rule.name == "unreadable_file" for found in examination.findings)


@pytest.mark.parametrize(
    ("target", "name"),
    [("voc", "class_names.txt"), ("cityscapes", "class_names.txt"), ("labelme", "labels.txt")],
)
def test_names_that_are_no_text_are_found(
    tmp_path: Path, make_mask: MakeMask, target: str, name: str
) -> None:
    with WRITERS[target](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    assert (tmp_path / name).is_file()
    (tmp_path / name).write_bytes(b"cat\n\xff\n")
    examination = Examination()
    CHECKS[target](tmp_path, examination)
    assert [found.rule.name for found in examination.findings if found.rule.severity == "error"] == [
        "unreadable_file"
    ]


@pytest.mark.parametrize("field", ["names", "masks_dir"])
def test_yaml_without_a_bottom_is_no_names_and_no_folder(
    tmp_path: Path, make_mask: MakeMask, field: str
) -> None:
    with WRITERS["semantic"](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    config = (tmp_path / "data.yaml").read_text()
    endless = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 'x'}]\n" for i in range(20))
    (tmp_path / "data.yaml").write_text(f"{endless}{config}{field}: *a19\n")
    examination = Examination()
    CHECKS["semantic"](tmp_path, examination)
    assert (examination.findings.errors > 0) == (field == "names")


def test_a_folder_of_masks_that_the_system_refuses_is_missing(tmp_path: Path, make_mask: MakeMask) -> None:
    with WRITERS["semantic"](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    (tmp_path / "data.yaml").write_text(f"names: [cat, dog]\nmasks_dir: {'x' * 300}\n")
    examination = Examination()
    CHECKS["semantic"](tmp_path, examination)
    assert [found.rule.name for found in examination.findings] == ["missing_file"]


def test_a_corner_that_no_float_holds_is_a_bad_polygon(tmp_path: Path, make_mask: MakeMask) -> None:
    with WRITERS["labelstudio-polygons"](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    tasks[0]["predictions"][0]["result"][0]["value"]["points"][0][0] = 10**400
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    examination = Examination()
    CHECKS["labelstudio"](tmp_path, examination)
    assert "bad_polygon" in [found.rule.name for found in examination.findings]
