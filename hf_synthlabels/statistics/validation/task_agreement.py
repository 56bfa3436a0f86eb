"""Kinds: the columns of a data set to the agreement of the kind of label that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, Scale
from hf_synthlabels.labels.values import class_of_number
from hf_synthlabels.statistics.agreement.answers import answer_agreement, text_agreement
from hf_synthlabels.statistics.agreement.breakdown import KindAgreement
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.row_bootstrap import BootstrapConfig
from hf_synthlabels.statistics.validation.dataset_columns import Table, class_names, column_feature, column_values
from hf_synthlabels.statistics.validation.label_columns import (
    LabelColumn,
    bio_tags,
    label_column,
    label_names,
    read_label,
    read_tokens,
)

NAMED = ("multi-label", "token-classification")


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """Human and predicted labels of one kind, before they are read."""

    kind: str
    human: LabelColumn
    llm: LabelColumn
    tokens: list[list[str]] | None
    """Of each row, where they are known."""
    unlabelled: frozenset[int]
    """Rows whose status says that they have no predicted label, whatever stands in the column."""
    design: SamplingDesign | None = None
    """Weights, clusters and strata of all rows; only those of rows with a human label are read."""


def label_columns(
    dataset: Table, kind: str, human: str, llm: str, *, tokens: str | None, status: str | None
) -> LabelColumns:
    """Open the columns.

    Raises:
        DataError: one is not there, the data set is empty, or the columns differ in length.
        ConfigError: `tokens` is given for a kind that has none.
    """
    if tokens is not None and kind != "token-classification":
        raise ConfigError(f"`tokens` is {tokens!r}, and labels of kind {kind!r} have no tokens. Leave it out.")
    columns = [label_column(dataset, column, kind) for column in (human, llm)]
    lengths = [len(column.values) for column in columns]
    if lengths[0] != lengths[1]:
        raise DataError(f"`{human}` has {lengths[0]:,} rows and `{llm}` {lengths[1]:,}: give one each per row.")
    token_lists = None if tokens is None else read_tokens(dataset, tokens)
    return LabelColumns(kind, columns[0], columns[1], token_lists, _unlabelled(dataset, status))


def kind_agreement(
    columns: LabelColumns, names: Sequence[str] | None, scale: Scale | None, drawing: BootstrapConfig
) -> tuple[KindAgreement, dict[str, Any]]:
    """The agreement of labels of any kind but one name per row, and the rows that were counted.

    Raises:
        DataError: a value is not a label of that kind, or no row has a human label.
        ConfigError: `names` can not be used.
    """
    kind = columns.kind
    if kind in NAMED:
        names = list(names) if names else label_names((columns.human, columns.llm), kind)
    tokens: Sequence[Any] = columns.tokens or [None] * len(columns.human.values)
    human, llm = (
        [read_label(column, row, kind, names or (), scale, tokens[row]) for row in range(len(column.values))]
        for column in (columns.human, columns.llm)
    )
    llm = [None if row in columns.unlabelled else label for row, label in enumerate(llm)]
    rows = [row for row, label in enumerate(human) if label is not None]
    if not rows:
        raise DataError(
            f"`{columns.human.name}` has no label in any of {len(human):,} rows: label some rows by hand first."
        )
    truth, found = [human[row] for row in rows], [llm[row] for row in rows]
    design = None if columns.design is None else columns.design.take(np.array(rows)).scaled()
    counts = {
        "n_rows": len(human),
        "n_labelled": sum(label is not None for label in llm),
        "n_human": len(rows),
        "n_answered": sum(label is not None for label in found),
    }
    match kind:
        case "multi-label":
            return multilabel_agreement(truth, found, names or (), drawing, design), counts
        case "text-scale":
            return _of_scale(truth, found, scale, drawing, design), counts
        case "token-classification":
            tags = None if columns.tokens is None else _tags(columns.tokens, human, llm, rows)
            agreed = entity_agreement(truth, found, names or (), tokens=tags, drawing=drawing, design=design)
            return agreed, counts
        case "question-answering":
            return answer_agreement(truth, [_first(each) for each in found], drawing, design), counts
        case _:
            return text_agreement(truth, [_first(each) for each in found], drawing, design), counts


def _of_scale(
    human: Sequence[float],
    llm: Sequence[float | None],
    scale: Scale | None,
    drawing: BootstrapConfig,
    design: SamplingDesign | None,
) -> KindAgreement:
    if scale is not None:
        ends: dict[str, Any] = {"low": scale.low, "high": scale.high, "step": scale.step}
        return scale_agreement(human, llm, **ends, drawing=drawing, design=design)
    whole = all(float(value).is_integer() for value in (*human, *llm) if value is not None)
    return scale_agreement(human, llm, step=1.0 if whole else None, drawing=drawing, design=design)


def _tags(
    tokens: Sequence[Sequence[str]], human: Sequence[Any], llm: Sequence[Any], rows: Sequence[int]
) -> tuple[list[list[str]], list[list[str] | None]]:
    """The tags of the scored rows, human and predicted."""
    truth = [bio_tags(tokens[row], human[row]) or [] for row in rows]
    return truth, [bio_tags(tokens[row], llm[row]) for row in rows]


def _first(answers: Sequence[Any] | None) -> Any:
    """Of an LLM's answers the first; it gives one."""
    return None if answers is None else answers[0]


def _unlabelled(dataset: Table, status: str | None) -> frozenset[int]:
    """The rows of which the status column says that they have no label.

    An empty list is a label, and some writers of files turn a missing list into an empty one: the status tells.
    """
    if status is None:
        return frozenset()
    names = class_names(column_feature(dataset, status))
    other = frozenset(STATUSES) - {"labelled"}
    values = [
        names[value] if names and isinstance(value, int) and value >= 0 else value
        for value in column_values(dataset, status)
    ]
    return frozenset(row for row, value in enumerate(values) if value in other)


def check_numbers(dataset: Table, column: str, names: Sequence[str]) -> None:
    """Refuse a column of whole numbers that may be names of classes or their codes, where these differ.

    Args:
        dataset: the rows.
        column: a column of labels; a ClassLabel is certain.
        names: of all classes.

    Raises:
        DataError: every number has both readings.
    """
    if class_names(column_feature(dataset, column)) is not None:
        return
    numbers = {
        int(value)
        for value in column_values(dataset, column)
        if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    }
    if numbers and all(str(number) in names and 0 <= number < len(names) for number in numbers):
        try:
            for number in sorted(numbers):
                class_of_number(number, names)
        except DataError as error:
            raise DataError(f"`{column}`: {str(error).removeprefix('`label` ')}") from None
