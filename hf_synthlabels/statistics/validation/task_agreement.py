"""Agreement and row scores of the label columns of a data set, by task type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, LabelSchema, Scale
from hf_synthlabels.labels.values import class_of_number
from hf_synthlabels.statistics.agreement.answers import answer_agreement, text_agreement, token_f1
from hf_synthlabels.statistics.agreement.base import KindAgreement
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.arrays import MISSING, Floats, check_lengths, encode
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, subset_design
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    class_names,
    column_feature,
    column_values,
    read_names,
)
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
    """Rows without a predicted label by their status, whatever the column holds."""
    design: SamplingDesign | None = None
    """Weights, clusters and strata of all rows; only those of rows with a human label are read."""


def label_columns(
    dataset: Table, kind: str, human: str, llm: str, *, tokens: str | None, status: str | None
) -> LabelColumns:
    """Open the columns, which must have equally many rows; `tokens` is for entities only."""
    if tokens is not None and kind != "token-classification":
        raise ConfigError(f"`tokens` is {tokens!r}, and labels of kind {kind!r} have no tokens. Leave it out.")
    columns = [label_column(dataset, column, kind) for column in (human, llm)]
    check_lengths(**{column.name: column.values for column in columns})
    token_lists = None if tokens is None else read_tokens(dataset, tokens)
    return LabelColumns(kind, columns[0], columns[1], token_lists, _unlabelled(dataset, status))


def kind_agreement(
    columns: LabelColumns, names: Sequence[str] | None, scale: Scale | None, bootstrap: BootstrapConfig
) -> tuple[KindAgreement, dict[str, Any]]:
    """The agreement of labels of any task type except single-label classification, and counts of rows."""
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
    truth, predicted = [human[row] for row in rows], [llm[row] for row in rows]
    design = subset_design(columns.design, np.array(rows))
    counts = {
        "n_rows": len(human),
        "n_labelled": sum(label is not None for label in llm),
        "n_human": len(rows),
        "n_answered": sum(label is not None for label in predicted),
    }
    match kind:
        case "multi-label":
            return multilabel_agreement(truth, predicted, names or (), bootstrap, design), counts
        case "text-scale":
            return _of_scale(truth, predicted, scale, bootstrap, design), counts
        case "token-classification":
            tags = None if columns.tokens is None else _tags(columns.tokens, human, llm, rows)
            options: Any = {"tokens": tags, "bootstrap": bootstrap, "design": design}
            return entity_agreement(truth, predicted, names or (), **options), counts
        case "question-answering":
            return answer_agreement(truth, list(map(_first, predicted)), bootstrap, design), counts
        case _:
            return text_agreement(truth, list(map(_first, predicted)), bootstrap, design), counts


def _of_scale(
    human: Sequence[float],
    llm: Sequence[float | None],
    scale: Scale | None,
    bootstrap: BootstrapConfig,
    design: SamplingDesign | None,
) -> KindAgreement:
    ends: dict[str, Any]
    if scale is not None:
        ends = {"low": scale.low, "high": scale.high, "step": scale.step}
    else:
        whole = all(float(value).is_integer() for value in (*human, *llm) if value is not None)
        ends = {"step": 1.0 if whole else None}
    return scale_agreement(human, llm, **ends, bootstrap=bootstrap, design=design)


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
    """Refuse a column of whole numbers that may be names of classes or their codes, where these differ."""
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


ROW_SCORES = {
    "text-classification": "right or wrong",
    "text-pair": "right or wrong",
    "multi-label": "Jaccard",
    "text-scale": "1 - error / length of the scale",
    "token-classification": "entity F1 of the row",
    "question-answering": "token F1",
    "text-generation": "token F1",
}
"""Score of a row, by task type."""


def row_scores(dataset: Table, schema: LabelSchema, *, human: str, llm: str, tokens: str | None = None) -> Floats:
    """The score of each row from 0 to 1 by `ROW_SCORES`, shape (rows,); nan where there is no human label.

    A row without a predicted label has 0. Of several correct answers the best counts.

    Args:
        dataset: one split.
        schema: the kind, the names and the scale of the labels.
        human: the column of human labels.
        llm: the column of predicted labels.
        tokens: the column of token lists, where entities stand as tags.

    Raises:
        DataError: a column is missing, or holds what is not a label of the schema.
    """
    kind = schema.kind
    if kind in ("text-classification", "text-pair"):
        codes = [encode(read_names(dataset, column)[0], schema.names, field=column) for column in (human, llm)]
        return np.where(codes[0] == MISSING, np.nan, codes[0] == codes[1])
    status = f"{llm}_status" if f"{llm}_status" in dataset.column_names else None
    columns = label_columns(dataset, kind, human, llm, tokens=tokens, status=status)
    score, tokens_of_rows = _score_of(kind, schema.scale), columns.tokens
    scores = np.full(len(columns.human.values), np.nan)
    for row in range(len(scores)):
        truth, predicted = (
            read_label(column, row, kind, schema.names, schema.scale, tokens_of_rows[row] if tokens_of_rows else None)
            for column in (columns.human, columns.llm)
        )
        if truth is not None:
            missing = predicted is None or row in columns.unlabelled
            scores[row] = 0.0 if missing else score(truth, predicted)
    return scores


def row_score(kind: str, scale: Scale | None, human: Any, llm: Any) -> float:
    """The score of one row by `ROW_SCORES`, of labels that `read_label` returned."""
    return _score_of(kind, scale)(human, llm)


def _score_of(kind: str, scale: Scale | None) -> Callable[[Any, Any], float]:
    match kind:
        case "multi-label":
            return lambda truth, predicted: _shared(set(truth), set(predicted), jaccard=True)
        case "text-scale":
            assert scale is not None
            return lambda truth, predicted: 1 - abs(truth - predicted) / (scale.high - scale.low)
        case "token-classification":
            return lambda truth, predicted: _shared(set(truth), set(predicted), jaccard=False)
        case "question-answering":
            return lambda truth, predicted: max(token_f1(each[0], predicted[0][0]) for each in truth)
        case _:
            return lambda truth, predicted: max(token_f1(each, predicted[0]) for each in truth)


def _shared(truth: set[Any], predicted: set[Any], *, jaccard: bool) -> float:
    """The Jaccard index or F1 of two sets; two empty ones are equal."""
    if not truth and not predicted:
        return 1.0
    shared = len(truth & predicted)
    return shared / len(truth | predicted) if jaccard else 2 * shared / (len(truth) + len(predicted))
