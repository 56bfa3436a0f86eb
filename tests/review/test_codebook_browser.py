"""The page of a codebook in a real browser: six variables with skip logic by keys, a kill, and how it looks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from tests.review.browsing import Server, faults, press_and_wait, row_number, until, until_labelled
from tests.review.codebooks import SECRET, codebook_session, codebook_table, written_codebook
from tests.review.reviewing import serving

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
WAGES = ["1", "Tab", "1", "2", "Tab"]
"""Keys for a protest about wages and rights; the claim is next."""

ACTORS = ["ArrowRight", "Shift+ArrowRight", "1"]
"""Keys that mark the first two words as a person."""


@pytest.fixture
def serve_codebook(tmp_path: Path) -> Any:
    with ExitStack() as stack:

        def begin(**options: Any) -> tuple[str, CodebookSession]:
            session = codebook_session(tmp_path, **options)
            port = stack.enter_context(serving(session, "protests.parquet"))
            return f"http://127.0.0.1:{port}/", session

        yield begin


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def state(page: Any, name: str) -> str:
    """What a variable shows at the right: whether it applies and is answered."""
    return str(page.locator(f"section[aria-labelledby=variable-{name}] .variable-state").inner_text())


def focused(page: Any) -> str:
    return str(page.locator(".variable.focused h2").inner_text())


def stored(session: CodebookSession, row: int) -> dict[str, Any]:
    events = [event for event in session.review.store.since() if event.row == row and event.action == "label"]
    return {event.variable: event.human_label for event in events}


def test_six_variables_with_skip_logic_by_keys(serve_codebook: Any, open_page: Open) -> None:
    url, session = serve_codebook()
    page = open_page(url, "ann")
    first = row_number(page)
    assert focused(page) == "protest"
    assert (state(page, "issues"), state(page, "wage_claim")) == ("does not apply", "does not apply")
    # A variable that does not apply is passed over.
    press(page, "2", "Tab")
    assert focused(page) == "violence"
    press(page, "Shift+Tab", "1")
    assert (state(page, "issues"), state(page, "wage_claim")) == ("", "does not apply")
    press(page, *WAGES[1:])
    page.keyboard.type("ten percent 1 2 s")
    press(page, "Tab", "3", "ArrowDown", *ACTORS)
    assert page.locator(".spans li").all_inner_texts() == ["person\nAnn Lee\n×"]
    # Enter goes to what has no answer yet, and then saves the row.
    press(page, "Enter")
    assert focused(page) == "tone"
    assert faults(page) == []
    press(page, "3")
    press_and_wait(page, "Enter")
    until_labelled(page, 1)
    assert stored(session, first) == {
        "protest": "yes",
        "issues": ["wages", "rights"],
        "wage_claim": "ten percent 1 2 s",
        "violence": 3,
        "actors": [{"start": 0, "end": 7, "text": "Ann Lee", "label": "person"}],
        "tone": "hostile",
    }
    # An answer that became moot is not stored; an empty list is confirmed; one variable is skipped.
    second = row_number(page)
    press(page, *WAGES)
    page.keyboard.type("moot")
    press(page, "Shift+Tab", "1", "ArrowDown", "0", "ArrowDown", "Enter")
    assert (state(page, "actors"), state(page, "wage_claim")) == ("✓ none", "does not apply")
    press(page, "s")
    press_and_wait(page, "Enter")
    until(page, "() => document.querySelector('.stat-line').innerText.includes('1 skipped')")
    assert stored(session, second) == {"protest": "yes", "issues": ["rights"], "violence": 0, "actors": []}
    # Undo brings the whole row back.
    press_and_wait(page, "u")
    assert row_number(page) == second
    assert (state(page, "tone"), state(page, "issues")) == ("skipped", "✓ answered")
    press(page, "ArrowDown", "ArrowDown", "ArrowDown")
    press(page, *["Shift+Tab"] * 4, "2")
    press(page, "ArrowDown", "ArrowDown", "ArrowDown", "1")
    press_and_wait(page, "Enter")
    until_labelled(page, 2)
    assert session.review.labels(second) == {"protest": "no", "violence": 0, "actors": [], "tone": "neutral"}
    # A row can be skipped as a whole, and nothing has shown a label of the LLM.
    press_and_wait(page, "Shift+s")
    until(page, "() => document.querySelector('.stat-line').innerText.includes('1 skipped')")
    assert SECRET not in page.content()


def test_a_half_finished_row_survives_a_reload_and_a_kill(
    tmp_path: Path, start: Callable[..., Server], open_page: Open
) -> None:
    data = tmp_path / "data.parquet"
    codebook_table(tmp_path).to_parquet(str(data))
    server = start(data, "--recipe", str(written_codebook(tmp_path)))
    page = open_page(server.url, "ann")
    first = row_number(page)
    press(page, *WAGES)
    page.keyboard.type("ten percent")
    server.stop(signal.SIGKILL)
    start(data, "--recipe", str(tmp_path / "codebook.yaml"), port=server.port)
    page.reload()
    page.wait_for_selector(".variable")
    assert (row_number(page), focused(page)) == (first, "violence")
    assert page.locator("#written-wage_claim").input_value() == "ten percent"
    press(page, "2", "Tab", "Enter", "1")
    press_and_wait(page, "Enter")
    until_labelled(page, 1)
    session = codebook_session(tmp_path)
    assert session.review.labels(first)["wage_claim"] == "ten percent"


def test_llm_labels_are_shown_for_each_variable_on_request(serve_codebook: Any, open_page: Open) -> None:
    url, session = serve_codebook(blind=False)
    page = open_page(url, "ann")
    row = row_number(page)
    press(page, *["2", "Tab", "1", "l"])
    page.wait_for_selector(".variable.focused .suggestion:not([hidden])")
    assert page.locator(".suggestion:visible").count() == 1
    assert "LLM: 3" in page.locator(".variable.focused .suggestion").inner_text()
    press(page, "Tab", "Enter", "1")
    press_and_wait(page, "Enter")
    until(page, "() => document.querySelector('.strip')?.innerText.includes('stored')")
    assert "≠ violence LLM: 3" in page.locator(".strip").inner_text().replace("\n", " ")
    events = [event for event in session.review.store.since() if event.row == row and event.action == "label"]
    assert {event.variable: event.llm_shown for event in events} == {
        "protest": False,
        "violence": True,
        "actors": False,
        "tone": False,
    }


def test_disagreements_and_the_report_are_those_of_a_variable(serve_codebook: Any, open_page: Open) -> None:
    url, session = serve_codebook(blind=False)
    for name, protest in (("ann", "2"), ("bob", "1")):
        page = open_page(url, name)
        press(page, protest)
        if protest == "1":
            press(page, "Tab", "Enter")
        else:
            press(page, "Tab")
        press(page, "0", "Tab", "Enter", "1")
        press_and_wait(page, "Enter")
        until_labelled(page, 1)
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".candidate")
    assert page.locator(".candidate-label").all_inner_texts() == ["no", "yes"]
    press(page, "2")
    until(page, "() => document.querySelector('.chip[aria-pressed=true] .chip-count').innerText === '0'")
    assert [state.adjudications for state in session.review.variables.values()].count({}) == 5
    page.get_by_label("Variable").select_option("tone")
    page.wait_for_selector("text=neutral → hostile")
    assert faults(page) == []
    page.goto(f"{url}#read")
    page.wait_for_selector("text=Scores of “tone”")
    assert faults(page) == []


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 1240, "light"), (1280, 900, "dark"), (390, 844, "light")]
)
def test_pictures_of_a_codebook(
    tmp_path: Path, serve_codebook: Any, open_page: Open, width: int, height: int, scheme: str
) -> None:
    url, _ = serve_codebook()
    page = open_page(url, "ann", viewport={"width": width, "height": height}, color_scheme=scheme)
    press(page, "1", "Tab", "2", "Tab", "0", "Tab", *ACTORS)
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    over = "element => element.scrollWidth > element.clientWidth + 1"
    wide = f"() => [...document.querySelectorAll('.work, .variable, .guide, button')].filter({over}).length"
    assert page.evaluate(wide) == 0
    # The text of the row and the variable in focus are in sight together.
    boxes = [page.locator(place).bounding_box() for place in (".texts", ".variable.focused")]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"] + 1
    assert 0 <= boxes[0]["y"] < boxes[1]["y"] + boxes[1]["height"] <= height
    assert faults(page) == []
    is_documented = (width, scheme) == (1280, "light")
    folder = Path(os.environ.get("HF_SYNTHLABELS_PICTURES", tmp_path)) if is_documented else tmp_path
    name = "review-codebook.png" if is_documented else f"review-codebook-{width}-{scheme}.png"
    page.screenshot(path=str(folder / name))
    assert 5_000 < (folder / name).stat().st_size < 300_000
