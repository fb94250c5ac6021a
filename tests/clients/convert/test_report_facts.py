"""What the report says of settings, images and versions."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from boxmask_convert.failures import FailureLog
from boxmask_convert.images.questions import Prepared
from boxmask_convert.plan import Plan
from boxmask_convert.report.facts import facts, images
from boxmask_convert.result.summary import Summary, summarise
from boxmask_convert.result.tally import Tally
from boxmask_convert.result.versions import versions
from boxmask_convert.server_access import ServerAccess
from boxmask_convert.settings import Settings
from boxmask_core.compositing import Overlaps
from boxmask_core.instances import ImageRecord

SETTINGS = Settings(Path("data"), Path("out"), "voc")


class _NoImages:
    class_names = ("cat",)
    image_root = Path("data")
    notes = ("one & only",)

    def __len__(self) -> int:
        return 3


def _summary(settings: Settings, tally: Tally) -> Summary:
    plan = Plan(settings, _NoImages())  # type: ignore[arg-type]  # it is not read
    with FailureLog(None) as failures:
        return summarise(plan, "somebody", tally, failures, {"lost holes": 2}, 1.0)


def test_colour_modes_and_changed_images_are_counted() -> None:
    tally = Tally()
    record = ImageRecord("a", Path("a.jpg"), ())
    plain = Prepared(record, None, (), mode="RGB")
    for prepared in (plain, plain, replace(plain, mode="CMYK", turned=True), replace(plain, mode="odd")):
        tally.add_image(prepared)
    tally.add_image(replace(plain, rescaled=True, several_frames=True))
    summary = _summary(SETTINGS, tally)
    assert summary.modes == {"CMYK": 1, "RGB": 3, "odd": 1}
    assert (summary.images_turned, summary.images_rescaled, summary.images_of_several_frames) == (1, 1, 1)
    html = images(summary)
    assert html.index("colour (RGB) [RGB]") < html.index("CMYK inks, turned into RGB [CMYK]")
    assert "other [odd]" in html
    assert "1 image whose boxes were drawn on the stored pixels" in html
    assert "failed for it" not in html
    html = images(replace(summary, failures={"size_mismatch": 4}))
    assert "4 images failed for it" in html


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (SETTINGS, "the smaller box lies on top"),
        (
            replace(SETTINGS, overlaps=Overlaps("priority", ("cat", "<dog>"))),
            "by class: cat over &lt;dog&gt;",
        ),
        (replace(SETTINGS, void_below=0.25), "<dt>Void below quality</dt><dd>0.25</dd>"),
        (replace(SETTINGS, size_mismatch="scale"), "boxes are scaled to the image"),
        (replace(SETTINGS, limit=7), "the first 7 images"),
        (replace(SETTINGS, server=ServerAccess("host:1", token="secret")), "<dd>host:1</dd>"),
        (SETTINGS, "<dt>Note</dt><dd>one &amp; only</dd>"),
        (SETTINGS, "<dt>Lost</dt><dd>lost holes: 2</dd>"),
    ],
)
def test_settings_are_told_in_words(settings: Settings, told: str) -> None:
    html = facts(_summary(settings, Tally()), settings)
    assert told in html
    assert "secret" not in html


def test_versions_are_those_that_are_installed() -> None:
    found = versions(in_process=True)
    assert found["numpy"] == version("numpy")
    assert found["opencv"] == version("opencv-python-headless")
    assert {"boxmask", "python", "pillow", "onnxruntime", "numba"} <= found.keys()


def test_what_a_server_runs_is_not_guessed() -> None:
    assert {"onnxruntime", "numba"}.isdisjoint(versions(in_process=False))
    settings = replace(SETTINGS, server=ServerAccess("host:1"))
    assert "onnxruntime" not in _summary(settings, Tally()).versions
