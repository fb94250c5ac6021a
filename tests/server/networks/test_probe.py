from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.bundle import Bundle, file_digest, starter_path
from boxmask_core.errors import BundleError
from boxmask_core.probes import ProbeAnswer, picture
from boxmask_server.networks.probe import check_probes
from boxmask_server.work.pipelines import open_engines
from tests.bundles import write_tiny_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.load(write_tiny_bundle(tmp_path / "bundle"))


def test_networks_that_answer_as_they_did_pass(bundle: Bundle) -> None:
    check_probes(bundle, open_engines(bundle, device="cpu", threads=1).all())


def test_the_starter_bundle_answers_its_probes() -> None:
    bundle = Bundle.load(starter_path())
    assert all(network.probe is not None for network in bundle.networks.values())
    check_probes(bundle, open_engines(bundle, device="cpu", threads=1).all())


@pytest.mark.parametrize("name", ["cfs", "lgsa"])
@pytest.mark.parametrize("change", [0.03, np.nan])
def test_a_network_that_answers_otherwise_is_refused(bundle: Bundle, name: str, change: float) -> None:
    _edit_answer(bundle, name, lambda answer: answer + np.float32(change))
    with pytest.raises(BundleError, match=f"network '{name}' answers its probe otherwise"):
        check_probes(bundle, open_engines(bundle, device="cpu", threads=1).all())


def test_what_a_device_rounds_is_allowed(bundle: Bundle) -> None:
    _edit_answer(bundle, "cfs", lambda answer: answer + np.float32(0.01))
    check_probes(bundle, open_engines(bundle, device="cpu", threads=1).all())


def test_a_network_that_cannot_be_asked_is_refused(bundle: Bundle) -> None:
    probe = bundle.network("lgsa").probe
    assert probe is not None
    asked = ProbeAnswer.read(probe)
    wrong = ProbeAnswer({"image": np.zeros((1, 32, 32, 4), np.uint8)}, asked.probabilities)
    probe.write_bytes(wrong.to_bytes())
    with pytest.raises(BundleError, match="network 'lgsa' does not answer its probe"):
        check_probes(bundle, open_engines(bundle, device="cpu", threads=1).all())


def test_a_bundle_without_probes_is_taken_and_told_of(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    engines = open_engines(bundle, device="cpu", threads=1).all()
    for engine in engines:
        engine.network = dataclasses.replace(engine.network, probe=None)
    check_probes(bundle, engines)
    assert "network 'cfs' of" in caplog.text
    assert "has no probe" in caplog.text


@pytest.mark.parametrize("content", [b"", b"not a probe", b"PK\x03\x04 neither"])
def test_a_file_that_is_no_probe_is_a_bundle_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cfs.probe.npz"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"cfs\.probe\.npz is no probe"):
        ProbeAnswer.read(file)


def test_a_probe_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    feed: dict[str, NDArray[np.generic]] = {
        "image": picture()[None],
        "label": np.ones((1, 3), np.float32),
    }
    answer = ProbeAnswer(feed, np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4))
    file = tmp_path / "probe.npz"
    file.write_bytes(answer.to_bytes())
    found = ProbeAnswer.read(file)
    assert found.feed.keys() == feed.keys()
    for name, array in feed.items():
        np.testing.assert_array_equal(found.feed[name], array)
    np.testing.assert_array_equal(found.probabilities, answer.probabilities)


def test_the_digest_of_a_probe_is_checked(bundle: Bundle) -> None:
    probe = bundle.network("cfs").probe
    assert probe is not None
    assert file_digest(probe).removeprefix("sha256:") in (bundle.root / "bundle.json").read_text()
    probe.write_bytes(probe.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"cfs\.probe\.npz is damaged"):
        Bundle.load(bundle.root)


def _edit_answer(
    bundle: Bundle, name: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    probe = bundle.network(name).probe
    assert probe is not None
    asked = ProbeAnswer.read(probe)
    probe.write_bytes(ProbeAnswer(asked.feed, change(asked.probabilities)).to_bytes())
