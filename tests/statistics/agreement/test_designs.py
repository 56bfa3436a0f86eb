"""Agreement of every kind of label for rows with unequal inclusion probabilities, in clusters or strata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.statistics.agreement.answers import answer_agreement, text_agreement
from hf_synthlabels.statistics.agreement.base import KindAgreement
from hf_synthlabels.statistics.agreement.classification import classification_agreement
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from tests.statistics.common import contains

BOOTSTRAP = BootstrapConfig(resamples=200)
NAMES = ("a", "b", "c")
Rows = tuple[list[Any], list[Any]]
Agree = Callable[[list[Any], list[Any], SamplingDesign | None], KindAgreement]


def class_rows(rng: np.random.Generator, rows: int) -> Rows:
    human = rng.integers(0, 3, size=rows)
    return human.tolist(), np.where(rng.random(rows) < 0.7, human, rng.integers(-1, 3, size=rows)).tolist()


def set_rows(rng: np.random.Generator, rows: int) -> Rows:
    human = [{name for name in NAMES if rng.random() < 0.4} for _ in range(rows)]
    llm = [None if rng.random() < 0.1 else {n for n in NAMES if (n in h) ^ (rng.random() < 0.2)} for h in human]
    return human, llm


def entity_rows(rng: np.random.Generator, rows: int) -> Rows:
    human = [[(5 * k, 5 * k + 3, NAMES[rng.integers(3)]) for k in range(rng.integers(0, 4))] for _ in range(rows)]
    llm: list[Any] = [
        None if rng.random() < 0.1 else [(s, e + int(rng.random() < 0.2), n) for s, e, n in row if rng.random() < 0.8]
        for row in human
    ]
    return human, llm


def number_rows(rng: np.random.Generator, rows: int) -> Rows:
    human = rng.integers(1, 6, size=rows).astype(float)
    llm = np.clip(human + rng.integers(-1, 2, size=rows), 1, 5)
    return human.tolist(), [None if rng.random() < 0.1 else float(value) for value in llm]


def span_rows(rng: np.random.Generator, rows: int) -> Rows:
    human = [[("red house", int(rng.integers(0, 5)))] for _ in range(rows)]
    return human, [None if rng.random() < 0.1 else (("red", "house", "red house")[rng.integers(3)], 2) for _ in human]


def text_rows(rng: np.random.Generator, rows: int) -> Rows:
    human = [["a red house"] for _ in range(rows)]
    return human, [None if rng.random() < 0.1 else ("A red house", "red", "blue")[rng.integers(3)] for _ in human]


def agree_entities(human: Any, llm: Any, design: SamplingDesign | None) -> KindAgreement:
    tags = [["O" if not row else "B-a", "O"] for row in human], [None if row is None else ["B-a", "O"] for row in llm]
    return entity_agreement(human, llm, NAMES, tokens=tags, bootstrap=BOOTSTRAP, design=design)


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], Rows], Agree]] = {
    "text-classification": (
        class_rows,
        lambda human, llm, design: classification_agreement(np.array(human), np.array(llm), NAMES, BOOTSTRAP, design),
    ),
    "multi-label": (
        set_rows,
        lambda human, llm, design: multilabel_agreement(human, llm, NAMES, BOOTSTRAP, design),
    ),
    "token-classification": (entity_rows, agree_entities),
    "text-scale": (
        number_rows,
        lambda human, llm, design: scale_agreement(
            human, llm, low=1, high=5, step=1, bootstrap=BOOTSTRAP, design=design
        ),
    ),
    "question-answering": (
        span_rows,
        lambda human, llm, design: answer_agreement(human, llm, BOOTSTRAP, design),
    ),
    "text-generation": (
        text_rows,
        lambda human, llm, design: text_agreement(human, llm, BOOTSTRAP, design),
    ),
}


def repeated(values: Sequence[Any], times: Sequence[int]) -> list[Any]:
    return [value for value, count in zip(values, times, strict=True) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_estimates_are_those_of_rows_repeated_by_their_weights(kind: str) -> None:
    make, agree = KINDS[kind]
    rng = np.random.default_rng(1)
    human, llm = make(rng, 60)
    times = rng.integers(1, 4, size=60)
    weighted = agree(human, llm, SamplingDesign(times / times.mean()))
    plain = agree(repeated(human, times.tolist()), repeated(llm, times.tolist()), None)
    assert weighted.scores.keys() == plain.scores.keys()
    for name, score in weighted.scores.items():
        # The ICC divides by rows less one, and there are more rows when they are repeated.
        tolerance = 0.05 if name == "icc" else 1e-9
        assert score.estimate == pytest.approx(plain.scores[name].estimate, abs=tolerance), name
        assert score.low <= score.estimate <= score.high, name
    for ours, other in zip(weighted.classes, plain.classes, strict=True):
        for part in ("precision", "recall", "f1"):
            assert getattr(ours, part).estimate == pytest.approx(getattr(other, part).estimate), (ours.name, part)
        # Counts of rows are unweighted.
        assert ours.support <= other.support


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_give_the_intervals_of_no_weights(kind: str) -> None:
    make, agree = KINDS[kind]
    human, llm = make(np.random.default_rng(2), 80)
    plain, weighted = agree(human, llm, None), agree(human, llm, SamplingDesign(np.ones(80)))
    for name, score in plain.scores.items():
        other = weighted.scores[name]
        assert other.estimate == pytest.approx(score.estimate), name
        assert other.n == score.n
        # The same draws in another order of the distinct rows, or the formula for weights.
        assert (other.low, other.high) == pytest.approx((score.low, score.high), abs=0.06), name


def test_kendall_of_very_many_weighted_rows_is_left_out() -> None:
    rng = np.random.default_rng(0)
    human = rng.random(900)
    design = SamplingDesign(rng.uniform(0.5, 1.5, size=900))
    options: dict[str, Any] = {"low": 0, "high": 1, "bootstrap": BootstrapConfig(resamples=5), "design": design}
    scores = scale_agreement(human.tolist(), (human / 2).tolist(), **options).scores
    assert "kendall" not in scores
    assert scores["spearman"].estimate == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("multi-label", ("accuracy", "micro_f1", "jaccard")),
        ("token-classification", ("accuracy", "entity_f1")),
        ("text-scale", ("accuracy", "mae", "bias")),
        ("text-generation", ("exact_match", "token_f1")),
    ],
)
def test_weighted_intervals_cover_the_value_of_all_rows(kind: str, names: tuple[str, ...]) -> None:
    make, agree = KINDS[kind]
    rng = np.random.default_rng(3)
    human, llm = make(rng, 6000)
    # Rows in which the LLM is correct are sampled less often.
    correct = [b is not None and (b == a or (isinstance(b, str) and b.lower() in a)) for a, b in zip(human, llm)]  # noqa: B905
    probabilities = np.where(correct, 0.02, 0.06)
    truth = agree(human, llm, None).scores
    covered, unweighted = dict.fromkeys(names, 0), 0
    for _ in range(100):
        rows = np.flatnonzero(rng.random(6000) < probabilities)
        weights = 1 / probabilities[rows]
        columns = [human[row] for row in rows], [llm[row] for row in rows]
        scores = agree(*columns, SamplingDesign(weights / weights.mean())).scores
        for name in names:
            covered[name] += contains(scores[name], truth[name].estimate)
        unweighted += contains(agree(*columns, None).scores[names[0]], truth[names[0]].estimate)
    # Of 100 intervals at 95%, 88 or fewer are by chance with probability 0.004.
    assert min(covered.values()) >= 89, covered
    assert unweighted < 50
