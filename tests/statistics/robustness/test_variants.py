"""Variants from the columns of a table, and the parts of a sample."""

from __future__ import annotations

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.robustness.sample_parts import assign_parts, part_columns, tune_rows
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


def test_tune_rows_are_a_random_part_of_the_sample() -> None:
    drawn = np.array([True] * 30 + [False] * 10)
    parts = assign_parts(drawn, 10, seed=4)
    assert parts == assign_parts(drawn, 10, seed=4)
    assert parts != assign_parts(drawn, 10, seed=5)
    assert (parts.count("tune"), parts.count("holdout"), parts.count(None)) == (10, 20, 10)
    assert parts[30:] == [None] * 10
    # Rows that are added to the sample are holdout rows.
    grown = assign_parts(np.ones(40, dtype=bool), 0, existing=parts)
    assert grown[:30] == parts[:30]
    assert set(grown[30:]) == {"holdout"}
    for n_tune in (0, 30, -1):
        with pytest.raises(ConfigError, match="tune"):
            assign_parts(drawn, n_tune)
    with pytest.raises(ConfigError, match="tune"):
        assign_parts(drawn, 5, existing=parts)


def test_probabilities_of_a_part_are_those_of_both_draws() -> None:
    table = Columns(
        label=["a", "b", "a", "b", None, None],
        inclusion_probability=[0.5, 0.5, 0.2, 0.2, None, None],
        sample_part=["tune", "holdout", "holdout", "holdout", None, None],
    )
    tune = tune_rows(table)
    assert tune is not None
    assert tune.tolist() == [True, False, False, False, False, False]
    holdout = part_columns(table, tune, "holdout", ["label"])
    # Three of four sampled rows are holdout rows.
    assert holdout["inclusion_probability"] == pytest.approx([None, 0.375, 0.15, 0.15, None, None])
    assert holdout["label"] == [None, "b", "a", "b", None, None]
    assert part_columns(table, tune, "tune", ["label"])["label"] == ["a", None, None, None, None, None]
    assert part_columns(table, tune, "all", ["label"]) == {}
    # Without probabilities, the labeled rows are a simple random sample.
    plain = Columns(label=["a", "b", None, None])
    columns = part_columns(plain, np.array([True, False, False, False]), "holdout", ["label"])
    assert columns["inclusion_probability"] == [None, 0.25, None, None]
    assert tune_rows(plain) is None
    assert tune_rows(Columns(sample_part=[None, "", float("nan")])) is None
    with pytest.raises(DataError, match="sample_part"):
        tune_rows(Columns(sample_part=["test"]))
