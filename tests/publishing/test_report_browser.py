"""The page in a real browser: nothing is loaded, axe-core finds no fault, keys reach all, paper clips nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.publishing import Page, write_page
from hf_synthlabels.statistics.exhibits import Section, Table
from tests.publishing.exhibits import AWKWARD, LONG, SECTIONS, TABLE, near

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow

BROAD = Table(
    "broad",
    "Broad",
    tuple(f"a long column {place}" for place in range(12)),
    tuple((LONG, *(near(0.5 + place / 100, 300 + row + place) for place in range(11))) for row in range(40)),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    sections = (*SECTIONS, Section("awkward", "And the awkward?", "They are drawn.", (*AWKWARD, BROAD)))
    facts = {"data": "x" * 300, "seeds": "0, 1"}
    return write_page(Page(f"Titles of {LONG}", sections, ("Use the LLM labels.",), facts), folder)[0]


@pytest.fixture
def opened(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page in a window of the width and the theme that a test asks for."""
    width, scheme = getattr(request, "param", (1280, "light"))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.wrong = []
    page.on("console", lambda message: page.wrong.append(message.text))
    page.on("request", lambda asked: asked.url.startswith("file:") or page.wrong.append(asked.url))
    page.goto(file.as_uri())
    yield page
    context.close()


every_look = pytest.mark.parametrize("opened", [(1280, "light"), (390, "dark")], indirect=True, ids=str)


@every_look
def test_axe_finds_no_fault_and_nothing_overflows(opened: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with it")
    # What is folded away is looked at, too.
    opened.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    found = axe.Axe().run(opened).response["violations"]
    told = [(each["id"], each["impact"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found]
    assert told == []
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # Neither the policy nor the figures were complained of, and nothing was asked for.
    assert opened.wrong == []


def test_switch_changes_the_colours_by_keys_alone(opened: Any) -> None:
    def ground() -> str:
        return str(opened.evaluate("getComputedStyle(document.body).backgroundColor"))

    def line() -> str:
        return str(opened.evaluate("getComputedStyle(document.querySelector('#scores .k-s0')).stroke"))

    light = (ground(), line())
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the report"
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("document.activeElement.id") == "theme-dark"
    dark = (ground(), line())
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    opened.keyboard.press("ArrowLeft")
    assert (ground(), line()) == light


@pytest.mark.parametrize("opened", [(390, "light")], indirect=True, ids=str)
def test_keys_reach_every_link_fold_and_wide_part(opened: Any) -> None:
    wanted = opened.evaluate(
        "[...document.querySelectorAll('a, summary, .wide, .plot')].filter(each => each.checkVisibility()).length"
    )
    seen = set()
    for _ in range(wanted + 10):
        opened.keyboard.press("Tab")
        place = "[...document.querySelectorAll('*')].indexOf(document.activeElement)"
        seen.add(opened.evaluate(f"[document.activeElement.tagName, {place}].join()"))
    reached = [each for each in seen if not each.startswith(("BODY", "INPUT", "HTML"))]
    assert len(reached) == wanted
    # A fold opens by a key, and what is wider than the window is moved by keys.
    opened.evaluate("document.querySelector('summary').focus()")
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.querySelector('details').open")
    opened.evaluate("document.querySelector('#broad .wide').focus()")
    for _ in range(5):
        opened.keyboard.press("ArrowRight")
    opened.wait_for_timeout(300)
    assert opened.evaluate("document.querySelector('#broad .wide').scrollLeft") > 0


def test_download_saves_the_numbers(opened: Any, file: Path) -> None:
    with opened.expect_download() as awaited:
        opened.click("a[download='table.csv']")
    saved = Path(awaited.value.path()).read_bytes()
    assert saved == (file.parent / "report" / "table.csv").read_bytes()
    assert str(TABLE.rows[0][0]) in saved.decode()


def test_paper_is_light_and_clips_nothing(browser: Any, file: Path, tmp_path: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--card')") == "#ffffff"
    # As wide as an upright sheet within its margins: only what is set across may be wider.
    page.set_viewport_size({"width": 680, "height": 1000})
    across = "each.closest('.exhibit:has(>.broad)') || each.querySelector('.exhibit>.broad')"
    wide = f"each => each.scrollWidth > 681 && !({across})"
    clipped = page.evaluate(
        f"[...document.querySelectorAll('main *')].filter({wide}).map(each => each.outerHTML.slice(0, 99))"
    )
    assert clipped == []
    # And across: 267 mm are 1,009 pixels.
    page.set_viewport_size({"width": 1009, "height": 700})
    assert page.evaluate("document.querySelector('#broad table').offsetWidth") <= 1009
    pdf = page.pdf(path=str(tmp_path / "report.pdf"), prefer_css_page_size=True)
    # Sheets of both directions (A4 in points).
    boxes = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+)", pdf))
    assert {round(float(each)) for each in boxes} == {595, 842} or {round(float(each)) for each in boxes} == {596, 842}
    context.close()


def test_every_exhibit_has_its_figure_on_the_page(opened: Any) -> None:
    drawn = opened.evaluate(
        "[...document.querySelectorAll('figure svg')].filter(each => each.getBBox().width > 100).length"
    )
    figures = [each for section in SECTIONS for each in section.exhibits if not isinstance(each, Table)]
    assert drawn == len(figures) + len(AWKWARD)
