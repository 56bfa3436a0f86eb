from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.classification import KindAgreement
from hf_synthlabels.statistics.agreement.entities import entity_agreement

FEW = BootstrapConfig(resamples=20)
NAMES = ("org", "per")

HUMAN = [
    [(0, 4, "per"), (10, 14, "org"), (20, 24, "per")],
    [(0, 5, "org")],
    [],
    [(3, 6, "per"), (8, 9, "org")],
]
LLM = [
    [(0, 4, "per"), (10, 14, "per"), (20, 23, "per")],  # right, wrong label, wrong end
    [],  # missed
    [(1, 2, "org")],  # invented
    None,  # no label
]


def scores(found: KindAgreement) -> dict[str, float]:
    return {name: interval.estimate for name, interval in found.scores.items()}


def test_four_rows_by_hand() -> None:
    agreement = entity_agreement(HUMAN, LLM, NAMES, bootstrap=FEW)
    found = scores(agreement)
    assert list(found) == [
        *("coverage", "accuracy", "accuracy_answered", "entity_precision", "entity_recall", "entity_f1"),
        *("entity_f1_answered", "macro_f1", "boundary_f1"),
    ]
    assert (found["coverage"], found["accuracy"], found["accuracy_answered"]) == (3 / 4, 0, 0)
    # One of four predicted and of six human entities is right.
    assert found["entity_precision"] == 1 / 4
    assert found["entity_recall"] == 1 / 6
    assert found["entity_f1"] == pytest.approx(2 * 1 / (4 + 6))
    # Without the last row there are four human ones.
    assert found["entity_f1_answered"] == pytest.approx(2 * 1 / (4 + 4))
    # Two places are right, whatever their label.
    assert found["boundary_f1"] == pytest.approx(2 * 2 / (4 + 6))
    # per: 1 right, 3 predicted, 3 human; org: 0 right, 1 predicted, 3 human.
    assert found["macro_f1"] == pytest.approx((2 * 1 / 6 + 0) / 2)
    org, per = agreement.classes
    assert (org.support, org.predicted, org.f1.estimate) == (3, 1, 0)
    assert (per.support, per.predicted) == (3, 3)
    assert (per.precision.estimate, per.recall.estimate) == pytest.approx((1 / 3, 1 / 3))
    assert (per.precision.n, per.recall.n, per.f1.n) == (3, 3, 5)


def test_the_fate_of_every_entity_is_told() -> None:
    fates, confused = entity_agreement(HUMAN, LLM, NAMES, bootstrap=FEW).breakdowns
    assert fates.rows == (
        ("right", 1, 6),
        ("right place, another label", 1, 6),
        ("another place that overlaps, right label", 1, 6),
        ("missed", 1, 6),
        ("in a row without an LLM label", 2, 6),
        ("found by the LLM where no human one is", 1, 4),
    )
    assert confused.rows == (("org", "per", 1),)


def test_overlap_with_another_label_is_told() -> None:
    (fates,) = entity_agreement([[(0, 4, "per")]], [[(2, 6, "org")]], NAMES, bootstrap=FEW).breakdowns
    assert fates.rows == (("another place that overlaps, another label", 1, 1),)


def conll(human: list[str], llm: list[str]) -> tuple[int, int, int]:
    """Right, predicted and human chunks of BIO tags, counted as the CoNLL script does: where each begins and ends."""

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
    right, predicted, truth = (sum(part) for part in zip(*map(conll, human, llm), strict=True))

    def places(side: list[list[str]]) -> list[list[tuple[int, int, str]]]:
        found = (from_bio(token_offsets(["w"] * len(row)), row) for row in side)
        return [[(each.start, each.end, each.label) for each in row] for row in found]

    bootstrap = BootstrapConfig(resamples=1)
    found = scores(entity_agreement(places(human), places(llm), NAMES, tokens=(human, llm), bootstrap=bootstrap))
    for name, over, under in (
        ("entity_precision", right, predicted),
        ("entity_recall", right, truth),
        ("entity_f1", 2 * right, predicted + truth),
    ):
        assert math.isnan(found[name]) if under == 0 else found[name] == pytest.approx(over / under)
    pairs = [pair for row in rows for pair in row]
    assert found["token_accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))


def test_scores_of_single_tokens_match_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    human, llm = ["per", "org", "O", "per", "O", "org"], ["per", "per", "org", "O", "O", "org"]
    truth, predicted = (
        [[(k, k + 1, name)] if name != "O" else [] for k, name in enumerate(side)] for side in (human, llm)
    )
    found = scores(entity_agreement(truth, predicted, NAMES, bootstrap=FEW))
    for average, name in (("micro", "entity_f1"), ("macro", "macro_f1")):
        assert found[name] == pytest.approx(metrics.f1_score(human, llm, labels=list(NAMES), average=average))


def test_tokens_of_rows_without_a_label_are_wrong() -> None:
    tags = [["O", "B-per"], ["O", "O", "O"]]
    found = entity_agreement([[(1, 2, "per")], []], [[], None], NAMES, tokens=(tags, [["O", "O"], None]), bootstrap=FEW)
    accuracy = found.scores["token_accuracy"]
    assert (accuracy.estimate, accuracy.n) == (1 / 5, 5)


def test_an_entity_given_twice_counts_once() -> None:
    found = entity_agreement([[(0, 1, "per")]], [[(0, 1, "per"), (0, 1, "per")]], NAMES, bootstrap=FEW)
    assert found.scores["entity_precision"].estimate == 1
    assert found.scores["accuracy"].estimate == 1


def test_thirty_right_rows_do_not_promise_perfection() -> None:
    rows = [[(0, 2, "per")], [(0, 2, "org"), (4, 6, "per")], []] * 10
    found = entity_agreement(rows, rows, NAMES)
    for name in ("entity_precision", "entity_recall", "entity_f1", "macro_f1", "boundary_f1"):
        assert found.scores[name].estimate == found.scores[name].high == 1
        assert found.scores[name].low < 0.93
    assert all(0.6 < each.f1.low < 0.9 for each in found.classes)


def test_a_label_that_no_human_gave_has_an_f1_of_zero() -> None:
    org, _ = entity_agreement([[(0, 2, "per")]] * 9, [[(0, 2, "org")]] * 9, NAMES, bootstrap=FEW).classes
    assert (org.support, org.predicted, org.f1.estimate) == (0, 9, 0)
    assert math.isnan(org.recall.estimate)


def test_no_rows_and_no_entities_are_undefined() -> None:
    assert all(math.isnan(value) for value in scores(entity_agreement([], [], NAMES, bootstrap=FEW)).values())
    nothing = scores(entity_agreement([[], []], [[], []], NAMES, bootstrap=FEW))
    assert (nothing["accuracy"], nothing["coverage"]) == (1, 1)
    assert math.isnan(nothing["entity_f1"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 0"):
        entity_agreement([[]], [], NAMES)
    with pytest.raises(DataError, match="`llm` has 'loc' in row 0, which is not in `names`"):
        entity_agreement([[]], [[(0, 1, "loc")]], NAMES)
