from __future__ import annotations

import math
from typing import Any

import pytest

from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.statistics.validation.measures import MEASURES
from hf_synthlabels.statistics.validation.task_agreement import ROW_SCORES, row_scores
from tests.statistics.common import Columns


def scores(schema: LabelSchema, human: list[Any], llm: list[Any]) -> list[float]:
    rows = Columns(h=human, l=llm, l_status=["labelled" if each is not None else "unparsed" for each in llm])
    return [float(each) for each in row_scores(rows, schema, human="h", llm="l")]


def test_row_scores_of_every_kind_by_hand() -> None:
    assert set(ROW_SCORES) == set(MEASURES)
    classes = LabelSchema("text-classification", ("a", "b"))
    assert scores(classes, ["a", "b", "a"], ["a", "a", None]) == [1.0, 0.0, 0.0]
    assert math.isnan(scores(classes, [None, "b"], ["a", "b"])[0])
    # Sets: the Jaccard index; numbers: 1 - error / length of the scale.
    sets = LabelSchema("multi-label", ("a", "b", "c"))
    assert scores(sets, [["a", "b"], [], ["a"]], [["b", "c"], [], None]) == [1 / 3, 1.0, 0.0]
    scale = LabelSchema("text-scale", scale=Scale(1, 5, 1))
    assert scores(scale, [1.0, 5.0, 3.0], [2.0, 1.0, 3.0]) == [0.75, 0.0, 1.0]
    # Entities and texts: F1.
    entities = LabelSchema("token-classification", ("PER", "LOC"))
    ann, oslo = {"start": 0, "end": 3, "label": "PER"}, {"start": 7, "end": 11, "label": "LOC"}
    assert scores(entities, [[ann, oslo], []], [[ann], []]) == [pytest.approx(2 / 3), 1.0]
    # "the red car" and "a red bus" share one word of two; the second reference matches.
    texts = LabelSchema("text-generation")
    assert scores(texts, [["the red car"], ["x", "y z"]], ["a red bus", "y z"]) == [0.5, 1.0]
    spans, answer = LabelSchema("question-answering"), [{"text": "red car", "start": 4}]
    assert scores(spans, [{"text": ["the red car"], "answer_start": [0]}], answer) == [1.0]
