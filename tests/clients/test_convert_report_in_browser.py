"""The report in a real browser: its pictures load, it fits the window, it asks for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_convert.command import main
from tests.clients.scenes import CAT, VocFolder

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<script>addEventListener("load", () => {
  const images = [...document.images];
  document.body.dataset.facts = JSON.stringify({
    images: images.length,
    loaded: images.filter(image => image.complete && image.naturalWidth > 0).length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    requests: performance.getEntriesByType("resource").filter(({name}) => !name.startsWith("data:")).length,
    text: document.body.innerText.length,
  });
});</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = VocFolder(folder / "data")
    data.good("a-photograph-with-a-rather-long-name-such-as-cameras-and-exporters-give_0001")
    data.good("other", seed=1)
    data.annotation("missing", [("cat", CAT.box)])
    main([str(data.root), "--to", "voc", str(folder / "out"), "--bundle", str(bundle.root)])
    return folder / "out" / "report.html"


def _facts(report: Path, width: int, folder: Path) -> dict[str, Any]:
    page = folder / "probed.html"
    page.write_text(report.read_text().replace("</body>", f"{PROBE}</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command = [str(CHROMIUM), *flags, f"--window-size={width},900", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r'data-facts="([^"]*)"', dom)
    assert found is not None
    facts: dict[str, Any] = json.loads(unescape(found[1]))
    return facts


@pytest.mark.parametrize("width", [1280, 500])
def test_the_report_is_whole_and_fits_the_window(report: Path, width: int, tmp_path: Path) -> None:
    facts = _facts(report, width, tmp_path)
    assert facts["images"] == 4 * 5
    assert facts["loaded"] == facts["images"]
    assert facts["overflow"] <= 0
    assert facts["requests"] == 0
    assert facts["text"] > 500
