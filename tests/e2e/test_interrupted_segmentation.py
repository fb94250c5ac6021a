"""Whatever ends a segmentation early, nothing that looks whole is left, and the next one starts clean."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.clients.scenes import photographs
from tests.e2e.processes import serving, start, wait_for_masks

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle

SLOW = ("--scales", "0.5,0.75,1,1.25", "--flip")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder that takes a while."""
    return photographs(tmp_path / "images", 80)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_segmentation_that_is_killed_leaves_only_a_hidden_folder(
    images: Path, tmp_path: Path, bundle: Bundle
) -> None:
    out = tmp_path / "results" / "out"
    with start("segment", images, out, "--bundle", bundle.root, *SLOW) as process:
        stage = wait_for_masks(out.parent, process, 5, "*.png")
        process.kill()
    assert _names(out.parent) == [stage.name]
    assert not any((stage / name).exists() for name in ("summary.json", "class_names.txt"))
    with start("segment", images / "000.jpg", out, "--bundle", bundle.root) as process:
        assert process.wait() == 0
    assert _names(out.parent) == ["out"]
    assert _names(out) == ["000.png", "class_names.txt", "errors.jsonl", "summary.json"]


@pytest.mark.parametrize("where", ["in-process", "server"])
def test_an_interrupted_segmentation_tidies_up(
    images: Path, tmp_path: Path, bundle: Bundle, server: str, where: str
) -> None:
    out = tmp_path / "results" / "out"
    source = ("--server", server) if where == "server" else ("--bundle", bundle.root)
    with start("segment", images, out, *source, *SLOW) as process:
        wait_for_masks(out.parent, process, 3, "*.png")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "Traceback" not in told
    assert _names(out.parent) == []


def test_a_server_that_goes_away_ends_the_segmentation_with_a_sentence(
    images: Path, tmp_path: Path, bundle: Bundle
) -> None:
    out = tmp_path / "results" / "out"
    with serving(bundle.root, tmp_path) as server:
        with start("segment", images, out, "--server", server.address, "--patience", "2", *SLOW) as process:
            wait_for_masks(out.parent, process, 3, "*.png")
            server.process.send_signal(signal.SIGKILL)
            _, told = process.communicate(timeout=60)
        assert process.returncode == 3
    assert "UNAVAILABLE" in told
    assert "Traceback" not in told
    assert _names(out.parent) == []
