"""The recommendation: every verdict can be reached, better labels make none more sceptical, and words have numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from hf_synthlabels.statistics import Interval
from hf_synthlabels.studies import Recommendation, StudyRuns, recommend, report_sections
from hf_synthlabels.studies.advice.cases import SCEPTICISM, decide
from hf_synthlabels.studies.runs import CellRun
from tests.studies.analysis.study_cells import cell, make_runs, make_task, noisy

TRUTH = [row % 2 for row in range(400)]


def study(llm: float, annotator: float, *, human: float = 0.85, seeds: int = 3, margin: float = 0.06) -> StudyRuns:
    cells: list[CellRun] = []
    for seed in range(seeds):
        cells.append(cell("human", noisy(TRUTH, human, seed), seed, rows=500))
        cells.append(cell("llm", noisy(TRUTH, llm, seed), seed, rows=500))
    labels = noisy(TRUTH, annotator, 0)
    return make_runs(make_task(cells, truth=TRUTH, llm_labels={"llm": labels}), margin=margin)


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, "", 100)


@pytest.mark.parametrize(
    ("llm", "annotator", "verdict"),
    [
        (0.85, 0.85, "use the student"),
        (0.85, 0.95, "use the LLM labels"),
        (0.6, 0.9, "use the annotator itself"),
        (0.795, 0.8, "label more by hand"),
        (0.6, 0.6, "label all by hand"),
    ],
)
def test_every_verdict_is_reached(llm: float, annotator: float, verdict: str) -> None:
    found = recommend(study(llm, annotator))
    assert found.verdict == verdict
    # The decision, the evidence and the main caveat, one sentence each.
    assert len(found.summary) == 3
    assert found.summary[0] == found.decision
    assert str(found.decides) in found.summary[1]
    assert found.comparisons[0].difference == found.decides
    assert found.decision.startswith("Use") == verdict.startswith("use")


@pytest.mark.parametrize("runs", [study(0.85, 0.85), study(0.8, 0.8), study(0.6, 0.6), study(0.84, 0.8, seeds=1)])
def test_words_have_rows_and_the_interval_that_decides(runs: StudyRuns) -> None:
    found = recommend(runs)
    assert "400 test rows" in found.text
    assert str(found.decides) in found.text
    assert "margin of 0.06" in found.text
    assert any("one seed" in line for line in found.caveats) == (len(runs.tasks[0].cells) == 2)


def test_more_rows_are_named_where_rows_would_settle_it() -> None:
    found = recommend(study(0.82, 0.7, seeds=1, margin=0.045))
    assert found.verdict == "label more by hand"
    assert found.more is not None
    assert found.more > 0
    assert f"about {400 + found.more:,} would" in found.text


def test_more_rows_than_the_table_has_are_not_asked_for() -> None:
    runs = study(0.82, 0.7, seeds=1, margin=0.045)
    needed = recommend(runs).more
    assert needed is not None
    facts = {"tasks": {"t": {"train": 500 + needed - 1, "train_human": 500, "held_back_without_label": 0}}}
    found = recommend(replace(runs, facts=facts))
    assert (found.verdict, found.more) == ("label more by hand", None)
    assert f"{needed - 1:,} rows without a human label" in found.text


def test_without_a_pair_there_is_no_verdict() -> None:
    found = recommend(make_runs(make_task([cell("human", TRUTH)], truth=TRUTH)))
    assert isinstance(found, Recommendation)
    assert found.verdict == "no verdict"
    assert np.isnan(found.decides.estimate)
    assert recommend(make_runs()).verdict == "no verdict"


def test_cells_that_failed_say_why_there_is_no_verdict() -> None:
    failed = {"task": "t", "source": "llm", "student": "s", "seed": 0, "why": "all labels are 'no'"}
    runs = make_runs(make_task([cell("human", TRUTH)], truth=TRUTH), facts={"failed": [failed]})
    assert "all labels are 'no'" in recommend(runs).text
    assert "size" not in recommend(runs).text


def test_an_unfinished_study_has_no_verdict() -> None:
    found = recommend(replace(study(0.85, 0.85), facts={"missing": 39, "cells": 49}))
    assert found.verdict == "no verdict"
    assert "39 of 49" in found.text


@pytest.mark.parametrize(("unread", "verdict"), [(40, "use the student"), (41, "no verdict"), (400, "no verdict")])
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_of_too_few_rows_decide_nothing(part: str, unread: int, verdict: str) -> None:
    (task,) = study(0.85, 0.85).tasks
    statuses = {"statuses": {"labelled": 400 - unread, "unparsed": unread}, "unread": {"unparsed: 'biased'": "why"}}
    known = {"llm": {"facts": {"client": "openai"}, part: statuses}}
    found = recommend(make_runs(replace(task, annotators=known), margin=0.06))
    assert found.verdict == verdict
    if verdict == "no verdict":
        assert f"{400 - unread} of 400" in found.text
        assert f"{unread} unparsed" in found.text
        assert "'biased'" in found.text
        assert "size" not in found.text


@pytest.mark.parametrize("recorded", [True, False], ids=["statuses", "no label at all"])
def test_an_annotator_that_was_not_asked_about_test_rows_is_unknown_there(recorded: bool) -> None:
    (task,) = study(0.85, 0.85).tasks
    known = {"llm": {"facts": {"client": "recorded"}, "test": {"statuses": {"skipped": 400}}}} if recorded else {}
    blank = replace(task, llm_labels={"llm": (None,) * 400}, annotators=known)
    found = recommend(make_runs(blank, margin=0.06))
    assert found.verdict == "use the LLM labels"
    assert any("unknown" in line for line in found.caveats)
    assert not any("LLM itself" in each.name for each in found.comparisons)
    (page,) = [each for each in report_sections(make_runs(blank)) if each.name == "shifts"]
    assert "annotator" not in page.answer


@pytest.mark.parametrize(("llm", "annotator"), [(0.85, 0.85), (0.6, 0.6), (0.795, 0.8)])
def test_an_encoder_is_never_called_an_llm(llm: float, annotator: float) -> None:
    (task,) = study(llm, annotator).tasks
    named = replace(
        task,
        llm_labels={"encoder": task.llm_labels["llm"]},
        annotators={"encoder": {"facts": {"client": "embedding"}}},
        cells=tuple(
            replace(run, cell=replace(run.cell, source=run.cell.source.replace("llm", "encoder"))) for run in task.cells
        ),
    )
    runs = make_runs(named, margin=0.06)
    found = recommend(runs)
    assert "no LLM was asked" in found.text
    shown = f"{found.text} {found.caveats} {found.comparisons}"
    assert "LLM" not in shown.replace("no LLM was asked, and nothing here says how good an LLM would be", "")
    assert "by hand" not in found.decision or found.verdict == "label more by hand"
    assert "LLM" not in str(report_sections(runs))


def test_many_tasks_are_decided_together() -> None:
    tasks = []
    for at in range(5):
        cells = [
            each
            for seed in range(2)
            for each in (
                cell("human", noisy(TRUTH, 0.85, 10 * at + seed), seed, task=f"t{at}"),
                cell("llm", noisy(TRUTH, 0.85, 10 * at + seed + 5), seed, task=f"t{at}"),
            )
        ]
        tasks.append(make_task(cells, name=f"t{at}", truth=TRUTH, llm_labels={"llm": noisy(TRUTH, 0.7, at)}))
    found = recommend(make_runs(*tasks, margin=0.06))
    assert found.verdict == "use the student"
    assert "Over 5 tasks with 2,000 test rows" in found.text
    assert found.decides.n == 5


ends = some.floats(-0.3, 0.3, allow_nan=False)
intervals = some.tuples(ends, ends).map(lambda pair: interval(min(pair), max(pair)))


def raised(found: Interval, by: float) -> Interval:
    return interval(found.low + by, found.high + by)


@given(
    student=intervals,
    annotator=intervals,
    beside_annotator=intervals,
    by=some.floats(0, 0.3),
    margin=some.floats(0, 0.1),
)
def test_intervals_that_rise_never_make_it_more_sceptical(
    student: Interval, annotator: Interval, beside_annotator: Interval, by: float, margin: float
) -> None:
    before, _ = decide(student, annotator, beside_annotator, margin)
    for better in (
        decide(raised(student, by), annotator, beside_annotator, margin),
        decide(student, raised(annotator, by), beside_annotator, margin),
        decide(raised(student, by), raised(annotator, by), beside_annotator, margin),
    ):
        assert SCEPTICISM[better[0]] <= SCEPTICISM[before]


@settings(max_examples=25, deadline=None)
@given(accuracy=some.floats(0.5, 0.9), mended=some.integers(1, 120), seed=some.integers(0, 1000))
def test_labels_with_more_right_rows_never_make_it_more_sceptical(accuracy: float, mended: int, seed: int) -> None:
    truth = TRUTH[:150]
    human = [cell("human", noisy(truth, 0.85, seed + at), at) for at in range(2)]

    def verdict(repair: int) -> int:
        def better(answers: tuple[int, ...]) -> list[int]:
            return [*truth[:repair], *answers[repair:]]

        llm = [cell("llm", better(noisy(truth, accuracy, seed + 7 + at)), at) for at in range(2)]
        llm_labels = {"llm": better(noisy(truth, accuracy, seed + 99))}
        found = recommend(make_runs(make_task([*human, *llm], truth=truth, llm_labels=llm_labels), resamples=150))
        return SCEPTICISM[found.verdict]

    assert verdict(mended) <= verdict(0)
