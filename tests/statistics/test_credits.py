from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.statistics.comparison.paired import mean_difference
from hf_synthlabels.statistics.validation.measures import MEASURES
from hf_synthlabels.statistics.validation.task_agreement import ROW_SCORES, row_scores


class Rows:
    """The least that is a table."""

    def __init__(self, **columns: list[Any]) -> None:
        self._columns = columns
        self.column_names = list(columns)

    def __getitem__(self, column: str) -> list[Any]:
        return self._columns[column]


def credits_of(schema: LabelSchema, human: list[Any], llm: list[Any]) -> list[float]:
    rows = Rows(h=human, l=llm, l_status=["labelled" if each is not None else "unparsed" for each in llm])
    return [float(each) for each in row_scores(rows, schema, human="h", llm="l")]


def test_every_kind_has_a_credit() -> None:
    assert set(ROW_SCORES) == set(MEASURES)


def test_names_are_right_or_wrong() -> None:
    schema = LabelSchema("text-classification", ("a", "b"))
    assert credits_of(schema, ["a", "b", "a"], ["a", "a", None]) == [1.0, 0.0, 0.0]
    assert math.isnan(credits_of(schema, [None, "b"], ["a", "b"])[0])


def test_of_sets_the_shared_part_counts() -> None:
    schema = LabelSchema("multi-label", ("a", "b", "c"))
    assert credits_of(schema, [["a", "b"], [], ["a"]], [["b", "c"], [], None]) == [1 / 3, 1.0, 0.0]


def test_of_numbers_the_distance_counts() -> None:
    schema = LabelSchema("text-scale", scale=Scale(1, 5, 1))
    assert credits_of(schema, [1.0, 5.0, 3.0], [2.0, 1.0, 3.0]) == [0.75, 0.0, 1.0]


def test_of_entities_and_answers_the_f1_counts() -> None:
    entities = LabelSchema("token-classification", ("PER", "LOC"))
    ann, oslo = {"start": 0, "end": 3, "label": "PER"}, {"start": 7, "end": 11, "label": "LOC"}
    assert credits_of(entities, [[ann, oslo], []], [[ann], []]) == [pytest.approx(2 / 3), 1.0]
    texts = LabelSchema("text-generation")
    # Of "the red car" and "a red bus" one word of two is shared; the second reference is met.
    assert credits_of(texts, [["the red car"], ["x", "y z"]], ["a red bus", "y z"]) == [0.5, 1.0]
    spans = LabelSchema("question-answering")
    found = [{"text": "red car", "start": 4}]
    assert credits_of(spans, [{"text": ["the red car"], "answer_start": [0]}], found) == [1.0]


def test_a_difference_by_hand() -> None:
    # 10 rows: a alone right in 3, b alone in 1.
    a = np.array([1.0] * 8 + [0.0] * 2)
    b = np.array([0.0] * 3 + [1.0] * 5 + [1.0, 0.0])
    interval = mean_difference(a, b)
    # Agresti & Min: with b* = 3.5, c* = 1.5, n* = 12.
    spread = math.sqrt((3.5 + 1.5) / 12 - ((3.5 - 1.5) / 12) ** 2) / math.sqrt(12)
    assert interval.estimate == pytest.approx(0.2)
    assert interval.low == pytest.approx(2 / 12 - 1.959963985 * spread)
    assert interval.high == pytest.approx(2 / 12 + 1.959963985 * spread)
    assert interval.n == 10


def test_equal_annotators_are_not_proven_equal_by_few_rows() -> None:
    same = np.ones(20)
    assert mean_difference(same, same).low < -0.05 < 0.05 < mean_difference(same, same).high
    assert mean_difference(np.full(3, np.nan), np.ones(3)).n == 0
    with pytest.raises(DataError, match="`a` has 2 rows and `b` 3"):
        mean_difference(np.ones(2), np.ones(3))


def test_the_interval_of_a_difference_holds_the_truth() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        shared = rng.random(100)
        a, b = (shared < 0.8).astype(float), (np.where(rng.random(100) < 0.3, rng.random(100), shared) < 0.75)
        interval = mean_difference(a, b.astype(float))
        held += interval.low <= 0.05 <= interval.high
    assert 930 <= held <= 985
