"""Scores of every kind of label whose rows were drawn for people with unequal, known chances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_synthlabels.statistics import validate
from hf_synthlabels.statistics.agreement.answers import answer_agreement, text_agreement
from hf_synthlabels.statistics.agreement.classification import KindAgreement
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign

DRAWING = BootstrapConfig(resamples=200)
NAMES = ("a", "b", "c")


def sets(rng: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    human = [{name for name in NAMES if rng.random() < 0.4} for _ in range(rows)]
    llm = [None if rng.random() < 0.1 else {n for n in NAMES if (n in h) ^ (rng.random() < 0.2)} for h in human]
    return human, llm


def places(rng: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    human = [[(5 * k, 5 * k + 3, NAMES[rng.integers(3)]) for k in range(rng.integers(0, 4))] for _ in range(rows)]
    llm: list[Any] = [
        None if rng.random() < 0.1 else [(s, e + int(rng.random() < 0.2), n) for s, e, n in row if rng.random() < 0.8]
        for row in human
    ]
    return human, llm


def numbers(rng: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    human = rng.integers(1, 6, size=rows).astype(float)
    llm = np.clip(human + rng.integers(-1, 2, size=rows), 1, 5)
    return human.tolist(), [None if rng.random() < 0.1 else float(value) for value in llm]


def spans(rng: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    human = [[("red house", int(rng.integers(0, 5)))] for _ in range(rows)]
    llm = [None if rng.random() < 0.1 else (("red", "house", "red house")[rng.integers(3)], 2) for _ in human]
    return human, llm


def words(rng: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    human = [["a red house"] for _ in range(rows)]
    return human, [None if rng.random() < 0.1 else ("A red house", "red", "blue")[rng.integers(3)] for _ in human]


def designed(weights: Any) -> SamplingDesign | None:
    return None if weights is None else SamplingDesign(weights)


Agree = Callable[..., KindAgreement]


def agree_sets(human: Any, llm: Any, weights: Any) -> KindAgreement:
    return multilabel_agreement(human, llm, NAMES, DRAWING, designed(weights))


def agree_places(human: Any, llm: Any, weights: Any) -> KindAgreement:
    tags = [["O" if not row else "B-a", "O"] for row in human], [None if row is None else ["B-a", "O"] for row in llm]
    return entity_agreement(human, llm, NAMES, tokens=tags, bootstrap=DRAWING, design=designed(weights))


def agree_numbers(human: Any, llm: Any, weights: Any) -> KindAgreement:
    return scale_agreement(human, llm, low=1, high=5, step=1, bootstrap=DRAWING, design=designed(weights))


def agree_spans(human: Any, llm: Any, weights: Any) -> KindAgreement:
    return answer_agreement(human, llm, DRAWING, designed(weights))


def agree_words(human: Any, llm: Any, weights: Any) -> KindAgreement:
    return text_agreement(human, llm, DRAWING, designed(weights))


KINDS = [
    pytest.param(sets, agree_sets, id="multi-label"),
    pytest.param(places, agree_places, id="token-classification"),
    pytest.param(numbers, agree_numbers, id="text-scale"),
    pytest.param(spans, agree_spans, id="question-answering"),
    pytest.param(words, agree_words, id="text-generation"),
]
Make = Callable[[np.random.Generator, int], tuple[list[Any], list[Any]]]


def right(true: Any, given: Any) -> bool:
    return given is not None and bool(given == true or (isinstance(given, str) and given.lower() in true))


def repeated(values: Sequence[Any], times: Sequence[int]) -> list[Any]:
    return [value for value, count in zip(values, times, strict=True) for _ in range(count)]


@pytest.mark.parametrize(("make", "agree"), KINDS)
def test_estimates_are_those_of_rows_that_stand_there_as_often_as_they_weigh(make: Make, agree: Agree) -> None:
    rng = np.random.default_rng(1)
    human, llm = make(rng, 60)
    times = rng.integers(1, 4, size=60)
    weighted = agree(human, llm, times / times.mean())
    written_out = agree(repeated(human, times.tolist()), repeated(llm, times.tolist()), None)
    assert weighted.scores.keys() == written_out.scores.keys()
    for name, score in weighted.scores.items():
        # That one divides by rows less one, and there are more of them written out.
        loose = 0.05 if name == "icc" else 1e-9
        assert score.estimate == pytest.approx(written_out.scores[name].estimate, abs=loose), name
        assert score.low <= score.estimate <= score.high, name
    for mine, other in zip(weighted.classes, written_out.classes, strict=True):
        for part in ("precision", "recall", "f1"):
            assert getattr(mine, part).estimate == pytest.approx(getattr(other, part).estimate), (mine.name, part)
        # Counts are of rows as they are.
        assert mine.support <= other.support


@pytest.mark.parametrize(("make", "agree"), KINDS)
def test_equal_weights_say_what_no_weights_say(make: Make, agree: Agree) -> None:
    human, llm = make(np.random.default_rng(2), 80)
    plain, weighted = agree(human, llm, None), agree(human, llm, np.ones(80))
    for name, score in plain.scores.items():
        other = weighted.scores[name]
        assert other.estimate == pytest.approx(score.estimate), name
        # The same draws, but in another order of the distinct rows; or the formula for weights.
        assert other.low == pytest.approx(score.low, abs=0.06), name
        assert other.high == pytest.approx(score.high, abs=0.06), name
        assert other.n == score.n


def test_validate_heeds_the_chances_of_every_kind() -> None:
    # Of 100 rows with low numbers 10 were drawn and all met, of 100 with high ones 50 and none met.
    human = [1.0] * 10 + [None] * 90 + [5.0] * 50 + [None] * 50
    llm = [1.0] * 100 + [4.0] * 100
    chance = [0.1] * 10 + [None] * 90 + [0.5] * 50 + [None] * 50
    rows = Dataset.from_dict({"label": human, "llm_label": llm, "inclusion_probability": chance})
    report = validate(rows, kind="text-scale", resamples=200)
    # Each half stands for 100 rows: right in one half, off by one in the other.
    assert report.score("accuracy").estimate == pytest.approx(0.5)
    assert report.score("mae").estimate == pytest.approx(0.5)
    assert report.score("bias").estimate == pytest.approx(-0.5)
    assert report.score("accuracy").n == 60
    assert any("1 / `inclusion_probability`" in note for note in report.notes)
    lists = Dataset.from_dict(
        {
            "label": [["a"]] * 10 + [None] * 90 + [["b"]] * 50 + [None] * 50,
            "llm_label": [["a"]] * 200,
            "inclusion_probability": chance,
        }
    )
    many = validate(lists, kind="multi-label", resamples=200)
    assert many.score("accuracy").estimate == pytest.approx(0.5)
    assert {each.name: each.recall.estimate for each in many.classes} == {"a": 1.0, "b": 0.0}
    assert many.classes[0].precision.estimate == pytest.approx(0.5)


def test_kendall_of_very_many_weighted_rows_is_left_out() -> None:
    rng = np.random.default_rng(0)
    human = rng.random(900)
    weights = rng.uniform(0.5, 1.5, size=900)
    found = scale_agreement(
        human.tolist(),
        (human / 2).tolist(),
        low=0,
        high=1,
        bootstrap=BootstrapConfig(resamples=5),
        design=designed(weights),
    )
    assert "kendall" not in found.scores
    assert found.scores["spearman"].estimate == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "agree", "names"),
    [
        pytest.param(sets, agree_sets, ("accuracy", "micro_f1", "jaccard"), id="multi-label"),
        pytest.param(places, agree_places, ("accuracy", "entity_f1"), id="token-classification"),
        pytest.param(numbers, agree_numbers, ("accuracy", "mae", "bias"), id="text-scale"),
        pytest.param(words, agree_words, ("exact_match", "token_f1"), id="text-generation"),
    ],
)
def test_intervals_hold_the_truth_of_all_rows(make: Make, agree: Agree, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    human, llm = make(rng, 6000)
    # Rows in which the LLM is right are looked at less often.
    agreed = [right(true, given) for true, given in zip(human, llm, strict=True)]
    chances = np.where(agreed, 0.02, 0.06)
    truth = agree(human, llm, None).scores
    held = dict.fromkeys(names, 0)
    unweighted_held = 0
    for _ in range(100):
        rows = np.flatnonzero(rng.random(6000) < chances)
        weights = 1 / chances[rows]
        mine, theirs = [human[row] for row in rows], [llm[row] for row in rows]
        found = agree(mine, theirs, weights / weights.mean()).scores
        plain = agree(mine, theirs, None).scores["accuracy" if "accuracy" in names else "exact_match"]
        for name in names:
            held[name] += found[name].low <= truth[name].estimate <= found[name].high
        reference = truth["accuracy" if "accuracy" in names else "exact_match"].estimate
        unweighted_held += plain.low <= reference <= plain.high
    # Of 100 intervals at 95 %, 88 or fewer are by chance with probability 0.004.
    assert min(held.values()) >= 89, held
    assert unweighted_held < 50
