"""A bundle is exchanged, while it serves, for one that cannot be used."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.bundle import CFS, MANIFEST, file_digest
from boxmask_core.probes import ProbeAnswer
from tests.bundles import write_tiny_bundle
from tests.faults.graphs import write_touchy_bundle
from tests.faults.neighbours import QUESTIONS, answered, neighbours
from tests.faults.servers import Server, serving, until
from tests.server.pictures import EAR, png
from tests.server.serving import request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exchanged") / "tiny"


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    write_tiny_bundle(folder)
    with serving(folder, tmp_path_factory.mktemp("server")) as running:
        yield running


def cut_off(folder: Path) -> None:
    whole = (folder / "cfs.onnx").read_bytes()
    (folder / "cfs.onnx").write_bytes(whole[: len(whole) // 2])


def cut_off_and_signed(folder: Path) -> None:
    cut_off(folder)
    _sign(folder)


def empty_and_signed(folder: Path) -> None:
    (folder / "cfs.onnx").write_bytes(b"")
    _sign(folder)


def another_digest(folder: Path) -> None:
    _change(folder, lambda entry: entry | {"sha256": "0" * 64})


def another_probe(folder: Path) -> None:
    """A network that is whole, but answers otherwise than when it was exported."""
    side = json.loads((folder / MANIFEST).read_text())["networks"][CFS]["input"]["size_buckets"][0][0]
    feed = {
        "image": np.zeros((1, side, side, 3), np.uint8),
        "box_mask": np.zeros((1, side, side), np.uint8),
        "label": np.zeros((1, 3), np.float32),
    }
    file = folder / "wrong.probe.npz"
    file.write_bytes(ProbeAnswer(feed, np.full((1, side, side), 0.5, np.float32)).to_bytes())
    probe = {"file": file.name, "sha256": file_digest(file).removeprefix("sha256:")}
    _change(folder, lambda entry: entry | {"probe": probe})


def no_json(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def nothing_at_all(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "break_it",
    [
        cut_off,
        cut_off_and_signed,
        empty_and_signed,
        another_digest,
        another_probe,
        no_json,
        no_manifest,
        nothing_at_all,
    ],
)
def test_a_bundle_that_cannot_be_used_leaves_the_old_one_serving(
    server: Server, folder: Path, break_it: Callable[[Path], None]
) -> None:
    before = server.held()
    failed = _failures(server)
    with neighbours(server):
        break_it(folder)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: _failures(server) > failed)
    server.assert_well(before)
    write_tiny_bundle(folder)


def test_after_all_that_a_good_bundle_is_taken(server: Server, folder: Path) -> None:
    before = server.held()
    old = _digest(server)
    with server.stub() as stub:
        expected = answered(stub, pb.SegmentRequest(image=png("cat")))
    write_touchy_bundle(folder)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: _digest(server) != old)
    with server.stub() as stub:
        # The network of segments is the same, its bundle's version too.
        assert answered(stub, pb.SegmentRequest(image=png("cat"))) == expected
        answered(stub, QUESTIONS[0])
    server.assert_well(before)


def _digest(server: Server) -> str:
    with server.stub() as stub:
        return stub.PseudoLabel(request_of(png("cat"), EAR)).model_digest


def _failures(server: Server) -> int:
    return server.log.read_text(encoding="utf-8").count(": failed: ")


def _sign(folder: Path) -> None:
    digest = file_digest(folder / "cfs.onnx").removeprefix("sha256:")
    _change(folder, lambda entry: entry | {"sha256": digest})


def _change(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["networks"][CFS] = change(manifest["networks"][CFS])
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
