"""A photograph of 24 megapixels is segmented within the memory that it needs itself."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from boxmask_client import Client
from tests.clients.scenes import cat
from tests.e2e.processes import serving

if TYPE_CHECKING:
    from boxmask_core.bundle import Bundle

WIDTH, HEIGHT = 6000, 4000
MEGAPIXELS = WIDTH * HEIGHT / 1e6
DECODED = 4 + 3
"""Bytes a pixel at the worst moment: the decoded pixels as Pillow holds them, and the array made of them."""
SLACK_MB = 80
"""The file, the label map, strips of rows, buffers of gRPC and of the allocator. A float plane has 96 MB."""


@pytest.fixture(scope="module")
def photograph() -> bytes:
    out = io.BytesIO()
    Image.fromarray(cat()).resize((WIDTH, HEIGHT)).save(out, "JPEG", quality=80)
    return out.getvalue()


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc to read a process's peak memory"
)
def test_a_photograph_of_24_megapixels_is_segmented_in_bounded_memory(
    bundle: Bundle, tmp_path: Path, photograph: bytes
) -> None:
    with serving(bundle.root, tmp_path, "--workers", "1") as server, Client(server.address) as client:
        client.segment(cat())
        before = _peak_mb(server.process.pid)
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(client.segment, [photograph] * 3))
        grown = _peak_mb(server.process.pid) - before
    for answer in answers:
        assert (answer.width, answer.height) == (WIDTH, HEIGHT)
        assert answer.views[0].resized == (256, 171)
        assert answer.label_map_png == answers[0].label_map_png
    assert answers[0].label_map.shape == (HEIGHT, WIDTH)
    assert len(np.unique(answers[0].label_map)) > 1
    assert grown < DECODED * MEGAPIXELS + SLACK_MB


def _peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
