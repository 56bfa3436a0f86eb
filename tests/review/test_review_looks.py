"""How the page looks with what people have: pictures of each part, and nothing that runs over its edges.

With HF_SYNTHLABELS_PICTURES=docs/images the pictures that the documentation shows are taken again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_synthlabels.labels import LabelSchema
from tests.review.browsing import faults, press_and_wait, row_number, until, until_labelled

pytestmark = pytest.mark.slow

Serve = Callable[..., str]
Open = Callable[..., Any]

DOCUMENTED = ("label", "entities", "adjudicate", "read")
"""Pictures in docs/review.md."""

TITLES = {
    "VLDB": ["Query optimization in a distributed column store", "Adaptive indexing for streams of updates"],
    "ISCAS": ["A low-power CMOS amplifier for neural recording", "Sigma-delta converters with dynamic matching"],
    "SIGGRAPH": ["Real-time rendering of hair with deep opacity maps", "Sketch-based modeling of garments"],
    "INFOCOM": ["Fair scheduling of flows in wireless mesh networks", "Delay bounds for multicast routing"],
    "WWW": ["Ranking pages by the behavior of readers", "Crawling the hidden web through its forms"],
}

RECIPE = """
name: conference-titles
source: {path: parquet, data_files: data.parquet}
task:
  kind: text-classification
  instructions: Which conference published the paper with this title?
  labels:
    VLDB: databases and data management
    ISCAS: circuits and systems
    SIGGRAPH: computer graphics
    INFOCOM: computer networks
    WWW: the web
  guidelines: |
    Decide by what the paper contributes, not by what it is used for.

    1. A database of images is VLDB unless the title speaks of rendering.
    2. Protocols and scheduling in networks are INFOCOM; search and crawling are WWW.
    3. Hardware is ISCAS, also when it is hardware for graphics.
  human: label
annotator: {client: recorded, column: llm_label}
"""


def titles(rows: int = 300, drawn: int = 80) -> Dataset:
    draw, names = random.Random(4), list(TITLES)
    truth = [draw.choice(names) for _ in range(rows)]
    said = [name if draw.random() < 0.8 else draw.choice(names) for name in truth]
    made = Dataset.from_dict(
        {
            "text": [draw.choice(TITLES[name]) for name in truth],
            "llm_label": [names.index(name) for name in said],
            "llm_label_status": ["labelled"] * rows,
            "llm_label_confidence": [draw.choice([1.0, 0.9, 0.6]) for _ in range(rows)],
            "inclusion_probability": [0.2 if row < drawn else None for row in range(rows)],
            "truth": truth,
        },
        features=Features(
            {
                "text": Value("string"),
                "llm_label": ClassLabel(names=names),
                "llm_label_status": Value("string"),
                "llm_label_confidence": Value("float32"),
                "inclusion_probability": Value("float64"),
                "truth": Value("string"),
            }
        ),
    )
    assert isinstance(made, Dataset)
    return made


def labelled(texts: list[str], said: list[Any], schema: LabelSchema) -> Dataset:
    feature = schema.feature()
    content = {"text": texts, "llm_label": said, "inclusion_probability": [0.5] * len(texts)}
    features = Features({"text": Value("string"), "llm_label": feature, "inclusion_probability": Value("float64")})
    made = Dataset.from_dict(content, features=features)
    assert isinstance(made, Dataset)
    return made


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., None]:

    def take(page: Any, name: str) -> None:
        page.mouse.move(0, 0)
        page.wait_for_timeout(200)
        # Nothing may stand beyond the right edge, nor one thing of a card beyond it.
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name}: {wide} pixels too wide"
        over = page.evaluate(
            "() => [...document.querySelectorAll('.work, .card, .guide, .case, .candidate, button.label')].filter("
            "element => element.scrollWidth > element.clientWidth + 1).map(element => element.className)"
        )
        assert over == [], name
        shown = Path(os.environ.get("HF_SYNTHLABELS_PICTURES", tmp_path))
        file = (shown if name in DOCUMENTED else tmp_path) / f"review-{name}.png"
        page.screenshot(path=str(file))
        assert 5_000 < file.stat().st_size < 300_000

    return take


def test_pictures_of_the_three_parts(tmp_path: Path, serve: Serve, open_page: Open, picture: Any) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    made, names = titles(), list(TITLES)
    # Sampled rows are annotated blind; the disagreements are looked at afterwards, with the LLM labels.
    url = serve(made, recipe=str(tmp_path / "recipe.yaml"), blind=None)
    for person, count, error in (("ann", 24, 0.0), ("bob", 14, 0.15)):
        draw = random.Random(7)
        page = open_page(url, person)
        # Seven seconds a row, as if a person read it.
        page.evaluate("() => { let time = 0; performance.now = () => (time += 7000); }")
        for turn in range(count):
            name = made["truth"][row_number(page)]
            if draw.random() < error:
                name = draw.choice(names)
            if person == "ann" and turn == 5:
                press_and_wait(page, "s")
            else:
                press_and_wait(page, str(names.index(name) + 1))
        until(page, "() => document.querySelector('.strip')?.innerText.includes('stored')")
    until_labelled(page, 14)
    assert "LLM:" not in page.locator("main").inner_text()
    assert page.locator("text=Show LLM label").count() == 0
    # 66 rows of seven seconds.
    assert "about 8 min left" in page.locator(".stat-line").inner_text()
    picture(page, "label")
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".candidate")
    assert "LLM" not in page.locator(".candidates").inner_text()
    assert faults(page) == []
    picture(page, "blind-adjudicate")
    page.goto(f"{url}#read")
    page.wait_for_selector("text=LLM labels are hidden")
    picture(page, "blind-read")
    url = serve(made, recipe=str(tmp_path / "recipe.yaml"))
    page = open_page(url, "bob")
    dark = open_page(url, "ann", color_scheme="dark")
    dark.keyboard.press("l")
    dark.wait_for_selector(".suggestion:not([hidden])")
    picture(dark, "label-dark")
    dark.keyboard.press("?")
    dark.wait_for_selector("dialog[open]")
    picture(dark, "keys-dark")
    dark.keyboard.press("Escape")
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".candidate")
    picture(page, "adjudicate")
    page.keyboard.press("o")
    page.wait_for_selector(".other:not([hidden])")
    picture(page, "another-label")
    page.goto(f"{url}#read")
    page.wait_for_selector("text=macro F1")
    picture(page, "read")
    dark.goto(f"{url}#read")
    dark.wait_for_selector("text=macro F1")
    dark.locator("td.wrong button.count").first.click()
    dark.wait_for_selector(".rows:not([hidden])")
    picture(dark, "rows-dark")


def test_pictures_of_entities_and_of_answers(tmp_path: Path, serve: Serve, open_page: Open, picture: Any) -> None:
    schema = LabelSchema(kind="token-classification", names=("person", "organization", "place", "work of art"))
    text = (
        "Ada Lovelace wrote to the Royal Society in London about the Analytical Engine, which Charles Babbage of "
        "Cambridge had designed. 🙂 Her notes on it are longer than the article that she translated."
    )
    url = serve(labelled([text, text], [[], []], schema), blind=None)
    page = open_page(url, "ann")
    # Two words are marked by Shift; the emoji is one character.
    keys = ["ArrowRight", "Shift+ArrowRight", "1", *["ArrowRight"] * 4, "Shift+ArrowRight", "2"]
    keys += ["ArrowRight", "ArrowRight", "3", *["ArrowRight"] * 3, "Shift+ArrowRight"]
    for key in keys:
        page.keyboard.press(key)
    picture(page, "entities")
    assert page.locator(".spans li").all_inner_texts() == [
        "person\nAda Lovelace\n×",
        "organization\nRoyal Society\n×",
        "place\nLondon\n×",
    ]
    assert faults(page) == []


def test_pictures_of_many_labels(tmp_path: Path, serve: Serve, open_page: Open, picture: Any) -> None:
    names = tuple(
        f"{stem} {part}" for stem in ("Consumer", "Environmental", "Intergovernmental") for part in range(1, 8)
    )
    long = (*names[:-1], "A label whose name is so long that it can hardly stand on one line of a narrow button")
    url = serve(labelled(["A text of twenty-one classes."] * 3, [0, 1, 20], LabelSchema(names=long)))
    page = open_page(url, "ann")
    picture(page, "classes")
    press_and_wait(page, "a")
    page.wait_for_selector(".strip .differs")
    assert "Environmental 4" in page.locator(".strip").inner_text()
    page.goto(f"{url}#read")
    page.wait_for_selector("text=macro F1")
    picture(page, "classes-read")
    narrow = open_page(url, "bob", viewport={"width": 390, "height": 800})
    picture(narrow, "narrow")
    narrow.goto(f"{url}#adjudicate")
    narrow.wait_for_selector(".candidate")
    picture(narrow, "narrow-adjudicate")
    assert faults(narrow) == []


def test_pictures_of_long_texts_and_of_texts_from_right_to_left(
    tmp_path: Path, serve: Serve, open_page: Open, picture: Any
) -> None:
    hebrew = "הכותרת של המאמר מופיעה כאן, יחד עם מילים באנגלית כמו SQL ו-HTML, ומספרים כמו 2026."
    long = ("word " * 12 + "x" * 90 + "\n") * 600
    schema = LabelSchema(names=("חיובי", "שלילי"))
    recipe = (
        "name: r\nsource: {path: parquet, data_files: d.parquet}\nannotator: {client: recorded, column: llm_label}\n"
        "task:\n  kind: text-classification\n  labels: [חיובי, שלילי]\n  guidelines: |\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe + "    A rule of the guideline.\n" * 2000, encoding="utf-8")
    url = serve(labelled([hebrew, long], [0, 1], schema), recipe=str(tmp_path / "recipe.yaml"))
    page = open_page(url, "ann")
    first = row_number(page)
    picture(page, "right-to-left" if first == 0 else "long")
    assert faults(page) == []
    press_and_wait(page, "2")
    picture(page, "long" if first == 0 else "right-to-left")
    press_and_wait(page, "1")
    page.wait_for_selector(".empty")
    until_labelled(page, 2)
    picture(page, "done")
    page.goto(f"{url}#adjudicate")
    page.wait_for_selector(".chip")
    page.locator(".chip", has_text="Examples").click()
    page.wait_for_selector("text=No row has been chosen")
    picture(page, "empty")


def test_picture_of_the_question_who_labels(serve: Serve, browser: Any, picture: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(serve(titles(), llm="llm_label", text=("text",)))
    page.wait_for_selector("dialog[open]")
    picture(page, "name")
    page.keyboard.type("<b>")
    page.keyboard.press("Enter")
    page.wait_for_selector(".wrong:not(:empty)")
    assert "give a name of letters" in page.locator(".wrong").inner_text()
    page.close()
