"""What other libraries made of our files, asked once and kept in ``oracles``, so that tests need neither.

supervision read them by ``DetectionDataset.from_yolo`` and ``.from_coco`` with ``force_masks=True``. Beside
its answer stands what it was shown: a writer that comes to write anything else has to be shown to it anew.

panopticapi, the reference of COCO panoptic, turned the flat scene of our COCO file into its own format
(``detection2panoptic_coco_format``) and compared our panoptic files with one another
(``pq_compute_single_core`` and ``pq_average`` over all categories; ``pq_compute`` divides by zero where no
category is stuff).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_core.compositing import Overlaps
from boxmask_core.formats import WRITERS
from boxmask_core.formats.interface import WriterOptions
from tests.core.formats.oracle_scene import (
    HEIGHT,
    NAMES,
    WIDTH,
    disc_with_hole,
    scene,
    square_in_the_hole,
    triangle,
    two_parts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.compositing import OverlapPolicy

ORACLES = Path(__file__).parent / "oracles"
SUPERVISION = json.loads((ORACLES / "supervision.json").read_text())["formats"]
PANOPTICAPI = json.loads((ORACLES / "panopticapi.json").read_text())


def read_by_supervision(target: str, out: Path) -> list[tuple[str, NDArray[np.bool_]]]:
    """Writes the scene, checks that it is what supervision was shown, and returns what it read."""
    with WRITERS[target](out, NAMES) as writer:
        writer.write(scene(flat=False))
    file = out / "labels" / "a.txt" if target.startswith("yolo") else out / "instances.json"
    assert file.read_text() == SUPERVISION[target]["shown"]
    return [(entry["class"], filled(entry["runs"])) for entry in SUPERVISION[target]["read"]]


def filled(runs: list[int]) -> NDArray[np.bool_]:
    values = np.arange(len(runs)) % 2 == 1
    return np.asarray(np.repeat(values, runs).reshape(HEIGHT, WIDTH))


def test_supervision_reads_holes_of_yolo_lines_as_holes_and_pays_four_pixels_for_a_bridge(
    tmp_path: Path,
) -> None:
    found = read_by_supervision("yolo", tmp_path)
    assert [name for name, _ in found] == ["cat", "dog", "cat", "dog"]
    disc, corner, parts, square = (mask for _, mask in found)
    assert (disc == disc_with_hole()).all()
    assert (corner == triangle()).all()
    assert (square == square_in_the_hole()).all()
    assert (parts >= two_parts()).all()
    assert int((parts ^ two_parts()).sum()) == 4


def test_supervision_reads_each_part_of_a_split_line_exactly(tmp_path: Path) -> None:
    found = read_by_supervision("yolo-split", tmp_path)
    assert [name for name, _ in found] == ["cat", "dog", "cat", "cat", "dog"]
    disc, corner, lower, upper, square = (mask for _, mask in found)
    assert (disc == disc_with_hole()).all()
    assert (corner == triangle()).all()
    assert (square == square_in_the_hole()).all()
    assert not (lower & upper).any()
    assert ((lower | upper) == two_parts()).all()


def test_supervision_reads_the_largest_part_exactly(tmp_path: Path) -> None:
    found = read_by_supervision("yolo-largest", tmp_path)
    expected = two_parts()
    expected[:10] = False
    assert (found[2][1] == expected).all()


def test_supervision_reads_coco_run_lengths_exactly(tmp_path: Path) -> None:
    found = read_by_supervision("coco", tmp_path)
    expected = [disc_with_hole(), triangle(), two_parts(), square_in_the_hole()]
    assert [name for name, _ in found] == ["cat", "dog", "cat", "dog"]
    assert all((mask == wanted).all() for (_, mask), wanted in zip(found, expected, strict=True))


def test_supervision_draws_a_rim_around_coco_polygons_as_it_does_around_all(tmp_path: Path) -> None:
    """It counts edges in, at the right and at the bottom; COCO's own rasteriser fills exactly the mask."""
    *_, (_, square) = read_by_supervision("coco-polygons", tmp_path)
    expected = square_in_the_hole()
    expected |= np.roll(expected, 1, axis=0)
    expected |= np.roll(expected, 1, axis=1)
    assert (square == expected).all()


def write_panoptic(out: Path, policy: OverlapPolicy, *, flat: bool = False) -> tuple[Any, NDArray[np.int64]]:
    """Returns the segments and the map of their ids."""
    with WRITERS["coco-panoptic"](out, NAMES, WriterOptions(Overlaps(policy))) as writer:
        writer.write(scene(flat=flat))
    (annotation,) = json.loads((out / "panoptic.json").read_text())["annotations"]
    with Image.open(out / "panoptic" / "a.png") as image:
        colours = np.asarray(image).astype(np.int64)
    return annotation["segments_info"], colours @ np.array([1, 256, 65536])


def test_panoptic_segments_are_those_that_the_reference_converter_makes(tmp_path: Path) -> None:
    infos, segments = write_panoptic(tmp_path, "area", flat=True)
    reference = PANOPTICAPI["converter"]
    assert [info["id"] for info in infos] == [1, 2, 3, 4]
    assert [{name: info[name] for name in info if name != "id"} for info in infos] == reference["segments"]
    values, lengths = zip(*reference["runs"], strict=True)
    assert (segments == np.repeat(values, lengths).reshape(HEIGHT, WIDTH)).all()


@pytest.mark.parametrize("pair", PANOPTICAPI["quality"])
def test_panoptic_quality_is_what_the_reference_evaluation_found(tmp_path: Path, pair: str) -> None:
    """Among others with void as the truth, whose pixels it leaves out."""
    truth, prediction = pair.split()
    infos, true = write_panoptic(tmp_path / "truth", truth)  # type: ignore[arg-type]  # one of the policies
    _, predicted = write_panoptic(tmp_path / "prediction", prediction)  # type: ignore[arg-type]  # likewise
    quality = []
    for category in (1, 2):
        overlaps = []
        for info in infos:
            if info["category_id"] == category and not info["iscrowd"]:
                one, other = true == info["id"], (predicted == info["id"]) & (true != 0)
                overlaps.append((one & other).sum() / (one | other).sum())
        assert min(overlaps) > 0.5  # so every segment has its match, and recognition is perfect
        quality.append(np.mean(overlaps))
    assert PANOPTICAPI["quality"][pair] == {
        "pq": pytest.approx(np.mean(quality), abs=1e-12),
        "sq": pytest.approx(np.mean(quality), abs=1e-12),
        "rq": 1.0,
    }
