"""Whatever ends a conversion early, nothing that looks whole is left, and the next one goes on from there."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import serving, start, wait_for_masks

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_conversion_that_is_killed_leaves_only_a_hidden_folder(
    many_images: Path, tmp_path: Path, bundle: Bundle
) -> None:
    out = tmp_path / "results" / "out"
    command = ("convert", many_images, "--to", "voc", out, "--bundle", bundle.root, "--no-report")
    with start(*command) as process:
        stage = wait_for_masks(out.parent, process, 5)
        process.kill()
    assert _names(out.parent) == [stage.name]
    assert not any((stage / "result" / name).exists() for name in ("summary.json", "class_names.txt"))
    with start(*command, "--limit", "3") as process:
        assert process.wait() == 0
    assert _names(out.parent) == ["out"]
    assert len(list((out / "SegmentationClass").iterdir())) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["in-process", "server"])
def test_an_interrupted_conversion_keeps_its_journal_alone(
    many_images: Path, tmp_path: Path, bundle: Bundle, server: str, where: str, number: signal.Signals
) -> None:
    out = tmp_path / "results" / "out"
    source = ("--server", server) if where == "server" else ("--bundle", bundle.root)
    with start("convert", many_images, "--to", "voc", out, *source) as process:
        wait_for_masks(out.parent, process, 3)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
    assert f"boxmask: interrupted. What was answered is kept beside {out}: the same command goes on" in told
    assert "Traceback" not in told
    assert _names(out.parent) == [".out.partial"]
    assert _names(out.parent / ".out.partial") == ["journal"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_goes_away_ends_the_conversion_with_a_sentence(
    many_images: Path, tmp_path: Path, bundle: Bundle, number: signal.Signals
) -> None:
    out = tmp_path / "results" / "out"
    with serving(bundle.root, tmp_path) as server:
        with start(
            "convert", many_images, "--to", "voc", out, "--server", server.address, "--patience", "2"
        ) as process:
            wait_for_masks(out.parent, process, 3)
            server.process.send_signal(number)
            _, told = process.communicate(timeout=60)
        assert process.returncode == 3
    assert f"the server {server.address} cannot be reached" in told
    assert f"What was answered is kept beside {out}" in told
    assert "UNAVAILABLE" in told
    assert "Traceback" not in told
    assert _names(out.parent / ".out.partial") == ["journal"]
    with serving(bundle.root, tmp_path) as server:
        with start("convert", many_images, "--to", "voc", out, "--server", server.address) as process:
            told, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "from the journal" in told
    assert len(list((out / "SegmentationClass").iterdir())) == 60
