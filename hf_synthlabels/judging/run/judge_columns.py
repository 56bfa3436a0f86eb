"""Judge columns: how judgments stand in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.judgment import JUDGMENT_STATUSES, Judgment
from hf_synthlabels.judging.pairwise import PairJudgment
from hf_synthlabels.judging.rubric import Rubric

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

WINNERS = ["second", "tie", "first"]


def judge_features(rubric: Rubric, column: str = "judge", *, draws: int = 1) -> datasets.Features:
    """The features of the columns that a judge adds, in their order.

    `<column>_score` is on the rubric's scale, and null where there is none; `<column>_status` says why; then come
    `_rung`, `_reason` (the judge's words, or why there is no score) and `_raw`. A rubric that scores the reference too
    adds `_reference_score`, several draws add `_draws`, and a comparison adds `_winner`, `_consistent` and
    `_preference`.
    """
    from datasets import ClassLabel, Features, List, Value

    columns: dict[str, Any] = {
        f"{column}_score": Value("float64"),
        f"{column}_status": ClassLabel(names=list(JUDGMENT_STATUSES)),
        f"{column}_rung": Value("string"),
        f"{column}_reason": Value("string"),
        f"{column}_raw": Value("string"),
    }
    if rubric.protocol == "pairwise":
        columns[f"{column}_winner"] = ClassLabel(names=WINNERS)
        columns[f"{column}_consistent"] = Value("bool")
        columns[f"{column}_preference"] = Value("float64")
        columns[f"{column}_raw_swapped"] = Value("string")
    if rubric.protocol == "joint":
        columns[f"{column}_reference_score"] = Value("float64")
    if draws > 1 and rubric.protocol != "pairwise":
        columns[f"{column}_draws"] = List(Value("float64"))
    return Features(columns)


def with_judge_features(
    source: datasets.Features, rubric: Rubric, column: str = "judge", *, draws: int = 1
) -> datasets.Features:
    """The features of the judged table: the source's columns, then the judge's.

    Raises:
        ConfigError: the source already has one of the columns.
    """
    from datasets import Features

    added = judge_features(rubric, column, draws=draws)
    if taken := [name for name in added if name in source]:
        raise ConfigError(
            f"`output.column` {column!r} would overwrite the source's column {taken[0]!r}. Choose another name."
        )
    return Features({**source, **added})


def judge_table(
    judgments: Sequence[Judgment | PairJudgment], rubric: Rubric, column: str = "judge", *, draws: int = 1
) -> pa.Table:
    """The judge columns of some rows as an Arrow table."""
    import pyarrow as pa

    schema = judge_features(rubric, column, draws=draws).arrow_schema
    rows = [_pair(one) if isinstance(one, PairJudgment) else _single(one) for one in judgments]
    names = [name.removeprefix(f"{column}_") for name in schema.names]
    return pa.table(
        [pa.array([row[name] for row in rows], schema.field(f"{column}_{name}").type) for name in names], schema=schema
    )


def _single(judgment: Judgment) -> dict[str, Any]:
    return {
        "score": judgment.score,
        "status": JUDGMENT_STATUSES.index(judgment.status),
        "rung": judgment.rung,
        "reason": judgment.trouble or judgment.reason,
        "raw": judgment.raw,
        "reference_score": judgment.reference_score,
        "draws": list(judgment.draws),
    }


def _pair(pair: PairJudgment) -> dict[str, Any]:
    one, other = pair.in_order, pair.swapped
    return {
        "score": pair.score,
        "status": JUDGMENT_STATUSES.index(pair.status),
        "rung": None if one is None or pair.winner is None else one.rung,
        "reason": pair.trouble or (None if one is None else one.reason),
        "raw": None if one is None else one.raw,
        "raw_swapped": None if other is None else other.raw,
        "winner": None if pair.winner is None else WINNERS.index(pair.winner),
        "consistent": pair.consistent,
        "preference": pair.preference,
    }
