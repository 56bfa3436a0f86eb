from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from tests.statistics.common import estimates

FEW = BootstrapConfig(resamples=20)
NAMES = ("org", "per")
HUMAN = [
    [(0, 4, "per"), (10, 14, "org"), (20, 24, "per")],
    [(0, 5, "org")],
    [],
    [(3, 6, "per"), (8, 9, "org")],
]
LLM = [
    [(0, 4, "per"), (10, 14, "per"), (20, 23, "per")],  # correct, wrong label, wrong end
    [],  # missed
    [(1, 2, "org")],  # invented
    None,  # no label
]


def test_scores_of_four_rows_by_hand() -> None:
    agreement = entity_agreement(HUMAN, LLM, NAMES, bootstrap=FEW)
    expected = {
        "coverage": 3 / 4,
        "accuracy": 0,
        "accuracy_answered": 0,
        # One of four predicted and of six human entities is correct.
        "entity_precision": 1 / 4,
        "entity_recall": 1 / 6,
        "entity_f1": 2 * 1 / (4 + 6),
        # Without the last row there are four human ones.
        "entity_f1_answered": 2 * 1 / (4 + 4),
        # per: 1 correct, 3 predicted, 3 human; org: 0 correct, 1 predicted, 3 human.
        "macro_f1": (2 * 1 / 6 + 0) / 2,
        # Two spans are correct, whatever their label.
        "boundary_f1": 2 * 2 / (4 + 6),
    }
    assert list(agreement.scores) == list(expected)
    assert estimates(agreement.scores) == pytest.approx(expected)
    org, per = agreement.classes
    assert (org.support, org.predicted, org.f1.estimate) == (3, 1, 0)
    assert (per.support, per.predicted) == (3, 3)
    assert (per.precision.estimate, per.recall.estimate) == pytest.approx((1 / 3, 1 / 3))
    assert (per.precision.n, per.recall.n, per.f1.n) == (3, 3, 5)


def test_breakdowns_show_error_types_and_confused_labels() -> None:
    outcomes, confused = entity_agreement(HUMAN, LLM, NAMES, bootstrap=FEW).breakdowns
    assert outcomes.rows == (
        ("right", 1, 6),
        ("right place, another label", 1, 6),
        ("another place that overlaps, right label", 1, 6),
        ("missed", 1, 6),
        ("in a row without an LLM label", 2, 6),
        ("found by the LLM where no human one is", 1, 4),
    )
    assert confused.rows == (("org", "per", 1),)
    (overlap,) = entity_agreement([[(0, 4, "per")]], [[(2, 6, "org")]], NAMES, bootstrap=FEW).breakdowns
    assert overlap.rows == (("another place that overlaps, another label", 1, 1),)


def conll_counts(human: list[str], llm: list[str]) -> tuple[int, int, int]:
    """Correct, predicted and human chunks of BIO tags, counted by their limits, as in the CoNLL script."""

    def chunks(tags: list[str]) -> set[tuple[int, int, str]]:
        found, start = set(), 0
        for place, (before, tag) in enumerate(pairwise(["O", *tags, "O"])):
            another = tag == "O" or tag.startswith("B-") or tag[2:] != before[2:]
            if before != "O" and another:
                found.add((start, place, before[2:]))
            if tag != "O" and another:
                start = place
        return found

    a, b = chunks(human), chunks(llm)
    return len(a & b), len(b), len(a)


TAGS = st.sampled_from(["O", "B-per", "I-per", "B-org", "I-org"])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=8), min_size=1, max_size=6))
def test_strict_scores_match_the_counts_of_the_conll_script(rows: list[list[tuple[str, str]]]) -> None:
    from hf_synthlabels.labels import from_bio, token_offsets

    human, llm = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
    correct, predicted, truth = (sum(part) for part in zip(*map(conll_counts, human, llm), strict=True))

    def places(side: list[list[str]]) -> list[list[tuple[int, int, str]]]:
        entities = (from_bio(token_offsets(["w"] * len(row)), row) for row in side)
        return [[(each.start, each.end, each.label) for each in row] for row in entities]

    bootstrap = BootstrapConfig(resamples=1)
    agreement = entity_agreement(places(human), places(llm), NAMES, tokens=(human, llm), bootstrap=bootstrap)
    scores = estimates(agreement.scores)
    for name, over, under in (
        ("entity_precision", correct, predicted),
        ("entity_recall", correct, truth),
        ("entity_f1", 2 * correct, predicted + truth),
    ):
        assert math.isnan(scores[name]) if under == 0 else scores[name] == pytest.approx(over / under)
    pairs = [pair for row in rows for pair in row]
    assert scores["token_accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))


def test_scores_of_single_tokens_match_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    human, llm = ["per", "org", "O", "per", "O", "org"], ["per", "per", "org", "O", "O", "org"]
    truth, predicted = (
        [[(k, k + 1, name)] if name != "O" else [] for k, name in enumerate(side)] for side in (human, llm)
    )
    scores = estimates(entity_agreement(truth, predicted, NAMES, bootstrap=FEW).scores)
    for average, name in (("micro", "entity_f1"), ("macro", "macro_f1")):
        assert scores[name] == pytest.approx(metrics.f1_score(human, llm, labels=list(NAMES), average=average))


def test_tokens_of_rows_without_a_prediction_are_incorrect() -> None:
    tags = [["O", "B-per"], ["O", "O", "O"]], [["O", "O"], None]
    agreement = entity_agreement([[(1, 2, "per")], []], [[], None], NAMES, tokens=tags, bootstrap=FEW)
    accuracy = agreement.scores["token_accuracy"]
    assert (accuracy.estimate, accuracy.n) == (1 / 5, 5)


def test_duplicates_count_once() -> None:
    scores = entity_agreement([[(0, 1, "per")]], [[(0, 1, "per"), (0, 1, "per")]], NAMES, bootstrap=FEW).scores
    assert scores["entity_precision"].estimate == scores["accuracy"].estimate == 1


def test_thirty_correct_rows_have_a_lower_limit_below_one() -> None:
    rows = [[(0, 2, "per")], [(0, 2, "org"), (4, 6, "per")], []] * 10
    agreement = entity_agreement(rows, rows, NAMES)
    for name in ("entity_precision", "entity_recall", "entity_f1", "macro_f1", "boundary_f1"):
        assert agreement.scores[name].estimate == agreement.scores[name].high == 1
        assert agreement.scores[name].low < 0.93
    assert all(0.6 < each.f1.low < 0.9 for each in agreement.classes)


def test_undefined_and_zero_scores() -> None:
    # A label that no human gave has an F1 of 0.
    org, _ = entity_agreement([[(0, 2, "per")]] * 9, [[(0, 2, "org")]] * 9, NAMES, bootstrap=FEW).classes
    assert (org.support, org.predicted, org.f1.estimate) == (0, 9, 0)
    assert math.isnan(org.recall.estimate)
    assert all(math.isnan(value) for value in estimates(entity_agreement([], [], NAMES).scores).values())
    nothing = estimates(entity_agreement([[], []], [[], []], NAMES, bootstrap=FEW).scores)
    assert (nothing["accuracy"], nothing["coverage"]) == (1, 1)
    assert math.isnan(nothing["entity_f1"])


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 0"):
        entity_agreement([[]], [], NAMES)
    with pytest.raises(DataError, match="`llm` has 'loc' in row 0"):
        entity_agreement([[]], [[(0, 1, "loc")]], NAMES)
