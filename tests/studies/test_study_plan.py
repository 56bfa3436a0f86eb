"""The time that is left, from what cells took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hf_synthlabels.studies.plan import EtaEstimator, named
from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.students.job import Outcome
from tests.studies.students.test_study_learning import job


def test_cells_take_what_those_like_them_took(monkeypatch: pytest.MonkeyPatch) -> None:
    times: Iterator[float] = iter([0.0, 10.0, 70.0])
    monkeypatch.setattr("hf_synthlabels.studies.plan.time.monotonic", lambda: next(times))
    names = [
        CellName(task, "llm", None, "-", student, "plain", 0, 0) for task in "ab" for student in ("small", "large")
    ]
    jobs = [
        job("text-classification", ["x", "y"], [0] * 9, {}, key=str(place), cell=cell)
        for place, cell in enumerate(names)
    ]
    clock = EtaEstimator(jobs, 1)
    clock.finished(Outcome("0", names[0]))
    # Ten seconds for nine rows; nothing else has been seen of the other three.
    assert clock.seconds() == pytest.approx(30)
    clock.finished(Outcome("1", names[1]))
    # 60 for the large one: the same of the other task.
    assert clock.seconds() == pytest.approx(70)
    assert str(clock) == "1 min"


def test_a_student_of_whom_nothing_is_known_counts_as_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    times: Iterator[float] = iter([0.0, 10.0])
    monkeypatch.setattr("hf_synthlabels.studies.plan.time.monotonic", lambda: next(times))
    names = [CellName("a", "llm", None, "-", student, "plain", 0, 0) for student in ("words", "encoder")]
    labels = [0] * 2000
    cheap = job("text-classification", ["x", "y"], labels, {}, key="0", cell=names[0])
    jobs = [replace(cheap, learner="tfidf"), job("text-classification", ["x", "y"], labels, {}, key="1", cell=names[1])]
    clock = EtaEstimator(jobs, 1)
    clock.finished(Outcome("0", names[0]))
    # Not 10 seconds for each of the 2,000 rows of the other.
    assert clock.seconds() == pytest.approx(10)


def test_cells_are_named_by_what_makes_them_different() -> None:
    assert named(CellName("a", "llm", 1000, "plain", "small", "mix", 50, 3)) == (
        "a, llm, plain, 1,000 rows, small, mix with 50 human, seed 3"
    )
    assert named(CellName("a", "human", None, "-", "small", "plain", 0, 0)) == "a, human, all rows, small, seed 0"
