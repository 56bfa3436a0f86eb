"""The metric module as it is loaded: by its path."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.classification import classification_agreement
from hf_synthlabels.statistics.arrays import encode

PATH = str(Path(__file__).resolve().parents[2] / "metrics" / "label_agreement")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import evaluate

    def load(*args: Any, **options: Any) -> Any:
        return evaluate.load(PATH, *args, cache_dir=str(tmp_path), **options)

    return load


def test_strings_with_a_missing_prediction_first_count_it_as_wrong(load: Any) -> None:
    # 3 of 4 are right, 3 of 4 have a prediction. F1(a) = 2·1/(1+2) = 2/3, F1(b) = 1; both classes have 2 rows.
    scores = load("strings").compute(predictions=[None, "a", "b", "b"], references=["a", "a", "b", "b"])
    assert scores["accuracy"] == 0.75
    assert scores["coverage"] == 0.75
    assert scores["macro_f1"] == scores["weighted_f1"] == pytest.approx(5 / 6)
    assert scores["kappa"] == 1
    assert (scores["n"], scores["n_unlabelled"], scores["n_unreferenced"]) == (4, 1, 0)


def test_integers_take_minus_one_as_missing_on_either_side(load: Any) -> None:
    # Rows 3 and 4 have no reference; of the other three, one is right, one wrong and one without a prediction.
    scores = load("integers").compute(predictions=[0, 1, -1, 1, 2], references=[0, 0, 1, -1, None])
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert (scores["n"], scores["n_unlabelled"], scores["n_unreferenced"]) == (3, 1, 2)


def test_scores_are_those_of_the_package(load: Any) -> None:
    human, llm = ["a", "a", "b", "c"] * 10, ["a", "b", "b", None] * 10
    scores = load(level=0.8, resamples=300, bootstrap_seed=5).compute(predictions=llm, references=human)
    codes = [encode(column, ["a", "b", "c"]) for column in (human, llm)]
    expected = classification_agreement(codes[0], codes[1], ["a", "b", "c"], BootstrapConfig(0.8, 300, 5)).scores
    for name in ("accuracy", "macro_f1", "weighted_f1", "kappa", "coverage"):
        interval = expected[name]
        assert [scores[name], scores[f"{name}_low"], scores[f"{name}_high"]] == [
            interval.estimate,
            interval.low,
            interval.high,
        ]
    assert all(type(value) in (int, float) for value in scores.values())


def test_no_reference_at_all_gives_nan_and_counts_instead_of_an_error(load: Any) -> None:
    scores = load("strings").compute(predictions=["a", None], references=[None, None])
    assert math.isnan(scores["accuracy"])
    assert (scores["n"], scores["n_unreferenced"]) == (0, 2)


KINDS: list[tuple[str, list[Any], list[Any], dict[str, float]]] = [
    (
        # One of two rows is right; the third has no reference.
        "text-pair",
        ["x", "x", "y"],
        ["x", "y", None],
        {"accuracy": 1 / 2},
    ),
    (
        # a: one of one; b: human 2, predicted 0. The row without a prediction is wrong as a set.
        "multi-label",
        [None, ["a"], []],
        [["b"], ["a", "b"], []],
        {"accuracy": 1 / 3, "coverage": 2 / 3, "micro_f1": 2 * 1 / (1 + 3), "macro_f1": 1 / 2},
    ),
    (
        # Errors at worst 3 (of human 2 on 1 to 5), 1, 0; the last prediction is off the scale and so at worst 4.
        "text-scale",
        [None, 4.0, 3.0, 9.0],
        [2.0, 5.0, 3.0, 1.0],
        {"mae": 8 / 4, "mae_answered": 1 / 2, "coverage": 2 / 4, "accuracy": 1 / 4, "bias": -1 / 2},
    ),
    (
        "token-classification",
        [None, [{"start": 0, "end": 2, "label": "x"}, {"start": 3, "end": 4, "label": "x"}], []],
        [[], [{"start": 0, "end": 2, "label": "x"}, {"start": 3, "end": 5, "label": "x"}], []],
        {"entity_f1": 1 / 2, "boundary_f1": 1 / 2, "accuracy": 1 / 3, "coverage": 2 / 3},
    ),
    ("question-answering", [None, "the Eiffel Tower"], [["Rome"], ["tower", "Eiffel tower"]], {"exact_match": 1 / 2}),
    ("text-generation", ["a b c", "x"], [["b c d"], []], {"token_f1": 2 * 2 / (2 + 3), "n": 1, "n_unreferenced": 1}),
]


def test_other_kinds_by_hand(subtests: pytest.Subtests, load: Any) -> None:
    for kind, predictions, references, expected in KINDS:
        with subtests.test(repr((kind, predictions, references, expected))):
            ends = {"low": 1, "high": 5} if kind == "text-scale" else {}
            scores = load(kind=kind, resamples=50, **ends).compute(predictions=predictions, references=references)
            for name, value in expected.items():
                assert scores[name] == pytest.approx(value), name
            for name in scores:
                if f"{name}_low" in scores and not math.isnan(scores[name]):
                    assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"] or math.isnan(
                        scores[f"{name}_low"]
                    )


def test_other_kinds_without_a_reference_give_nan_and_counts(subtests: pytest.Subtests, load: Any) -> None:
    cases = list([case[0] for case in KINDS])
    for kind in cases:
        with subtests.test(repr(kind)):
            ends = {"low": 1, "high": 5} if kind == "text-scale" else {}
            scores = load(kind=kind, resamples=50, **ends).compute(predictions=[None, None], references=[None, None])
            assert (scores["n"], scores["n_unreferenced"]) == (0, 2)
            assert math.isnan(scores["coverage"])


def test_integers_are_names_in_other_kinds_too(load: Any) -> None:
    scores = load("integers", kind="multi-label", resamples=50).compute(
        predictions=[[0], [1]], references=[[0], [0, 1]]
    )
    assert scores["micro_f1"] == pytest.approx(2 * 2 / (2 + 3))


def test_wrong_options_fail_at_load(load: Any) -> None:
    with pytest.raises(ValueError, match=r"`config_name` is 'floats'"):
        load("floats")
    with pytest.raises(ConfigError, match="`level` is 95"):
        load(level=95)
    with pytest.raises(ValueError, match="`kind` is 'scale': give one of text-classification"):
        load(kind="scale")
    with pytest.raises(ValueError, match="`low` is None and `high` 5: say where"):
        load(kind="text-scale", high=5)


def test_a_reference_that_is_one_text_is_no_list_of_letters(load: Any) -> None:
    metric = load("strings", kind="question-answering")
    found = metric.compute(predictions=["Paris", "Rome"], references=["Paris", ["Oslo", "rome"]])
    assert found["exact_match"] == 1
    metric.add(prediction="Paris", reference="Oslo")
    metric.add(predictions="Rome", references="Rome")
    assert metric.compute()["exact_match"] == 0.5


NUMBERS: dict[str, tuple[list[Any], list[Any], float, int]] = {
    "floats and integers": ([0.0, 1.0, 2.0], [0, 1, 1], 2 / 3, 3),
    "truth values and integers": ([True, False, True], [1, 0, 0], 2 / 3, 3),
    "scalars of numpy": ([np.int64(1), np.float32(0)], [1, 0], 1.0, 2),
    "nan is no label": ([1, 0, 1], [1, float("nan"), 1], 1.0, 2),
    "negative numbers are no labels": ([1, 0, 1, -100], [1, -1, -100, 1], 0.5, 2),
}


def test_equal_numbers_are_equal_classes(subtests: pytest.Subtests, load: Any) -> None:
    configs: list[str] = ["strings", "integers"]
    for name in NUMBERS:
        for config in configs:
            with subtests.test(repr((config, name))):
                predictions, references, accuracy, n = NUMBERS[name]
                scores = load(config).compute(predictions=predictions, references=references)
                assert (scores["accuracy"], scores["n"]) == (pytest.approx(accuracy), n)


def test_texts_are_compared_as_they_are_written(load: Any) -> None:
    scores = load().compute(predictions=["0110", "1.0", "-1", "nan"], references=["110", "1", "-1", "nan"])
    assert (scores["accuracy"], scores["n"]) == (0.5, 4)


def test_values_of_another_form_fail_before_the_batch(subtests: pytest.Subtests, load: Any) -> None:
    cases: list[tuple[str, list[Any]]] = [
        ("multi-label", ["film"]),
        ("text-classification", [["film"]]),
        ("text-classification", [0.5]),
        ("token-classification", ["Ann"]),
    ]
    for kind, predictions in cases:
        with subtests.test(repr((kind, predictions))):
            metric = load(kind=kind)
            with pytest.raises(ValueError, match="`predictions`"):
                metric.compute(predictions=predictions, references=[None])
            metric.add_batch(predictions=[None], references=[None])
            assert metric.compute()["n_unreferenced"] == 1


def test_an_unknown_option_fails_before_the_batch_is_lost(load: Any) -> None:
    with pytest.raises(ValueError, match="`resample`"):
        load(resample=1)
    metric = load()
    metric.add_batch(predictions=["a"], references=["a"])
    with pytest.raises(ValueError, match="`resample`"):
        metric.compute(resample=1)
    assert metric.compute()["accuracy"] == 1
