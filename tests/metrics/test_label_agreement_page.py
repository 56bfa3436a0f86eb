"""The page of the metric's Space."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import RepoCard

FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "label_agreement"


@pytest.fixture(scope="module")
def app() -> Any:
    spec = importlib.util.spec_from_file_location("label_agreement_app", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_compares_line_by_line(app: Any) -> None:
    words, scores, labels = app.agreed("a\nb\n\nb\n", "a\nb\na\nb\n\n")
    # Three of four are right; one has no label. Wilson 1927: 0.301 to 0.954.
    assert words == "Right: 0.750 [0.301, 0.954] of 4 human-labeled rows."
    assert ["coverage", "0.750 [0.301, 0.954]", "4"] in scores
    assert [row[:3] for row in labels] == [["a", "2", "1"], ["b", "2", "2"]]


def test_lines_that_are_missing_at_the_end_are_rows_without_a_label(app: Any) -> None:
    words, _, _ = app.agreed("a", "a\nb")
    assert words.endswith("of 2 human-labeled rows.")


def test_page_says_why_it_does_not(app: Any) -> None:
    assert app.agreed("a", "")[0].startswith("`label`")
    assert app.agreed("\n".join("a" * 5001), "a")[0] == "The page takes 5,000 rows; install hf-synthlabels for more."


def test_space_starts_the_page(app: Any) -> None:
    front = RepoCard((FOLDER / "README.md").read_text()).data.to_dict()
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    pytest.importorskip("gradio", reason="needs the extra `app`")
    assert "How far the labels of an LLM" in str(app.page().config)
