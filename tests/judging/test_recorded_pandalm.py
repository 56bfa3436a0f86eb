"""PandaLM's recorded verdicts of gpt-3.5: what becomes of those that can not be read decides the published accuracy."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.judging import Judgment, read_reply, read_rubric
from hf_synthlabels.judging.summary import ScoreCount

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""Read before any test hides the variable."""

FOLDER = DATA / "judge" / "pandalm"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no local copy of judge/pandalm in HF_SYNTHLABELS_DATA")

PAIR = read_rubric(
    {
        "name": "pandalm",
        "instructions": "Which response is better?",
        "protocol": "pairwise",
        "choices": [{"answer": "2", "score": 0}, {"answer": "Tie", "score": 0.5}, {"answer": "1", "score": 1}],
    }
)
HUMAN = {"1": 1.0, "2": 0.0, "0": 0.5}


def test_three_ways_to_count_what_can_not_be_read() -> None:
    rows = json.loads((FOLDER / "testset-v1.json").read_text(encoding="utf-8"))
    replies = json.loads((FOLDER / "gpt-3.5-turbo-testset-v1.json").read_text(encoding="utf-8"))
    said = [read_reply(PAIR, reply["gpt_result"]).score for reply in replies]
    votes = [Counter(row[f"annotator{number}"] for number in (1, 2, 3)) for row in rows]
    human = [HUMAN[str(vote.most_common(1)[0][0])] for vote in votes]
    assert len(said) == len(human) == 999
    assert said.count(None) == 25
    right = sum(one == other for one, other in zip(said, human, strict=True))
    tie = sum(one is None and other == 0.5 for one, other in zip(said, human, strict=True))
    # Published is the first: what can not be read is a tie.
    assert round(100 * (right + tie) / 999, 2) == 71.07
    assert round(100 * right / 999, 2) == 69.77
    assert round(100 * right / (999 - 25), 2) == 71.56


def test_unread_verdicts_are_bounds_here_and_no_ties() -> None:
    replies = json.loads((FOLDER / "gpt-3.5-turbo-testset-v1.json").read_text(encoding="utf-8"))
    count = ScoreCount(PAIR)
    for reply in replies:
        reading = read_reply(PAIR, reply["gpt_result"])
        count.add(Judgment(reading.score, "unparsed" if reading.score is None else "scored", reading.parse_method))
    found = count.summary(RunStats())
    assert (found.n_scored, found.n_unscored) == (974, {"unparsed": 25})
    assert found.highest_mean - found.lowest_mean == pytest.approx(25 / 999)
