"""The page in a real browser: twenty rows by keys, a reload, a killed server, two people at once, every kind."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.review import DecisionStore
from hf_synthlabels.review.decision_store import Event
from tests.review.browsing import Server, faults, press_and_wait, row_number, until, until_labelled
from tests.review.reviewing import HUMAN, NAMES, table

pytestmark = pytest.mark.slow

SERIOUS = ("serious", "critical")
WAIT_MS = 15_000


Start = Callable[..., Server]


def written(folder: Path, made: Dataset) -> Path:
    made.to_parquet(str(folder / "data.parquet"))
    return folder / "data.parquet"


def events(folder: Path, *actions: str) -> list[Event]:
    with DecisionStore(folder / "data.parquet.review.sqlite") as store:
        return [event for event in store.since() if event.action in actions]


def test_twenty_rows_by_keys_a_reload_and_a_killed_server(
    tmp_path: Path, start: Start, open_page: Callable[..., Any]
) -> None:
    data = written(tmp_path, table(rows=40, drawn=30))
    server = start(data)
    page = open_page(server.url, "ann")
    given: dict[int, str] = {}
    for turn in range(8):
        given[row_number(page)] = NAMES[turn % 3]
        press_and_wait(page, str(turn % 3 + 1))
    until_labelled(page, 8)
    assert {event.row: event.human_label for event in events(tmp_path, "label")} == given
    # A reload loses nothing, and goes on where it was.
    page.reload()
    page.wait_for_selector(".row-head")
    assert row_number(page) not in given
    for turn in range(4):
        given[row_number(page)] = NAMES[turn % 3]
        press_and_wait(page, str(turn % 3 + 1))
    until_labelled(page, 12)
    # The server is killed while somebody labels: what they say meanwhile waits in the browser.
    server.stop(signal.SIGKILL)
    for _ in range(2):
        given[row_number(page)] = "account"
        press_and_wait(page, "3")
    page.wait_for_selector("#banner:not([hidden])")
    assert "cannot be reached" in page.locator("#banner").inner_text()
    assert len(events(tmp_path, "label")) == 12
    again = start(data, port=server.port)
    page.wait_for_selector("#banner", state="hidden")
    until_labelled(page, 14)
    while len(given) < 20:
        page.wait_for_selector(".row-head")
        given[row_number(page)] = "billing"
        press_and_wait(page, "1")
    until_labelled(page, 20)
    # Killed once more, and the page is loaded anew before it could send what it had.
    again.stop(signal.SIGKILL)
    given[row_number(page)] = "delivery"
    press_and_wait(page, "2")
    page.wait_for_selector("#banner:not([hidden])")
    start(data, port=server.port)
    page.reload()
    page.wait_for_selector(".row-head")
    until_labelled(page, 21)
    assert row_number(page) not in given
    assert {event.row: event.human_label for event in events(tmp_path, "label")} == given
    assert len(events(tmp_path, "label")) == 21


def test_undo_skip_note_and_the_hidden_suggestion(
    tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    url = serve(table())
    page = open_page(url, "ann")
    first = row_number(page)
    page.keyboard.press("n")
    page.keyboard.type("not sure 1 2 3 s")
    page.keyboard.press("Escape")
    assert "billing" not in page.locator(".suggestion").inner_text()
    press_and_wait(page, "3")
    page.wait_for_selector(".strip .differs")
    assert "LLM: billing" in page.locator(".strip").inner_text()
    second = row_number(page)
    press_and_wait(page, "s")
    third = row_number(page)
    page.keyboard.press("l")
    page.wait_for_selector(".suggestion:not([hidden])")
    press_and_wait(page, "1")
    page.wait_for_selector(".strip .same")
    press_and_wait(page, "u")
    assert row_number(page) == third
    press_and_wait(page, "Control+z")
    assert row_number(page) == second
    press_and_wait(page, "u")
    assert row_number(page) == first
    assert page.locator("button.label[aria-pressed=true]").inner_text().endswith("account")
    assert page.locator("#note").input_value() == "not sure 1 2 3 s"
    press_and_wait(page, "2")
    until(page, "() => document.querySelector('.strip')?.innerText.includes('stored')")
    said = [(event.row, event.human_label, event.llm_shown, event.note) for event in events(tmp_path, "label")]
    # After the first time the row's suggestion had been seen.
    assert said == [
        (first, "account", False, "not sure 1 2 3 s"),
        (third, "billing", True, ""),
        (first, "delivery", True, "not sure 1 2 3 s"),
    ]


def test_two_people_at_once_and_how_they_agree(
    tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    url = serve(table())
    pages = {name: open_page(url, name) for name in ("ann", "bob")}
    for turn in range(10):
        press_and_wait(pages["ann"], "1")
        press_and_wait(pages["bob"], "1" if turn < 7 else "2")
    for page in pages.values():
        page.wait_for_selector(".empty")
    page = pages["bob"]
    until_labelled(page, 10)
    page.goto(f"{url}#read")
    page.wait_for_selector("text=Krippendorff's alpha")
    assert "ann and bob" in page.locator(".read-page").inner_text()
    assert "0.700" in page.locator(".read-page").inner_text()
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".candidate")
    assert page.locator(".chip[aria-pressed=true]").inner_text().split() == ["Open", "3"]
    for left in (2, 1, 0):
        page.keyboard.press("1")
        until(
            page, "left => document.querySelector('.chip[aria-pressed=true] .chip-count').innerText === left", str(left)
        )
    assert len(events(tmp_path, "adjudicate")) == 3


KEYS: dict[str, list[str]] = {
    "multi-label": ["3", "1", "1", "Enter"],
    "text-scale": ["4"],
    # Ann is the first word; Acme the third after the emoji and "of".
    "token-classification": ["ArrowRight", "1", "ArrowRight", "ArrowRight", "ArrowRight", "2", "Enter"],
    "question-answering": ["ArrowRight"] * 6 + ["Enter"],
}


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_is_labelled_by_keys(
    tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any], kind: str
) -> None:
    options = {"text-scale": {"scale": "1:5"}}.get(kind, {})
    url = serve(table(kind), **options)
    page = open_page(url, "ann")
    assert faults(page) == []
    for key in KEYS[kind][:-1]:
        page.keyboard.press(key)
    press_and_wait(page, KEYS[kind][-1])
    page.wait_for_selector(".strip .differs")
    assert events(tmp_path, "label")[0].human_label == HUMAN[kind]


def test_a_pair_of_texts_is_labelled_by_keys(
    tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    made = table().rename_column("text", "premise")
    made = made.add_column("hypothesis", [f"Second text {row}" for row in range(len(made))])
    page = open_page(serve(made, kind="text-pair", text=("premise", "hypothesis")), "ann")
    assert faults(page) == []
    assert "Second text" in page.locator("main").inner_text()
    press_and_wait(page, "2")
    page.wait_for_selector(".strip .differs")
    assert events(tmp_path, "label")[0].human_label == "delivery"


def test_a_text_is_written(tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]) -> None:
    url = serve(table("text-generation"), kind="text-generation")
    page = open_page(url, "ann")
    page.keyboard.type("Another answer.")
    press_and_wait(page, "Control+Enter")
    page.wait_for_selector(".strip .differs")
    assert events(tmp_path, "label")[0].human_label == HUMAN["text-generation"]


def test_spans_are_selected_by_mouse(tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]) -> None:
    url = serve(table("token-classification"))
    page = open_page(url, "ann")
    for word, key in (("Ann", "1"), ("Acme", "2")):
        select = (
            "word => { const text = document.querySelector('.passage');"
            "const walker = document.createTreeWalker(text, 4);"
            "let node; while ((node = walker.nextNode())) { const at = node.data.indexOf(word); if (at < 0) continue;"
            "const range = document.createRange(); range.setStart(node, at); range.setEnd(node, at + word.length);"
            "getSelection().removeAllRanges(); getSelection().addRange(range); break; }"
            "text.dispatchEvent(new MouseEvent('mouseup', { bubbles: true })); }"
        )
        page.evaluate(select, word)
        page.keyboard.press(key)
    press_and_wait(page, "Enter")
    page.wait_for_selector(".strip .differs")
    assert events(tmp_path, "label")[0].human_label == HUMAN["token-classification"]


def test_texts_are_never_markup(tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]) -> None:
    evil = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>{{7*7}} &amp; <b>bold</b>'
    made = table().map(lambda _: {"text": evil})
    url = serve(made)
    page = open_page(url, "ann")
    assert page.locator(".text").inner_text() == evil
    press_and_wait(page, "3")
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".candidate")
    assert page.locator(".work .text").inner_text() == evil
    assert page.evaluate("window.evil") is None
    assert page.locator("img, b >> text=bold").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_on_any_page(
    tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any], theme: str
) -> None:
    url = serve(table(rows=40, drawn=30))
    page = open_page(url, "ann", color_scheme=theme)
    for turn in range(6):
        press_and_wait(page, str(turn % 3 + 1))
    page.keyboard.press("l")
    page.wait_for_selector(".suggestion:not([hidden])")
    found = {"label": faults(page)}
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    found["keys"] = faults(page)
    page.keyboard.press("Escape")
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".candidate")
    found["adjudicate"] = faults(page)
    page.keyboard.press("o")
    page.wait_for_selector(".other:not([hidden])")
    found["another label"] = faults(page)
    page.goto(f"{url}#read")
    page.wait_for_selector("text=macro F1")
    page.locator("button.count").first.click()
    page.wait_for_selector(".rows:not([hidden])")
    found["read"] = faults(page)
    assert found == {part: [] for part in found}


def test_the_whole_page_is_reached_by_tab(
    tmp_path: Path, serve: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    url = serve(table())
    page = open_page(url, "ann")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.innerText.split('\\n')[0]"))
    assert {"Label", "Adjudicate", "Report", "Skip", "Undo", "Note"} <= {text.strip() for text in reached}
