"""The experiment on formats: what follows for exact match by construction, and what its document says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rouge_score")
pytest.importorskip("nltk")

from benchmarks.documents import read_csv
from benchmarks.perturbations import FORMATS, Source, perturbed_rows
from benchmarks.perturbed_formats import (
    FOLDER,
    LabelReader,
    Length,
    Task,
    best_threshold,
    flips,
    measured,
    read_tasks,
)
from hf_synthlabels.judging import Scorer
from hf_synthlabels.judging.audit.rows import Resamples
from hf_synthlabels.judging.scorers.text import ExactMatch, Rouge

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or ROOT.parent / "shared" / "data")
"""Read before any test hides the variable."""

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def task() -> Task:
    sources = [Source(str(place), LABELS[place % 2]) for place in range(20)]
    return Task("toy", perturbed_rows(sources, "classification"), LABELS)


def scores(task: Task, scorer: Scorer) -> list[float]:
    return scorer.score([row.prediction for row in task.rows], [[row.reference] for row in task.rows])


def test_exact_match_knows_one_format_of_six(task: Task) -> None:
    found = measured(task, scores(task, ExactMatch()))
    # One form of a right answer scores 1, five tie with the wrong one's 0.
    expected = {
        "right house, wrong house": 1,
        "right any, wrong house": 1 / 6 + 5 / 6 / 2,
        "right any, wrong any": 1 / 6 + 5 / 6 / 2,
        # Of a right answer's 15 pairs of formats 5 differ, of a wrong one's none.
        "flip": 5 / 15 / 2,
        "own flip": 5 / 15 / 2,
    }
    for name, value in expected.items():
        assert found.scores[name].estimate == pytest.approx(value), name
    # Of N answers x 6 formats the sums of squares are N/24 for answers, 5N/24 for formats and 5N/24 for the rest: the
    # mean squares of answers and rest are the same.
    assert found.scores["icc"].estimate == pytest.approx(0, abs=1e-12)
    assert found.threshold == 0.5
    assert list(found.means["label"]) == [1, 0]
    assert list(found.means["json"]) == [0, 0]


def test_parser_minds_no_format_and_length_minds_nothing_else(task: Task) -> None:
    parser, length = (measured(task, scores(task, each)).scores for each in (LabelReader(LABELS), Length()))
    assert (parser["icc"].estimate, parser["flip"].estimate, parser["right any, wrong any"].estimate) == (1, 0, 1)
    # Both labels have eight letters: right and wrong tie, but five formats of six are longer, upper is not.
    assert length["right any, wrong any"].estimate == 1 / 2
    assert length["right any, wrong house"].estimate == pytest.approx(4 / 6 + 2 / 6 / 2)
    assert length["format"].estimate == pytest.approx(1)


def test_rouge_orders_labels_without_a_common_word(task: Task) -> None:
    found = measured(task, scores(task, Rouge("rouge1")))
    assert found.scores["right any, wrong house"].estimate == 1
    # One word of the sentence's eight, and of one: 2/9.
    assert list(found.means["sentence"]) == pytest.approx([2 / 9, 0])


def test_best_threshold_is_the_middle_of_the_gap_that_parts_best() -> None:
    assert best_threshold([0.9, 0.6, 0.5, 0.1], [True, True, False, False]) == pytest.approx(0.55)
    # From .35 on: 2 of 2 right and 2 of 3 wrong ones are called so; .8 calls 1/2 and 3/3.
    assert best_threshold([0.9, 0.4, 0.7, 0.3, 0.1], [True, True, False, False, False]) == pytest.approx(0.35)
    assert best_threshold([0.2, 0.2], [True, False]) == 0.5


def test_flips_by_hand_in_each_resample() -> None:
    # Of three pairs of formats 2 differ in the first answer, none in the second; the second draw has the first twice.
    resamples = Resamples(np.array([[1.0, 1.0], [2.0, 0.0]]), np.repeat([0, 1], 3), 2, 0.95)
    assert flips(np.array([[True, False, False], [True, True, True]]), resamples) == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.skipif(not (DATA / "sst2").is_dir(), reason="the data are not part of the repository")
def test_document_shows_what_comes_out() -> None:
    tasks = {each.name: each for each in read_tasks(DATA)}
    rows = {row[0]: row for row in read_csv(FOLDER / "rows.csv")[1]}
    for name, questions in (("wnut17", 1009), ("rte", 277), ("sst2", 872)):
        assert len(tasks[name].rows) == questions * 2 * len(FORMATS)
        assert rows[name][1] == str(questions)
    head, recorded = read_csv(FOLDER / "statistics.csv")
    ends = [place for place, column in enumerate(head) if column.endswith((" low", " high"))]
    for scorer in (ExactMatch(), Rouge("rouge1")):
        found = measured(tasks["rte"], scores(tasks["rte"], scorer))
        (row,) = (each for each in recorded if each[:2] == ["rte", scorer.name])
        values = [float(cell) for place, cell in enumerate(row[2:], 2) if place not in ends]
        ours = [*(each.estimate for each in found.scores.values()), found.threshold]
        assert values[:-1] == pytest.approx(ours[:-1], abs=0.00051), scorer.name
        assert values[-1] == pytest.approx(ours[-1], abs=0.0051)
