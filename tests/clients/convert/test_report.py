"""The report's parts, one by one."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.report.contact_sheet import draw_rows
from boxmask_convert.report.image_links import image_address, linked
from boxmask_convert.report.markup import (
    bars,
    definitions,
    document,
    histogram,
    section,
    sparkline,
    table,
    tile,
)
from boxmask_convert.report.pictures import COLOUR, SIDE, boxed, data_uri, masked, overview
from boxmask_convert.result.samples import Sample
from boxmask_convert.settings import Settings
from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord
from boxmask_core.locations import location
from tests.clients.scenes import CAT, EAR, cat, jpeg


class _Reader(HTMLParser):
    """Collects tags and text as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


HOSTILE = "</td></script><img src=x onerror=alert(1)>&amp;'\""


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1) | st.just(HOSTILE))
def test_text_from_outside_stays_text(text: str) -> None:
    html = (
        section("part", text, text, table("", (text,), [(text,)]))
        + tile(text, text)
        + definitions([(text, text)])
    ) + bars("", (text, text), [(text, 1.0, text)])
    reader = _Reader()
    reader.feed(html)
    reader.close()
    known = "section h2 p div table caption thead tbody tr th td b li dl dt dd svg rect"
    assert reader.tags <= set(known.split())
    assert "".join(reader.text) == "".join([text] * 5 + [" "] + [text] * 7)


def test_a_page_allows_nothing_but_its_own_style_script_and_pictures() -> None:
    page = document("a <title>", "p { color: red }", "let a;", "<p>")
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    digests = [
        base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"p { color: red }", b"let a;")
    ]
    assert policy[1].split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digests[0]}'",
        f"script-src 'sha256-{digests[1]}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "<title>a &lt;title&gt;</title>" in page


def test_the_script_does_not_end_early() -> None:
    assert "</" not in files("boxmask_convert.report").joinpath("page.js").read_text()


@pytest.mark.parametrize(
    ("image", "out", "link"),
    [
        ("/home/me/data/a.jpg", "/home/me/out", "../data/a.jpg"),
        ("/home/me/data/x/../a.jpg", "/home/me/out/", "../data/a.jpg"),
        ("/home/me/out/a.jpg", "/home/me/out", "./a.jpg"),
        ("/home/me/out/c:d.jpg", "/home/me/out", "./c%3Ad.jpg"),
        ('/home/me/data/50% #1?".jpg', "/home/me/out", "../data/50%25%20%231%3F%22.jpg"),
        ("/home/me/data/ä\udcff.jpg", "/home/me/out", "../data/%C3%A4%FF.jpg"),
        ("/data/a b.jpg", "/home/me/out", "file:///data/a%20b.jpg"),
    ],
)
def test_an_image_is_linked_relatively_where_it_lies_near(image: str, out: str, link: str) -> None:
    assert image_address(Path(image), Path(out)) == link


def test_an_image_elsewhere_is_linked_where_a_browser_opens_it() -> None:
    out = Path("/home/me/out")
    web = location("https://host:8000/a%20b/c.jpg")
    assert linked("<c>", web, out) == '<a href="https://host:8000/a%20b/c.jpg">&lt;c&gt;</a>'
    assert linked("<c>", location("s3://bucket/c.jpg"), out) == "&lt;c&gt;"


@pytest.mark.parametrize("counts", [[], [0, 0, 0], [1, 0, 1000]])
def test_a_histogram_stays_inside_its_picture(counts: list[int]) -> None:
    svg = histogram(counts, "counts")
    assert svg.startswith("<svg")
    assert "nan" not in svg
    assert 'height="-' not in svg
    assert 'y="-' not in svg


@pytest.mark.parametrize("box", [CAT.box, Box(-20, -5, 30, 40), Box(0, 0, 225, 150), Box(100, 50, 101, 51)])
def test_pictures_of_any_box_fit_the_sheet(box: Box) -> None:
    window = box.clipped(225, 150).window().clipped(225, 150)
    proposal = Proposal(window, np.ones((window.height, window.width), dtype=np.bool_), Fallback.NONE)
    for picture in (overview(cat(), box, [EAR.box]), boxed(cat(), box), masked(cat(), box, proposal)):
        assert max(picture.shape[:2]) == SIDE
        assert picture.dtype == np.uint8
        assert data_uri(picture).startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("counts", [(), (0, 0), (1, 0, 100_000)])
def test_a_sparkline_shows_even_a_single_mask_among_thousands(counts: tuple[int, ...]) -> None:
    svg = sparkline(counts, 0.25, "fill")
    heights = [float(height) for height in re.findall(r"v-([\d.]+)h", svg)]
    assert len(heights) == sum(count > 0 for count in counts)
    assert all(1 < height <= 28 for height in heights)
    assert 'x1="30.0"' in svg  # a quarter of the width of 120


def test_a_mask_keeps_the_colours_of_the_object_and_greys_the_rest() -> None:
    image = np.full((100, 100, 3), (200, 40, 40), dtype=np.uint8)
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[:, :20] = True
    picture = masked(image, Box(30, 30, 70, 70), Proposal(Window(30, 30, 70, 70), mask, Fallback.NONE))
    scale = SIDE / 60  # the box and a quarter of its side around it
    row = picture[round(30 * scale)]
    inside, outside = row[round(20 * scale)], row[round(42 * scale)]
    assert inside[0] > 2 * inside[1]
    assert outside[0] == outside[1] == outside[2] < 60
    edge = row[round(30 * scale) - 2 : round(30 * scale) + 3]
    assert (np.abs(edge.astype(int) - COLOUR).sum(axis=1) < 60).any()


def test_a_box_whose_image_went_away_becomes_a_row_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(jpeg(cat()))
    here = Sample(ImageRecord("cat", path, (CAT, EAR)), CAT, 0.5, 0)
    gone = replace(here, record=replace(here.record, path=tmp_path / "gone.jpg"))
    broken = replace(here, record=replace(here.record, path=tmp_path / "broken.jpg"))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    settings = Settings(tmp_path, tmp_path / "out", "voc", method="box")
    with open_local_labeler(settings) as labeler:
        rows = list(draw_rows([here, gone, broken], settings, labeler))
    assert [picture.title for picture in rows[0].pictures] == ["Image", "Box", "Filled box"]
    assert "gone.jpg" in rows[1].problem
    assert "broken.jpg" in rows[2].problem
