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
