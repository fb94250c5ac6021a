"""A peer that computed something else would make every ratio against it worthless."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from benchmarks.eager import eager_cfs
from benchmarks.publish import publish
from boxmask_core.bundle import Bundle, starter_path

if TYPE_CHECKING:
    import pytest


def test_the_eager_network_computes_what_the_bundle_computes() -> None:
    bundle = Bundle.load(starter_path())
    network = eager_cfs(bundle)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    box_mask = np.zeros((2, 224, 224), dtype=np.uint8)
    box_mask[:, 37:187, 37:187] = 1
    label = np.eye(2, 20, dtype=np.float32)
    session = onnxruntime.InferenceSession(
        str(bundle.network("cfs").file), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(None, {"image": image, "box_mask": box_mask, "label": label})
    with torch.no_grad():
        pixels = torch.from_numpy(image).permute(0, 3, 1, 2).float()
        logits = network(pixels, torch.from_numpy(box_mask)[:, None].float(), torch.from_numpy(label))
    np.testing.assert_allclose(torch.sigmoid(logits).numpy(), expected, atol=1e-4)


def test_a_result_ends_with_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    publish("name", [{"what": "a|b", "seconds": 1.25}], {"gain": 2.5})
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert (result["benchmark"], result["ratios"]) == ("name", {"gain": 2.5})
    assert result["rows"] == [{"what": "a|b", "seconds": 1.25}]
    assert "cores" in result["machine"]
    assert lines[0].count("|") == 3
