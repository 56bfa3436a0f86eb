"""BLEU as a judge of short answers: by hand, against nltk and sacrebleu, and the paper's own numbers."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.scorers.bleu import NORMALIZATIONS, answer_bleu, answer_words, bleu_accuracy
from hf_synthlabels.statistics.intervals import wilson

pytest.importorskip("nltk")

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or ROOT.parent / "shared" / "data") / "squad_gpt35"
"""Read before any test hides the variable."""

needs_squad = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded answers are not part of the repository")


def squad(split: str) -> tuple[list[str], list[list[str]]]:
    rows = [json.loads(line) for line in (DATA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["llm:gpt-3.5-turbo"] for row in rows], [[row["answer"]] for row in rows]


def test_answer_bleu_by_hand(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, float]] = [
        # BLEU-1 of equal texts is 1, however short.
        ("Paris", "paris", 1),
        # One of one word, brevity penalty exp(1 - 2/1): 0.3679 in the paper's notebook.
        ("1876", "September 1876", math.exp(-1)),
        # One of two words, no penalty.
        ("in 1876", "1876", 1 / 2),
        # The second "the" is clipped: 2 of 3 words; bigrams 1 of 2.
        ("the cat the", "the cat sat", 2 / 3),
        ("Rome", "Paris", 0),
        # Marks at the end of the LLM's answer are no words; a number keeps its dot.
        ('"39.1%."', "39.1%", 1),
        # What repeats in a circle: BLEU-1 2/3, and of n-grams 2/2, 1/2 (no trigram), 1/4: (2/3 x 1 x 1/2 x 1/4)^(1/4).
        ("a b a", "b a b", 2 / 3),
        # 4/5 of the words, 4/4, 2/3 and 2/2 of the n-grams: BLEU-4 is the larger one here.
        ("a b a b a", "b a b a b", (4 / 5 * 2 / 3) ** 0.25),
    ]
    for prediction, reference, expected in cases:
        with subtests.test(repr((prediction, reference, expected))):
            assert answer_bleu(prediction, [reference]) == pytest.approx(expected, abs=1e-12)


def test_best_reference_counts_and_nothing_said_scores_zero() -> None:
    assert answer_bleu("in 1876", ["September 1876", "1876", "in 1876"]) == 1
    for nothing in (None, "", "  ", ".", '"?"'):
        assert answer_bleu(nothing, ["Paris"]) == 0


def test_paper_drops_dots_from_the_prediction_only() -> None:
    assert answer_words('St. "Petersburg" 1.5?', "prediction") == ["st", "petersburg", "1.5"]
    assert answer_words('St. "Petersburg" 1.5?', "reference") == ["st.", "petersburg", "1.5"]
    assert answer_bleu("St. Petersburg", ["St. Petersburg"]) == 1 / 2
    assert answer_bleu("St. Petersburg", ["St. Petersburg"], "both_sides") == 1
    assert answer_bleu("the  cat\n", ["the cat"], "both_sides") == 1


WORDS = ["the", "cat", "sat", "on", "mat", "a", "b", "1.5", "St."]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_answer_bleu_is_nltks_maximum_of_two_calls(normalization: Any) -> None:
    import nltk.translate.bleu_score as nltk_bleu

    smooth = nltk_bleu.SmoothingFunction().method3
    draw = random.Random(0)
    for _ in range(300):
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 7))) for _ in range(2)]
        said = answer_words(texts[0], "prediction", normalization)
        gold = answer_words(texts[1], "reference", normalization)
        four = nltk_bleu.sentence_bleu([gold], said, smoothing_function=smooth)
        one = nltk_bleu.sentence_bleu([gold], said, weights=(1,))
        assert answer_bleu(texts[0], [texts[1]], normalization) == pytest.approx(max(four, one), abs=1e-9)


def test_answer_bleu_agrees_with_sacrebleu_from_four_words_on() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    four = sacrebleu.BLEU(tokenize="none", smooth_method="exp", effective_order=False)
    one = sacrebleu.BLEU(tokenize="none", max_ngram_order=1, smooth_method="none", effective_order=False)
    draw = random.Random(1)
    for _ in range(300):
        said, gold = (" ".join(draw.choices(WORDS[:7], k=draw.randint(4, 12))) for _ in range(2))
        expected = max(each.sentence_score(said, [gold]).score / 100 for each in (four, one))
        assert answer_bleu(said, [gold]) == pytest.approx(expected, abs=1e-9)


@needs_squad
@pytest.mark.parametrize(("split", "right", "rows"), [("train", 1758, 2483), ("validation", 1548, 2507)])
def test_accuracy_of_the_recorded_answers_is_the_papers(split: str, right: int, rows: int) -> None:
    found = bleu_accuracy(*squad(split))
    assert found.accuracy == wilson(right, rows)
    assert round(found.accuracy.estimate, 5) == {"train": 0.70801, "validation": 0.61747}[split]
    # The notebook, too, finds 4 training rows without an answer.
    assert (found.n, found.n_unlabelled, found.n_unreferenced) == (rows, {"train": 4, "validation": 6}[split], 0)


@needs_squad
def test_scores_of_the_recorded_answers_spread_as_in_the_papers_notebook() -> None:
    scores = np.array(bleu_accuracy(*squad("train")).scores)
    # The notebook shows mean, standard deviation and a histogram of ten bins.
    assert scores.mean() == pytest.approx(0.677994, abs=5e-7)
    assert scores.std(ddof=1) == pytest.approx(0.379201, abs=5e-7)
    assert np.histogram(scores, np.linspace(0, 1, 11))[0].tolist() == [
        *(320, 115, 123, 122, 45, 229, 116, 82, 64, 1267)
    ]


def test_sweep_falls_with_the_threshold_and_counts_what_just_reaches_it() -> None:
    # 1, 1/2, 1/3 and 0.
    found = bleu_accuracy(["a", "a b", "a b c", "x"], [["a"]] * 4, thresholds=[1 / 3, 0.5, 0.51, 1])
    assert [point.accuracy.estimate for point in found.sweep] == [3 / 4, 2 / 4, 1 / 4, 1 / 4]
    assert found.accuracy == wilson(2, 4)
    assert found.mean_bleu == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert found.sweep[0].agreement is None


def test_human_verdicts_say_how_well_each_threshold_agrees() -> None:
    # 1, 1/2, 1/3, 0; a human calls the first three right, nobody looked at the last but one.
    found = bleu_accuracy(
        ["a", "a b", "a b c", "x", "a b", "a"],
        [["a"], ["a"], ["a"], ["a"], ["a"], []],
        verdicts=[True, True, True, False, None, None],
        thresholds=[0.3, 0.5, 1.0],
    )
    assert [point.agreement and point.agreement.estimate for point in found.sweep] == [1, 3 / 4, 2 / 4]
    # At .5: both right 2, both wrong 1, human alone 1; (3/4 - (3/4·2/4 + 1/4·2/4)) / (1 - 1/2) = 1/2.
    assert [point.kappa for point in found.sweep] == pytest.approx([1, 1 / 2, 0.2])
    assert (found.n, found.n_unjudged, found.n_unreferenced) == (5, 1, 1)


def test_missing_predictions_are_wrong_and_rows_without_reference_are_left_out() -> None:
    found = bleu_accuracy(["a", None, " ", "b"], [["a"], ["a"], ["a"], None])
    assert found.accuracy == wilson(1, 3)
    assert found.coverage == wilson(1, 3)
    assert (found.n, found.n_unlabelled, found.n_unreferenced) == (3, 2, 1)
    assert math.isnan(found.scores[3])
    assert found.right == (True, False, False, None)


def test_no_rows_give_nan_and_zero_counts() -> None:
    found = bleu_accuracy([], [], verdicts=[])
    assert math.isnan(found.accuracy.estimate)
    assert math.isnan(found.mean_bleu)
    assert found.sweep[0].kappa is not None
    assert math.isnan(found.sweep[0].kappa)
    assert found.n == 0


def test_wrong_options_are_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"threshold": 0}, r"`threshold` has 0: give numbers above 0 and at most 1"),
        ({"threshold": 50}, r"`threshold` has 50"),
        ({"thresholds": [0.5, "x"]}, r"`thresholds` has 'x'"),
        ({"thresholds": 0.5}, r"`thresholds` is 0.5: give a list"),
        ({"normalization": "none"}, r"`normalization` is 'none': give one of paper, both_sides"),
        ({"level": 95}, "`level` is 95"),
    ]
    for options, message in cases:
        with subtests.test(repr((options, message))), pytest.raises(ConfigError, match=message):
            bleu_accuracy(["a"], [["a"]], **options)


def test_wrong_columns_are_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Any, str]] = [
        (["a", "b"], [["a"]], "`predictions` 2, `references` 1 rows"),
        ([3], [["3"]], "`predictions` has 3 in row 0"),
        (["a"], ["a"], "`references` has 'a' in row 0"),
        (["a"], [[1]], r"`references` has \[1\] in row 0"),
    ]
    for predictions, references, message in cases:
        with subtests.test(repr((predictions, references, message))), pytest.raises(DataError, match=message):
            bleu_accuracy(predictions, references)
