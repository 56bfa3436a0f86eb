"""LLMBar's recorded replies, read as its authors read them, give the accuracies that they published: all 349."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.judging import Rubric, read_reply, read_rubric

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""Read before any test hides the variable."""

ARCHIVE = DATA / "judge" / "llmbar" / "llmbar_results.tar.xz"

pytestmark = pytest.mark.skipif(not ARCHIVE.is_file(), reason="no local copy of judge/llmbar in HF_SYNTHLABELS_DATA")

RATING = {
    "name": "rating",
    "instructions": "Rate the output.",
    "scale": {"low": 0, "high": 10},
    "verdict": {"anywhere": True},
}


@pytest.fixture(scope="module")
def files() -> dict[str, Any]:
    """The archive's JSON files by their paths."""
    with tarfile.open(ARCHIVE) as archive:
        return {
            member.name: json.loads(content.read())
            for member in archive
            if member.name.endswith(".json") and (content := archive.extractfile(member)) is not None
        }


@cache
def comparison(first: str, second: str) -> Rubric:
    """A rubric with the authors' own patterns; the authors try that of the first output first."""
    return read_rubric(
        {
            "name": "comparison",
            "instructions": "Which output is better?",
            "protocol": "pairwise",
            "verdict": {"take": "best"},
            "choices": [
                {"answer": "Output (b)", "score": 0, "pattern": second},
                {"answer": "Output (a)", "score": 1, "pattern": first},
            ],
        }
    )


def winners(result: Any, stages: list[Any]) -> tuple[str | None, str | None]:
    """Who wins with the first output shown first and shown second: '1', '2' or nobody, as the authors count."""
    final = result[-1]
    if "score_1" in final:
        scores = [read_reply(read_rubric(RATING), final[name][0]).score for name in ("score_1", "score_2")]
        if scores[0] is None or scores[1] is None:
            # What has no score counts once for either.
            return "1", "2"
        # So does a tie, the other way round.
        return ("2", "1") if scores[0] == scores[1] else ("1", "1") if scores[0] > scores[1] else ("2", "2")
    patterns = stages[len(result) - 1]["parsing"]
    rubric = comparison(patterns["1"], patterns["2"])
    shown = [read_reply(rubric, final[f"swap = {swapped}"]["completion"][0]).score for swapped in (False, True)]
    in_order, swapped = ({1.0: ("1", "2"), 0.0: ("2", "1"), None: (None, None)}[score] for score in shown)
    return in_order[0], swapped[1]


def cells(files: dict[str, Any]) -> Iterator[tuple[str, Any, list[Any]]]:
    """Published statistics with the replies that they were made of and how each stage was read."""
    for path, statistics in files.items():
        if found := re.search(r"evaluators/([^/]+)/([^/]+)/statistics\.json$", path):
            results = files[path.replace("statistics.json", "result.json")]
            stages = files[f"LLMEvaluator/evaluators/config/{found[1]}/{found[2]}.json"]
            yield path, statistics, [(row["label"], row["results"], stages) for row in results]


def test_all_published_accuracies_come_out(files: dict[str, Any]) -> None:
    checked = 0
    for path, statistics, rows in cells(files):
        read = [(str(label), winners(results, stages)) for label, results, stages in rows]
        right = [sum(found[place] == label for label, found in read) for place in (0, 1)]
        for name, count in zip(("correct_False", "correct_True"), right, strict=True):
            assert statistics[name].startswith(f"{count} / {len(read)} = "), (path, name)
        average = 100 * sum(right) / (2 * len(read))
        assert float(statistics["correct_average"].rstrip("%")) == pytest.approx(average, abs=0.051), path
        checked += 1
    assert checked == 349
