"""Variants from the columns of a table, and the tuned rows of a sample."""

from __future__ import annotations

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.robustness.tuned_rows import draw_tuned, holdout_columns, tuned_rows
from hf_synthlabels.statistics.robustness.variants import read_variants
from tests.statistics.common import Columns

NAMES = ["text", "label", "llm:a", "llm:a_status", "llm:a_confidence", "llm:b", "2-shot|gpt", "0-shot|gpt", "0-shot|t5"]


@pytest.mark.parametrize(
    ("patterns", "columns", "choices"),
    [
        (["llm:a,llm:b"], ["llm:a", "llm:b"], ()),
        (["llm:b", "llm:a"], ["llm:b", "llm:a"], ()),
        (["llm:*"], ["llm:a", "llm:b"], ()),
        (["llm:{model}"], ["llm:a", "llm:b"], (("model", "a"),)),
        (
            ["{prompt}|{model}"],
            ["2-shot|gpt", "0-shot|gpt", "0-shot|t5"],
            (("prompt", "2-shot"), ("model", "gpt")),
        ),
        (["0-shot|*, llm:a"], ["0-shot|gpt", "0-shot|t5", "llm:a"], ()),
    ],
)
def test_patterns_name_columns_and_choices(
    patterns: list[str], columns: list[str], choices: tuple[tuple[str, str], ...]
) -> None:
    variants = read_variants(NAMES, patterns)
    assert [each.column for each in variants] == columns
    assert variants[0].choices == choices


@pytest.mark.parametrize("pattern", ["llm:c", "x:*", "{a}#{b}", "llm:a", "llm:a,llm:a", "llm:a,nothing", "{a}:{a}"])
def test_patterns_without_two_columns_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="variants"):
        read_variants(NAMES, [pattern])


def test_tuned_rows_are_a_random_part_of_the_sample() -> None:
    drawn = np.array([True] * 30 + [False] * 10)
    tuned = draw_tuned(drawn, 10, seed=4)
    assert tuned.tolist() == draw_tuned(drawn, 10, seed=4).tolist()
    assert tuned.tolist() != draw_tuned(drawn, 10, seed=5).tolist()
    assert (tuned.sum(), tuned[30:].sum()) == (10, 0)
    for n_tune in (0, 30, -1):
        with pytest.raises(ConfigError, match="tune"):
            draw_tuned(drawn, n_tune)
    with pytest.raises(ConfigError, match="tune"):
        draw_tuned(drawn, 5, existing=tuned)


def test_probabilities_of_holdout_rows_are_those_of_both_draws() -> None:
    table = Columns(
        label=["a", "b", "a", "b", None, None],
        inclusion_probability=[0.5, 0.5, 0.2, 0.2, None, None],
        tuned_on=["yes", False, None, "", None, None],
    )
    tuned = tuned_rows(table)
    assert tuned is not None
    assert tuned.tolist() == [True, False, False, False, False, False]
    holdout = holdout_columns(table, tuned, ["label"])
    # Three of four sampled rows are left.
    assert holdout["inclusion_probability"] == pytest.approx([None, 0.375, 0.15, 0.15, None, None])
    assert holdout["label"] == [None, "b", "a", "b", None, None]
    # Without probabilities, the labeled rows are a simple random sample.
    plain = Columns(label=["a", "b", None, None])
    columns = holdout_columns(plain, np.array([True, False, False, False]), ["label"])
    assert columns["inclusion_probability"] == [None, 0.25, None, None]
    assert tuned_rows(plain) is None
    assert tuned_rows(Columns(tuned_on=[None, "", float("nan"), 0, False])) is None
