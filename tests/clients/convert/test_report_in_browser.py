"""The report in a real browser: what it shows, by mouse and by keyboard, and that it asks for nothing."""

from __future__ import annotations

import io
import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_convert.command import main
from tests.clients.convert.chromium import CHROMIUM, chromium
from tests.clients.scenes import CAT, EAR, VocFolder, cat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boxmask_core.bundle import Bundle
    from tests.clients.convert.chromium import Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

LONG_NAME = "a-photograph-with-a-rather-long-name-such-as-cameras-and-exporters-give_0001"
HOSTILE_CLASS = "</script><img src=x onerror=alert(1)>\"'&amp;"
HOSTILE_NAME = "<b onmouseover=alert(2)>'&\" #1?"
TABLE = "#suspicious-masks"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = VocFolder(folder / "data")
    data.good(LONG_NAME)
    for i in range(4):
        data.good(f"plain{i}", seed=i + 1)
    for mode in ("L", "CMYK"):
        encoded = io.BytesIO()
        Image.fromarray(cat()).convert(mode).save(encoded, "JPEG")
        data.image(mode, encoded.getvalue())
        data.annotation(mode, [("cat", CAT.box)])
    data.good(HOSTILE_NAME, seed=9)
    data.annotation(HOSTILE_NAME, [(HOSTILE_CLASS, EAR.box)])
    data.annotation("missing", [("cat", CAT.box)])
    main([str(data.root), "--to", "voc", str(folder / "out"), "--bundle", str(bundle.root)])
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.show_as()
    browser.open(report)
    return browser


def _column(page: Page, title: str) -> list[str]:
    """Returns the column's cells as they are shown, from top to bottom."""
    titles = page.value(
        f"[...document.querySelectorAll('{TABLE} thead th')].map(cell => cell.innerText.trim())"
    )
    shown = f"[...document.querySelectorAll('{TABLE} tbody tr')].filter(row => !row.hidden)"
    cells: list[str] = page.value(f"{shown}.map(row => row.cells[{titles.index(title)}].innerText.trim())")
    return cells


def _order(page: Page) -> dict[str, str]:
    """Returns the columns that say they are sorted, and how."""
    heads = f"[...document.querySelectorAll('{TABLE} thead th[aria-sort]')]"
    found: list[list[str]] = page.value(f"{heads}.map(cell => [cell.innerText.trim(), cell.ariaSort])")
    return dict(found)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_is_whole_and_fits_the_window(browser: Page, report: Path, width: int, dark: bool) -> None:
    browser.show_as(width=width, dark=dark)
    browser.open(report)
    facts = browser.value(
        """({
          loaded: [...document.images].map(image => image.complete && image.naturalWidth > 0),
          alts: [...document.images].every(image => image.alt !== ""),
          overflow: document.documentElement.scrollWidth - innerWidth,
          text: document.body.innerText.length,
        })"""
    )
    sheets, listed = 12 * 5, len(_column(browser, "Class"))
    assert listed == 13
    assert facts["loaded"] == [True] * (sheets + listed)
    assert facts["alts"]
    assert facts["overflow"] <= 0
    assert facts["text"] > 2000
    assert browser.problems == []
    assert browser.requests == [report.as_uri()]


def test_links_lead_to_the_images(page: Page, report: Path) -> None:
    links = page.value(f"[...document.querySelectorAll('{TABLE} tbody a, .sheet a')].map(link => link.href)")
    images = report.parent.parent / "data" / "JPEGImages"
    names = [LONG_NAME, *(f"plain{i}" for i in range(4)), "L", "CMYK", HOSTILE_NAME]
    assert set(links) == {(images / f"{name}.jpg").as_uri() for name in names}
    assert all(
        link.startswith("../data/")
        for link in page.value(
            f"[...document.querySelectorAll('{TABLE} tbody a')].map(link => link.getAttribute('href'))"
        )
    )


def test_the_table_sorts_by_click(page: Page) -> None:
    assert _order(page) == {"Quality": "ascending"}
    first = _column(page, "Quality")
    assert first == sorted(first, key=float)
    titles, orders = ("Fill", "Parts", "Class", "Image and box"), (("ascending", False), ("descending", True))
    for title, (order, falling) in itertools.product(titles, orders):
        place = page.value(
            f"[...document.querySelectorAll('{TABLE} thead th')].findIndex("
            f"cell => cell.innerText.trim() === {json.dumps(title)}) + 1"
        )
        page.click(f"{TABLE} thead th:nth-child({place}) button")
        assert _order(page) == {title: order}
        cells = _column(page, title)
        key: Any = float if title in {"Fill", "Parts"} else str.casefold
        if title == "Image and box":
            assert (cells[0].startswith("plain"), cells[-1].startswith("plain")) == (falling, not falling)
        else:
            assert len(set(cells)) > 1 or title == "Parts"
            assert [key(cell) for cell in cells] == sorted(map(key, cells), reverse=falling)
    assert page.problems == []


def test_the_table_sorts_by_keyboard(page: Page) -> None:
    page.value(f"document.querySelector('{TABLE}').parentElement.focus()")
    for _ in range(2):  # the first column with a button is the image, the second the class
        page.press("Tab")
    assert page.value("document.activeElement.innerText.trim()") == "Class"
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
    for key, order in (("Enter", "ascending"), (" ", "descending")):
        page.press(key)
        assert _order(page) == {"Class": order}
        cells = [cell.casefold() for cell in _column(page, "Class")]
        assert cells == sorted(cells, reverse=order == "descending")
        assert page.value("document.activeElement.innerText.trim()") == "Class"


def test_the_table_is_filtered_by_class_reason_and_text(page: Page) -> None:
    told = "document.querySelector('.filters output').innerText"
    total = len(_column(page, "Class"))
    assert page.value(told) == f"{total} of {total} shown"
    options = page.value("[...document.querySelectorAll('.filters select option')].map(each => each.value)")
    assert {"cat", "ear", HOSTILE_CLASS, "lowest quality"} <= set(options)
    page.value(
        "(select => { select.value = 'ear'; select.dispatchEvent(new Event('input', {bubbles: true})); })"
        "(document.querySelector('.filters select'))"
    )
    assert _column(page, "Class") == ["ear"] * 5
    page.value("document.querySelector('.filters input').focus()")
    page.type("PLAIN2")
    assert [cell.split()[0] for cell in _column(page, "Image and box")] == ["plain2"]
    assert page.value(told) == f"1 of {total} shown"
    page.type(" nothing like it")
    assert _column(page, "Class") == []


def test_a_picture_is_enlarged_and_escape_closes_it(page: Page) -> None:
    shown = "document.querySelector('dialog').open"
    words = "document.querySelector('dialog p').innerText"
    page.value("document.querySelector('#lowest button.enlarge').focus()")
    page.press("Enter")
    assert page.value(shown)
    assert page.value(words).startswith("Image:")
    page.press("ArrowRight")
    assert page.value(words).startswith("Box:")
    assert page.value("document.querySelector('dialog img').naturalWidth") > 0
    page.press("Escape")
    assert not page.value(shown)
    assert page.value("document.activeElement.querySelector('img').alt").startswith("Box:")
    page.click(f"{TABLE} button.enlarge")
    assert page.value(shown)
    page.click("dialog > button")
    assert not page.value(shown)
    assert page.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_both_colour_schemes(browser: Page, report: Path, dark: bool) -> None:
    """WCAG 2.1, 1.4.3: a contrast of 4.5 to 1 for every text that is shown."""
    browser.show_as(dark=dark)
    browser.open(report)
    texts = browser.value(
        """(() => {
          const found = new Map();
          for (const element of document.body.querySelectorAll("*")) {
            const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
            if (!own || element.closest("script, .unseen")) continue;
            let behind = element;
            while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") {
              behind = behind.parentElement;
            }
            const style = getComputedStyle(element);
            const text = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
            const ground = getComputedStyle(behind ?? document.documentElement).backgroundColor;
            found.set(`${text} ${ground}`, [text, ground, element.outerHTML.slice(0, 80)]);
          }
          return [...found.values()];
        })()"""
    )
    assert len(texts) >= 6
    for text, ground, element in texts:
        assert _contrast(text, ground) >= 4.5, (text, ground, element)
    body = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (_luminance(body) < 0.05) == dark


def test_without_scripts_all_is_there_sorted_by_quality(browser: Page, report: Path) -> None:
    browser.show_as(script=False)
    browser.open(report)
    assert browser.value("document.querySelectorAll('button, dialog').length") == 0
    assert browser.value("document.querySelector('.filters').checkVisibility()") is False
    assert _order(browser) == {"Quality": "ascending"}
    qualities = _column(browser, "Quality")
    assert len(qualities) == 13
    assert qualities == sorted(qualities, key=float)
    assert browser.value("[...document.images].every(image => image.naturalWidth > 0)")


def test_names_from_the_dataset_stay_text(page: Page) -> None:
    assert (
        page.value("document.querySelectorAll('[onerror], [onmouseover], img:not([src^=\"data:\"])').length")
        == 0
    )
    assert page.value("document.scripts.length") == 1
    assert HOSTILE_CLASS in _column(page, "Class")
    assert any(cell.startswith(HOSTILE_NAME) for cell in _column(page, "Image and box"))
    assert HOSTILE_CLASS in page.value("document.querySelector('#classes').innerText")
    assert page.problems == []


def test_a_reader_that_does_not_see_finds_its_way(page: Page) -> None:
    page.press("Tab")
    assert page.value("document.activeElement.innerText") == "Skip to the content"
    page.press("Enter")
    assert page.value("document.activeElement.id") == "content"
    facts = page.value(
        """({
          heads: [...document.querySelectorAll("h1, h2, h3")].map(head => Number(head.tagName[1])),
          captions: [...document.querySelectorAll("table")].every(table => table.caption?.innerText),
          scopes: [...document.querySelectorAll("th")].every(cell => cell.scope),
          regions: [...document.querySelectorAll(".scroll")].every(
            part => part.tabIndex === 0 && part.ariaLabel),
          labels: [...document.querySelectorAll("select, input")].every(field => field.labels.length),
          buttons: [...document.querySelectorAll("button")].every(
            button => button.innerText.trim() || button.querySelector("img[alt]")),
          ids: [...document.querySelectorAll("[id]")].map(element => element.id),
          targets: [...document.querySelectorAll("nav a")].every(
            link => document.getElementById(link.hash.slice(1))),
        })"""
    )
    heads, ids = facts.pop("heads"), facts.pop("ids")
    assert all(facts.values()), facts
    assert heads[0] == 1
    assert heads.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(heads))
    assert len(ids) == len(set(ids))


def test_modes_of_images_and_versions_are_told(page: Page) -> None:
    text = page.value("document.querySelector('#images').innerText")
    for line in ("colour (RGB) [RGB]", "grey [L]", "CMYK inks, turned into RGB [CMYK]"):
        assert line in text
    facts = page.value("document.querySelector('#conversion').innerText")
    assert np.__version__ in facts


def _contrast(first: str, second: str) -> float:
    dark, light = sorted((_luminance(first), _luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, as WCAG 2.1 defines it."""
    channels = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
