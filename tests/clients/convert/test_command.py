"""``boxmask convert``, in this process and through a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_client import AuthenticationError, UnavailableError
from boxmask_convert.command import main
from boxmask_convert.failures import SOME_FAILED
from boxmask_core.errors import BundleError, DatasetError, InvalidRequestError
from boxmask_core.palette import decode_indexed_png
from tests.clients.scenes import CAT, EAR, VocFolder, cat, jpeg
from tests.clients.serving_process import serving_process

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle


@pytest.fixture
def data(tmp_path: Path) -> VocFolder:
    return VocFolder(tmp_path / "data", good=3)


def _errors(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]


def _summary(out: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def _masks(out: Path) -> dict[str, bytes]:
    """Every file that holds masks, by its path."""
    reports = {"report.html", "summary.json"}
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name not in reports)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_boxes_become_label_maps_of_the_images_size(
    data: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(data.root), "--to", "voc", str(out), "--method", "box"]) == 0
    names = (out / "class_names.txt").read_text().split()
    expected = np.zeros((150, 225), dtype=np.uint8)
    expected[CAT.box.window().slices()] = names.index("cat")
    expected[EAR.box.window().slices()] = names.index("ear")
    labels = decode_indexed_png((out / "SegmentationClass" / "good1.png").read_bytes())
    np.testing.assert_array_equal(labels, expected)
    assert _errors(out) == []
    summary = _summary(out)
    assert (summary["images_converted"], summary["boxes_masked"], summary["failures"]) == (3, 6, {})
    assert summary["classes"]["ear"]["boxes"] == 3
    assert set(summary["busy"]) == set(summary["stage_ms"]) >= {"read", "decode", "refine", "write"}
    assert "busy    " in capsys.readouterr().out


def test_opencvs_grabcut_is_taken_where_it_is_asked_for(data: VocFolder, tmp_path: Path) -> None:
    common = [str(data.root), "--to", "coco", "--method", "grabcut", "--no-report"]
    for engine in ("boxmask", "opencv"):
        assert main([*common, str(tmp_path / engine), "--grabcut-engine", engine]) == 0
    assert main([*common, str(tmp_path / "default")]) == 0
    assert _masks(tmp_path / "default") == _masks(tmp_path / "boxmask") != _masks(tmp_path / "opencv")
    assert _summary(tmp_path / "opencv")["method"] == "GrabCut from the box (OpenCV's)"


@pytest.mark.parametrize("target", ["voc", "coco", "yolo"])
def test_a_server_and_this_process_write_the_same_bytes(
    data: VocFolder, tmp_path: Path, bundle: Bundle, server: str, target: str
) -> None:
    common = [str(data.root), "--to", target, "--no-report", "--allow-lossy"]
    assert main([*common, str(tmp_path / "local"), "--bundle", str(bundle.root)]) == 0
    assert main([*common, str(tmp_path / "remote"), "--server", server]) == 0
    assert _masks(tmp_path / "local") == _masks(tmp_path / "remote")
    assert _summary(tmp_path / "local")["model_digests"] == _summary(tmp_path / "remote")["model_digests"]


@pytest.mark.parametrize("where", ["local", "remote"])
def test_what_is_wrong_with_one_image_or_box_is_named_and_the_rest_is_converted(
    data: VocFolder, tmp_path: Path, bundle: Bundle, server: str, where: str
) -> None:
    data.annotation("missing", [("cat", CAT.box)])
    data.image("text", b"this is no image")
    data.annotation("text", [("cat", CAT.box)])
    data.image("truncated", jpeg(cat())[:2000])
    data.annotation("truncated", [("cat", CAT.box)])
    data.image("boxes", jpeg(cat()))
    corners = [
        ("cat", (50.0, 50.0, 20.0, 90.0)),
        ("cat", (900.0, 900.0, 950.0, 950.0)),
        ("ear", (51, 11, 90, 60)),
    ]
    data.raw_annotation("boxes", corners, (225, 150))
    data.image("size", jpeg(cat()))
    data.annotation("size", [("cat", CAT.box)], size=(500, 375))
    data.image("xml", jpeg(cat()))
    (data.root / "Annotations" / "xml.xml").write_text("<annotation><object>")
    out = tmp_path / "out"
    source = ["--bundle", str(bundle.root)] if where == "local" else ["--server", server]
    assert main([str(data.root), "--to", "voc", str(out), *source]) == SOME_FAILED
    found = {(error["key"], error["box"], error["kind"]) for error in _errors(out)}
    assert found == {
        ("boxes", "0", "degenerate_box"),
        ("boxes", "1", "box_outside_image"),
        ("missing", None, "missing_image"),
        ("size", None, "size_mismatch"),
        ("text", None, "corrupt_image"),
        ("truncated", None, "corrupt_image"),
        ("xml", None, "bad_annotation"),
    }
    written = {path.stem for path in (out / "SegmentationClass").iterdir()}
    assert written == {"good0", "good1", "good2", "boxes"}
    summary = _summary(out)
    assert (summary["images"], summary["images_converted"], summary["images_failed"]) == (9, 4, 5)
    report = (out / "report.html").read_text()
    assert all(error["key"] in report for error in _errors(out))


def test_two_runs_give_the_same_bytes(data: VocFolder, tmp_path: Path, bundle: Bundle) -> None:
    for name in ("first", "second"):
        main(
            [
                str(data.root),
                "--to",
                "coco",
                str(tmp_path / name),
                "--bundle",
                str(bundle.root),
                "--no-report",
            ]
        )
    assert _masks(tmp_path / "first") == _masks(tmp_path / "second")


def test_the_report_needs_nothing_else_and_shows_every_step(
    data: VocFolder, tmp_path: Path, bundle: Bundle
) -> None:
    out = tmp_path / "out"
    main([str(data.root), "--to", "voc", str(out), "--bundle", str(bundle.root)])
    report = (out / "report.html").read_text()
    assert all(
        report.count(f"<figcaption>{step}") == 6
        for step in ("Image", "Box", "GrabCut", "CFS<", "CFS, refined")
    )
    assert report.count('class="badge">written') == 6
    assert "://" not in report
    assert report.count("<script") == 1


def test_names_from_the_dataset_are_escaped_in_the_report(data: VocFolder, tmp_path: Path) -> None:
    data.image("<b>bold", jpeg(cat()))
    data.annotation("<b>bold", [("<script>alert(1)</script>", CAT.box)])
    out = tmp_path / "out"
    main([str(data.root), "--to", "coco", str(out), "--method", "box"])
    report = (out / "report.html").read_text()
    assert "<script>alert" not in report
    assert "<b>bold" not in report
    assert "&lt;script&gt;" in report


def test_an_image_without_boxes_gives_an_empty_label_map(tmp_path: Path) -> None:
    data = VocFolder(tmp_path / "data")
    data.image("empty", jpeg(cat()))
    data.annotation("empty", [])
    assert main([str(data.root), "--to", "voc", str(tmp_path / "out"), "--method", "box"]) == 0
    labels = decode_indexed_png((tmp_path / "out" / "SegmentationClass" / "empty.png").read_bytes())
    assert not labels.any()


def test_limit_takes_the_first_images(data: VocFolder, tmp_path: Path) -> None:
    main(
        [
            str(data.root),
            "--to",
            "voc",
            str(tmp_path / "out"),
            "--method",
            "box",
            "--limit",
            "2",
            "--no-report",
        ]
    )
    assert [path.stem for path in sorted((tmp_path / "out" / "SegmentationClass").iterdir())] == [
        "good0",
        "good1",
    ]
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_turned_photograph_is_masked_upright(tmp_path: Path) -> None:
    data = VocFolder(tmp_path / "data")
    data.image("turned", jpeg(cat(), orientation=6))
    data.annotation("turned", [("cat", CAT.box)], size=(225, 150))
    assert main([str(data.root), "--to", "voc", str(tmp_path / "out"), "--method", "box"]) == 0
    with Image.open(tmp_path / "out" / "SegmentationClass" / "turned.png") as labels:
        assert labels.size == (150, 225)
        assert labels.getbbox() == (10, 40, 142, 190)
    assert _summary(tmp_path / "out")["images_turned"] == 1


def test_the_plan_and_the_outcome_are_told(
    data: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.annotation("missing", [("cat", CAT.box)])
    main([str(data.root), "--to", "voc", str(tmp_path / "out"), "--method", "box"])
    told = capsys.readouterr().out
    assert "4 images" in told
    assert "3 of 4 images, 6 masks" in told
    assert "1 missing_image" in told
    assert str(tmp_path / "out" / "report.html") in told


def test_what_cannot_be_done_leaves_nothing(data: VocFolder, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(DatasetError):
        main([str(tmp_path / "nowhere"), "--to", "voc", out])
    with pytest.raises(BundleError):
        main([str(data.root), "--to", "voc", out, "--bundle", str(tmp_path)])
    with pytest.raises(UnavailableError):
        main([str(data.root), "--to", "voc", out, "--server", f"unix:{tmp_path}/nothing"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--to", "jpeg"],
        ["--to", "voc", "--limit", "0"],
        ["--to", "voc", "--limit", "few"],
        ["--to", "voc", "--shard", "0/0"],
        ["--to", "voc", "--server", "a:1", "--bundle", "b"],
        ["--to", "voc", "--server", "a:1", "--workers", "2"],
        ["--to", "voc", "--server", "a:1", "--grabcut-engine", "opencv"],
        ["--to", "voc", "--grabcut-engine", "magic"],
        ["--to", "voc", "--method", "magic"],
        ["--to", "voc", "--method", "box", "--no-refine"],
        ["--to", "voc", "--shard", "4/4"],
        ["--to", "voc", "--shard", "a/4"],
        ["--to", "voc", "--shard", "-1/4"],
        ["--to", "voc", "--shard", "0/4", "--engine", "ray"],
        ["--to", "voc", "--server", "a:1", "--engine", "ray"],
        ["--to", "voc", "--void-uncertain", "2"],
        ["--to", "coco", "--void-uncertain"],
        ["--to", "voc", "--overlaps", "priority"],
        ["--to", "voc", "--overlaps", "area", "--priority", "cat"],
        ["--to", "voc", "--overlaps", "priority", "--priority", "cat,cat"],
        ["--to", "voc", "--max-errors", "-1"],
        ["--to", "voc", "--progress", "loud"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", "out", *wrong])
    assert caught.value.code == 2
    assert "usage: boxmask convert" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--tls-ca", "ca.pem"], "without --server leave out --tls-ca"),
        (["--patience", "3"], "without --server leave out --patience"),
        (["--server", "a:1", "--tls-cert", "c.pem"], "--tls-cert and --tls-key go together"),
        (["--server", "a:1", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "--tls-cert needs --tls-ca"),
        (["--server", "a:1", "--tls-ca", "nowhere.pem"], "--tls-ca: there is no file nowhere.pem"),
        (["--server", "a:1", "--patience", "-1"], "expected a number of seconds from 0 up"),
        (["--server", "a:1", "--patience", "long"], "expected a number, but got 'long'"),
        (["--server", "a"], "--server: expected host:port, unix:/path"),
        (["--server", ""], "--server: expected host:port, unix:/path"),
    ],
)
def test_how_a_server_is_reached_is_checked(
    flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", "--to", "voc", "out", *flags])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_server_that_asks_for_a_token_is_given_that_of_the_environment(
    data: VocFolder, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("converter a-secret-of-sixteen\n")
    tokens.chmod(0o600)
    with serving_process(bundle.root, tmp_path, "--tokens", str(tokens)) as address:
        command = [str(data.root), "--to", "voc", str(tmp_path / "out"), "--server", address, "--no-report"]
        monkeypatch.delenv("BOXMASK_TOKEN", raising=False)
        with pytest.raises(AuthenticationError):
            main(command)
        monkeypatch.setenv("BOXMASK_TOKEN", "a-secret-of-sixteen")
        assert main(command) == 0


def test_a_format_that_changes_masks_is_written_only_when_told(data: VocFolder, tmp_path: Path) -> None:
    command = [str(data.root), "--to", "yolo", str(tmp_path / "out"), "--method", "box", "--no-report"]
    with pytest.raises(InvalidRequestError, match=r"parts joined by a bridge.*--allow-lossy.*coco"):
        main(command)
    assert not (tmp_path / "out").exists()
    assert main([*command, "--allow-lossy"]) == 0
    assert (tmp_path / "out" / "data.yaml").is_file()


def test_overlaps_are_settled_as_asked(data: VocFolder, tmp_path: Path) -> None:
    labels = {}
    for name, options in {
        "area": [],
        "priority": ["--overlaps", "priority", "--priority", "cat"],
        "void": ["--overlaps", "void"],
    }.items():
        out = tmp_path / name
        command = [str(data.root), "--to", "voc", str(out), "--method", "box", "--no-report"]
        assert main([*command, *options]) == 0
        labels[name] = decode_indexed_png((out / "SegmentationClass" / "good0.png").read_bytes())
    names = (tmp_path / "area" / "class_names.txt").read_text().split()
    ear = EAR.box.window().slices()
    assert (labels["area"][ear] == names.index("ear")).all()
    assert (labels["priority"][ear] == names.index("cat")).all()
    assert (labels["void"][ear] == 255).all()


def test_masks_that_are_not_trusted_become_void(data: VocFolder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [str(data.root), "--to", "voc", str(out), "--method", "box", "--no-report"]
    assert main([*command, "--void-uncertain", "1"]) == 0
    labels = decode_indexed_png((out / "SegmentationClass" / "good0.png").read_bytes())
    assert set(np.unique(labels[CAT.box.window().slices()])) <= {255, *range(1, 20)}


def test_progress_is_told_in_json_where_there_is_no_terminal(
    data: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data.root / "JPEGImages" / "good1.jpg").unlink()
    main([str(data.root), "--to", "coco", str(tmp_path / "out"), "--method", "box", "--no-report"])
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {name: events[-1][name] for name in ("event", "images", "done", "reused", "failed")} == {
        "event": "end",
        "images": 3,
        "done": 3,
        "reused": 0,
        "failed": 1,
    }
    main([str(data.root), "--to", "coco", str(tmp_path / "two"), "--method", "box", "--progress", "none"])
    assert capsys.readouterr().err == ""


def test_instances_that_others_hide_are_named(data: VocFolder, tmp_path: Path) -> None:
    data.image("covered", jpeg(cat()))
    data.annotation("covered", [("cat", EAR.box), ("ear", EAR.box), ("cat", CAT.box)])
    common = [str(data.root), "--method", "box", "--no-report"]
    assert main([*common, "--to", "voc", str(tmp_path / "flat")]) == 0
    hidden = [json.loads(line) for line in (tmp_path / "flat" / "hidden.jsonl").read_text().splitlines()]
    assert hidden == [{"key": "covered", "box": "0"}]
    assert _summary(tmp_path / "flat")["losses"]["instances that lose every pixel to overlaps"] == 1
    assert main([*common, "--to", "coco", str(tmp_path / "whole")]) == 0
    assert not (tmp_path / "whole" / "hidden.jsonl").exists()


def test_images_may_lie_elsewhere(data: VocFolder, tmp_path: Path) -> None:
    common = ["--to", "voc", "--method", "box", "--no-report"]
    assert main([str(data.root), str(tmp_path / "here"), *common]) == 0
    moved = (data.root / "JPEGImages").rename(tmp_path / "pictures")
    assert main([str(data.root), str(tmp_path / "there"), *common, "--images", str(moved)]) == 0
    there, here = _masks(tmp_path / "there"), _masks(tmp_path / "here")
    assert {name for name in here if not name.startswith(".journal")} <= set(there)
    assert all(there[name] == here[name] for name in here if name.endswith(".png"))


@pytest.mark.parametrize("between", [["--limit", "1"], ["--method", "grabcut"]])
def test_a_run_that_needs_fewer_answers_does_not_cost_the_others(
    data: VocFolder, tmp_path: Path, between: list[str]
) -> None:
    out = tmp_path / "out"
    command = [str(data.root), "--to", "coco", str(out), "--method", "box", "--no-report"]
    assert main(command) == 0
    first = _masks(out)
    main([*command, *between])
    assert _masks(out) != first
    assert main(command) == 0
    assert _summary(out)["images_reused"] == 3
    assert {name: content for name, content in _masks(out).items() if "unused" not in name} == first


def test_the_standard_error_of_a_conversion_is_json_alone(
    data: VocFolder, tmp_path: Path, bundle: Bundle
) -> None:
    command = ["convert", str(data.root), str(tmp_path / "out"), "--to", "coco", "--bundle", str(bundle.root)]
    script = f"from boxmask_core.cli import main; main({[*command, '--progress', 'json']!r})"
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(told.stderr.splitlines()[-1])["done"] == 3
    assert {json.loads(line)["event"] for line in told.stderr.splitlines()} <= {"progress", "end"}
