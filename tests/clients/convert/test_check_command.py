"""``boxmask check``: our own conversions are clean, and each way to break one is found by name."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_convert.check_command import main
from boxmask_convert.command import main as convert
from boxmask_core.errors import DatasetError
from boxmask_core.formats import WRITERS
from boxmask_core.palette import decode_indexed_png, encode_indexed_png
from tests.clients.scenes import CAT, EAR, VocFolder, cat, jpeg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Mutation = Callable[[Path], object]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> VocFolder:
    data = VocFolder(tmp_path_factory.mktemp("source") / "data")
    for i in range(3):
        data.good(f"good{i}", seed=i)
    return data


@pytest.fixture(scope="module")
def conversions(source: VocFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same dataset in every format that masks are written in."""
    root = tmp_path_factory.mktemp("conversions")
    for target in WRITERS:
        command = [str(source.root), str(root / target), "--to", target, "--method", "grabcut"]
        assert convert([*command, "--allow-lossy", "--no-report", "--progress", "none"]) == 0
    return {target: root / target for target in WRITERS}


def _checked(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main([*map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def _problems(found: dict[str, Any], severity: str = "error") -> set[str]:
    return {problem["name"] for problem in found["problems"] if problem["severity"] == severity}


@pytest.mark.parametrize("target", WRITERS)
def test_our_own_conversions_are_clean(
    conversions: dict[str, Path], source: VocFolder, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = _checked(capsys, conversions[target], "--against", source.root)
    assert found["problems"] == []
    assert (status, found["clean"], found["images"]) == (0, True, 3)
    if target == "semantic":
        assert found["masks"] is None
    else:
        summary = json.loads((conversions[target] / "summary.json").read_text())
        split = summary["losses"].get("parts written as objects of their own", 0)
        assert found["masks"] == 6 + split
        if not split:
            assert found["classes"] == {"cat": 3, "ear": 3}


def _edit(file: str, pattern: str, replacement: str) -> Mutation:
    """Replaces the first match in a text file; there must be one."""

    def mutate(root: Path) -> None:
        path = root / file
        text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1)
        assert count == 1
        path.write_text(text, encoding="utf-8")

    return mutate


def _edit_json(file: str, change: Callable[[Any], None]) -> Mutation:
    def mutate(root: Path) -> None:
        content = json.loads((root / file).read_text())
        change(content)
        (root / file).write_text(json.dumps(content))

    return mutate


def _remove(file: str) -> Mutation:
    return lambda root: (root / file).unlink()


def _cut(file: str) -> Mutation:
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[:-40])


def _repaint(file: str, change: Callable[[Any], Any]) -> Mutation:
    """Changes the indices of an indexed PNG."""

    def mutate(root: Path) -> None:
        labels = change(decode_indexed_png((root / file).read_bytes()).copy())
        (root / file).write_bytes(encode_indexed_png(np.ascontiguousarray(labels)))

    return mutate


def _repaint_grey(file: str, change: Callable[[Any], Any]) -> Mutation:
    def mutate(root: Path) -> None:
        with Image.open(root / file) as image:
            labels = np.array(image)
        Image.fromarray(np.ascontiguousarray(change(labels))).save(root / file)

    return mutate


def _with(corner: object) -> Callable[[Any], Any]:
    def change(labels: Any) -> Any:
        labels[0, 0] = corner
        return labels

    return change


def _to_grey_palette(root: Path) -> None:
    file = root / "SegmentationClass/good0.png"
    labels = decode_indexed_png(file.read_bytes())
    image = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    image.save(file)


def _to_rgb(root: Path) -> None:
    with Image.open(root / "SegmentationClass/good0.png") as image:
        rgb = image.convert("RGB")
    rgb.save(root / "SegmentationClass/good0.png")


def _set(*place: object, to: object) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for step in place[:-1]:
            content = content[step]
        content[place[-1]] = to

    return change


def _twice(*place: object) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for step in place:
            content = content[step]
        content.append(content[0])

    return change


def _drop(*place: object) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for step in place[:-1]:
            content = content[step]
        del content[place[-1]]

    return change


def _flip_rle(content: Any) -> None:
    """Flips the lowest bit of one byte of the run lengths."""
    shape = content["annotations"][0]["segmentation"]
    shape["counts"] = shape["counts"][:4] + chr(ord(shape["counts"][4]) ^ 1) + shape["counts"][5:]


def _all_crowd(content: Any) -> None:
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1


def _flip_brush(content: Any) -> None:
    rle = content[0]["predictions"][0]["result"][0]["value"]["rle"]
    rle[12] ^= 0x10


def _parquet(root: Path, change: Callable[[Any], None]) -> None:
    import pyarrow.parquet as parquet
    from pyarrow import Table

    table = parquet.read_table(root / "metadata.parquet")
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(Table.from_pylist(rows, schema=table.schema), root / "metadata.parquet")


INSTANCES, TASKS, XML = "instances.json", "tasks.json", "annotations.xml"
FIRST = ("annotations", 0)
RESULT = (0, "predictions", 0, "result")
MUTATIONS: list[tuple[str, str, Mutation]] = [
    ("coco", "bad_mask", _edit_json(INSTANCES, _flip_rle)),
    ("coco", "unreadable_file", _cut(INSTANCES)),
    ("coco", "missing_file", _remove(INSTANCES)),
    ("coco", "wrong_size", _edit_json(INSTANCES, _set("images", 0, "width", to=224))),
    ("coco", "wrong_area", _edit_json(INSTANCES, _set(*FIRST, "area", to=17))),
    ("coco", "wrong_bbox", _edit_json(INSTANCES, _set(*FIRST, "bbox", to=[0, 0, 9, 9]))),
    ("coco", "unlisted_class", _edit_json(INSTANCES, _set(*FIRST, "category_id", to=77))),
    ("coco", "dangling_reference", _edit_json(INSTANCES, _set(*FIRST, "image_id", to=77))),
    ("coco", "duplicate_id", _edit_json(INSTANCES, _set("annotations", 1, "id", to=1))),
    ("coco", "duplicate_id", _edit_json(INSTANCES, _set("images", 1, "id", to=1))),
    ("coco", "duplicate_mask", _edit_json(INSTANCES, _twice("annotations"))),
    ("coco", "key_collision", _edit_json(INSTANCES, _set("images", 1, "file_name", to="good0.png"))),
    ("coco", "missing_field", _edit_json(INSTANCES, _drop("images", 0, "file_name"))),
    ("coco", "all_crowd", _edit_json(INSTANCES, _all_crowd)),
    ("coco", "incomplete", _edit_json(INSTANCES, _drop("annotations", 5))),
    ("coco", "unreadable_file", _remove("errors.jsonl")),
    ("coco", "incomplete", lambda root: (root / "errors.jsonl").write_text("{}")),
    ("coco-polygons", "outside_image", _edit_json(INSTANCES, _set(*FIRST, "segmentation", 0, 0, to=999))),
    ("coco-polygons", "bad_polygon", _edit_json(INSTANCES, _set(*FIRST, "segmentation", to=[[1, 1, 2, 2]]))),
    ("coco-polygons", "rough_area", _edit_json(INSTANCES, _set(*FIRST, "area", to=9))),
    ("coco-panoptic", "missing_file", _remove("panoptic/good0.png")),
    ("coco-panoptic", "unreadable_file", _cut("panoptic/good0.png")),
    ("coco-panoptic", "segments_differ", _repaint_grey("panoptic/good0.png", _with([9, 0, 0]))),
    (
        "coco-panoptic",
        "wrong_area",
        _edit_json("panoptic.json", _set(*FIRST, "segments_info", 0, "area", to=1)),
    ),
    (
        "coco-panoptic",
        "unlisted_class",
        _edit_json("panoptic.json", _set(*FIRST, "segments_info", 0, "category_id", to=99)),
    ),
    ("coco-panoptic", "wrong_size", _repaint_grey("panoptic/good0.png", lambda colours: colours[:-1])),
    ("voc", "missing_file", _remove("SegmentationClass/good0.png")),
    ("voc", "missing_file", _remove("SegmentationObject/good0.png")),
    ("voc", "unreadable_file", _cut("SegmentationClass/good0.png")),
    ("voc", "bad_index", _repaint("SegmentationClass/good0.png", _with(200))),
    ("voc", "mixed_object", _repaint("SegmentationObject/good0.png", _with(2))),
    ("voc", "wrong_size", _repaint("SegmentationObject/good0.png", lambda labels: labels[:-1])),
    ("voc", "wrong_palette", _to_grey_palette),
    ("voc", "wrong_mode", _to_rgb),
    ("yolo", "unlisted_class", _edit("labels/good0.txt", r"^\d+", "99")),
    ("yolo", "not_normalised", _edit("labels/good0.txt", r"(?<= )0\.", "7.")),
    ("yolo", "bad_polygon", _edit("labels/good0.txt", r"^.*\n", "0 0.1 0.1 0.2\n")),
    ("yolo", "malformed_box", _edit("labels/good0.txt", r"^\d+", "cat")),
    ("yolo", "incomplete", _remove("labels/good0.txt")),
    ("yolo", "missing_file", _remove("data.yaml")),
    ("labelme", "bad_mask", _edit("labelme/good0.json", '"mask":"....', '"mask":"AAAA')),
    ("labelme", "wrong_size", _edit_json("labelme/good0.json", _set("shapes", 0, "points", 1, 0, to=220))),
    ("labelme", "outside_image", _edit_json("labelme/good0.json", _set("imageWidth", to=30))),
    ("labelme", "unlisted_class", _edit_json("labelme/good0.json", _set("shapes", 0, "label", to="mouse"))),
    ("labelme", "unreadable_file", _cut("labelme/good0.json")),
    ("labelme", "incomplete", _remove("labelme/good0.json")),
    (
        "labelme-polygons",
        "bad_polygon",
        _edit_json("labelme/good0.json", _set("shapes", 0, "points", to=[[1, 1]])),
    ),
    ("cvat", "bad_mask", _edit(XML, r'rle="\d+', 'rle="999')),
    ("cvat", "outside_image", _edit(XML, r'left="\d+"', 'left="900"')),
    ("cvat", "unlisted_class", _edit(XML, 'mask label="cat"', 'mask label="mouse"')),
    ("cvat", "unreadable_file", _cut(XML)),
    ("cvat", "missing_file", _remove(XML)),
    ("cvat", "duplicate_id", _edit(XML, '<image id="1"', '<image id="0"')),
    ("labelstudio", "bad_mask", _edit_json(TASKS, _set(*RESULT, 0, "original_width", to=99))),
    ("labelstudio", "wrong_size", _edit_json(TASKS, _set(*RESULT, 0, "original_width", to=99))),
    ("labelstudio", "bad_mask", _edit_json(TASKS, _flip_brush)),
    ("labelstudio", "incomplete", _edit_json(TASKS, _drop(*RESULT, 0))),
    ("labelstudio-bitmask", "bad_mask", _edit(TASKS, r"base64,....", "base64,AAAA")),
    (
        "labelstudio-polygons",
        "outside_image",
        _edit_json(TASKS, _set(*RESULT, 0, "value", "points", 0, 0, to=140)),
    ),
    ("semantic", "bad_index", _repaint_grey("masks/good0.png", _with(200))),
    ("semantic", "incomplete", _remove("masks/good0.png")),
    ("semantic", "missing_file", _remove("data.yaml")),
    ("cityscapes", "missing_file", _remove("gtFine/good0_gtFine_labelIds.png")),
    ("cityscapes", "missing_file", _remove("gtFine/good0_gtFine_instanceIds.png")),
    ("cityscapes", "mixed_object", _repaint_grey("gtFine/good0_gtFine_instanceIds.png", _with(2005))),
    ("cityscapes", "bad_index", _repaint_grey("gtFine/good0_gtFine_labelIds.png", _with(33))),
    ("parquet", "wrong_area", lambda root: _parquet(root, _set(0, "objects", "area", 0, to=3))),
    ("parquet", "bad_mask", lambda root: _parquet(root, _set(0, "objects", "counts", 0, to="0"))),
    ("parquet", "wrong_size", lambda root: _parquet(root, _set(0, "width", to=224))),
    ("parquet", "unreadable_file", _cut("metadata.parquet")),
    ("parquet", "missing_file", _remove("metadata.parquet")),
]


@pytest.mark.parametrize(
    ("target", "name", "mutate"),
    MUTATIONS,
    ids=[f"{target}-{name}-{number}" for number, (target, name, _) in enumerate(MUTATIONS)],
)
def test_what_is_broken_is_found_by_name(
    conversions: dict[str, Path],
    tmp_path: Path,
    target: str,
    name: str,
    mutate: Mutation,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(conversions[target], broken)
    mutate(broken)
    status, found = _checked(capsys, broken)
    assert name in _problems(found) | _problems(found, "warning")
    assert status == (1 if _problems(found) else 0)


def test_no_flipped_bit_of_run_lengths_passes(
    conversions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run is stored as a difference to an earlier one, so that a flip moves all that follow."""
    content = json.loads((conversions["coco"] / INSTANCES).read_text())
    shape = content["annotations"][0]["segmentation"]
    counts, rng = shape["counts"], np.random.default_rng(3)
    for place in rng.choice(len(counts), 30, replace=False).tolist():
        flipped = chr(ord(counts[place]) ^ (1 << int(rng.integers(6))))
        shape["counts"] = counts[:place] + flipped + counts[place + 1 :]
        (tmp_path / INSTANCES).write_text(json.dumps(content))
        assert "bad_mask" in _problems(_checked(capsys, tmp_path)[1])


@pytest.mark.parametrize("target", ["voc", "coco-panoptic", "semantic", "cityscapes"])
def test_void_and_hidden_instances_are_no_problem(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = VocFolder(tmp_path / "data")
    data.image("twins", jpeg(cat()))
    data.annotation("twins", [("cat", CAT.box), ("dog", CAT.box), ("ear", EAR.box)])
    options = ["--method", "box", "--overlaps", "void", "--void-uncertain", "0.2", "--no-report"]
    for name, more in (("void", options), ("area", [*options[:2], "--no-report"])):
        out = tmp_path / name
        assert convert([str(data.root), str(out), "--to", target, "--progress", "none", *more]) == 0
        status, found = _checked(capsys, out)
        assert (status, _problems(found)) == (0, set())


def test_every_format_is_broken_in_some_way() -> None:
    broken = {target for target, _, _ in MUTATIONS}
    assert {target for target in WRITERS if not target.startswith("yolo-")} == broken


def test_images_of_the_source_without_an_answer_and_of_another_size_are_found(
    conversions: dict[str, Path], source: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = VocFolder(tmp_path / "other")
    shutil.copytree(source.root, other.root, dirs_exist_ok=True)
    other.good("more", seed=9)
    other.image("good0", jpeg(cat()[:100]))
    (other.root / "Annotations/good1.xml").unlink()
    other.annotation("good2", [("cat", CAT.box), ("ear", EAR.box), ("ear", CAT.box)])
    _, found = _checked(capsys, conversions["coco"], "--against", other.root)
    assert _problems(found) == {"not_converted", "size_mismatch", "not_in_source", "missing_mask"}
    other.annotation("good2", [("cat", CAT.box)])
    _, found = _checked(capsys, conversions["coco"], "--against", other.root)
    assert "surplus_mask" in _problems(found)


def test_a_failed_image_and_a_failed_box_are_excused_by_name(
    source: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = VocFolder(tmp_path / "data")
    shutil.copytree(source.root, data.root, dirs_exist_ok=True)
    data.annotation("gone", [("cat", CAT.box)])
    data.image("half", jpeg(cat()))
    data.raw_annotation("half", [("cat", (41, 9, 190, 140)), ("cat", (900, 900, 950, 950))], (225, 150))
    out = tmp_path / "out"
    command = [str(data.root), str(out), "--to", "coco", "--method", "box", "--progress", "none"]
    assert convert(command) == 1
    status, found = _checked(capsys, out, "--against", data.root)
    assert (status, found["problems"]) == (0, [])


def test_a_dataset_of_boxes_is_read_by_its_reader(
    source: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = _checked(capsys, source.root)
    assert (status, found["problems"], found["dataset"]["boxes"]) == (0, [], 6)
    data = VocFolder(tmp_path / "data")
    data.good("good")
    data.annotation("missing", [("cat", CAT.box)])
    data.image("box", jpeg(cat()))
    data.raw_annotation("box", [("cat", (50, 50, 20, 90)), ("cat", (41, 9, 190, 140))], (225, 150))
    status, found = _checked(capsys, data.root)
    assert status == 1
    assert _problems(found) == {"missing_image", "degenerate_box"}


def test_coco_of_others_with_annotations_before_images_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    triangle = [0, 0, 20, 0, 0, 20]
    content = {
        "annotations": [
            {"id": 7, "image_id": 0, "category_id": 90, "bbox": [0, 0, 20, 20], "segmentation": [triangle]},
            {"id": 8, "image_id": 0, "category_id": 90, "bbox": [5, 5, float("nan"), 5]},
            {"id": 9, "image_id": 3, "category_id": 90, "bbox": [5, 5, 5, 5]},
            {
                "id": 10,
                "image_id": 0,
                "category_id": 90,
                "bbox": [0, 2, 1, 3],
                "area": 3,
                "segmentation": {"size": [30, 40], "counts": [2, 3, 1195]},
            },
        ],
        "images": [{"id": 0, "file_name": "a.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 90, "name": "cat"}],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    status, found = _checked(capsys, file)
    assert (status, found["masks"], found["boxes"]) == (1, 2, 1)
    assert {problem["name"]: problem["count"] for problem in found["problems"]} == {
        "nan_box": 1,
        "dangling_reference": 1,
    }


def test_an_image_that_is_there_is_compared_and_one_that_is_not_is_missed(
    conversions: dict[str, Path], source: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(conversions["yolo"], whole)
    shutil.copytree(source.root / "JPEGImages", whole / "images")
    assert _checked(capsys, whole)[1]["problems"] == []
    (whole / "images/good1.jpg").unlink()
    assert _problems(_checked(capsys, whole)[1]) == {"missing_image"}
    shutil.copytree(conversions["semantic"], tmp_path / "semantic")
    (tmp_path / "semantic/images").mkdir()
    for i in range(3):
        (tmp_path / f"semantic/images/good{i}.jpg").write_bytes(jpeg(cat()[: 150 - i]))
    _, found = _checked(capsys, tmp_path / "semantic")
    assert [(problem["name"], problem["count"]) for problem in found["problems"]] == [("size_mismatch", 2)]


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset of a known format"):
        main([str(tmp_path)])
    with pytest.raises(DatasetError, match="there is no such file or folder"):
        main([str(tmp_path / "nowhere")])


def test_a_format_that_is_named_is_taken(
    conversions: dict[str, Path], source: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _checked(capsys, source.root, "--from", "voc")[0] == 0
    for target in ("coco-polygons", "yolo-split", "labelstudio"):
        assert _checked(capsys, conversions[target], "--from", target)[1]["problems"] == []
    status, found = _checked(capsys, tmp_path, "--from", "coco")
    assert (status, _problems(found)) == (1, {"missing_file"})
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--from", "jpeg"])
    assert ended.value.code == 2


def test_people_are_told_the_count_and_the_first_examples(
    conversions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(conversions["coco"], broken)
    content = json.loads((broken / INSTANCES).read_text())
    for annotation in content["annotations"]:
        annotation["area"] = 1
    (broken / INSTANCES).write_text(json.dumps(content))
    assert main([str(broken)]) == 1
    told = capsys.readouterr().out
    assert "error   wrong_area: 6 (the area is not that of the mask)" in told
    assert "annotation 1: the file says 1, the mask has" in told
    assert "and 1 more" in told
    assert told.endswith("result  6 problems\n")
    assert main([str(conversions["coco"])]) == 0
    assert capsys.readouterr().out.endswith("result  nothing wrong\n")


@pytest.mark.parametrize("name", ["kitti", "openimages", "imagefolder"])
def test_a_named_format_that_is_not_there_is_refused_and_not_called_clean(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError):
        main([str(tmp_path), "--from", name])
