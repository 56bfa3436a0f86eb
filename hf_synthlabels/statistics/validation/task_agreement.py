"""Kinds: the columns of a data set to the agreement of the kind of label that they hold."""

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
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
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
    """Open the columns.

    Raises:
        DataError: one is not there, the data set is empty, or the columns differ in length.
        ConfigError: `tokens` is given for a kind that has none.
    """
    if tokens is not None and kind != "token-classification":
        raise ConfigError(f"`tokens` is {tokens!r}, and labels of kind {kind!r} have no tokens. Leave it out.")
    columns = [label_column(dataset, column, kind) for column in (human, llm)]
    check_lengths(**{column.name: column.values for column in columns})
    token_lists = None if tokens is None else read_tokens(dataset, tokens)
    return LabelColumns(kind, columns[0], columns[1], token_lists, _unlabelled(dataset, status))


def kind_agreement(
    columns: LabelColumns, names: Sequence[str] | None, scale: Scale | None, bootstrap: BootstrapConfig
) -> tuple[KindAgreement, dict[str, Any]]:
    """The agreement of labels of any kind but one name per row, and the rows that were counted.

    Raises:
        DataError: a value is not a label of that kind, or no row has a human label.
        ConfigError: `names` is invalid.
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
            return multilabel_agreement(truth, found, names or (), bootstrap, design), counts
        case "text-scale":
            return _of_scale(truth, found, scale, bootstrap, design), counts
        case "token-classification":
            tags = None if columns.tokens is None else _tags(columns.tokens, human, llm, rows)
            agreed = entity_agreement(truth, found, names or (), tokens=tags, bootstrap=bootstrap, design=design)
            return agreed, counts
        case "question-answering":
            return answer_agreement(truth, [_first(each) for each in found], bootstrap, design), counts
        case _:
            return text_agreement(truth, [_first(each) for each in found], bootstrap, design), counts


def _of_scale(
    human: Sequence[float],
    llm: Sequence[float | None],
    scale: Scale | None,
    bootstrap: BootstrapConfig,
    design: SamplingDesign | None,
) -> KindAgreement:
    if scale is not None:
        ends: dict[str, Any] = {"low": scale.low, "high": scale.high, "step": scale.step}
        return scale_agreement(human, llm, **ends, bootstrap=bootstrap, design=design)
    whole = all(float(value).is_integer() for value in (*human, *llm) if value is not None)
    return scale_agreement(human, llm, step=1.0 if whole else None, bootstrap=bootstrap, design=design)


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
    """How right each predicted label is, from 0 to 1; shape (rows,).

    1 for the human label and 0 for none at all; in between by the kind of label: see `CREDITS`. Of several right
    answers the best counts. nan where there is no human label.

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
        codes, found = (encode(read_names(dataset, column)[0], schema.names, field=column) for column in (human, llm))
        return np.where(codes == MISSING, np.nan, codes == found)
    status = f"{llm}_status" if f"{llm}_status" in dataset.column_names else None
    columns = label_columns(dataset, kind, human, llm, tokens=tokens, status=status)
    credit, words = _credit_of(kind, schema.scale), columns.tokens
    earned = np.full(len(columns.human.values), np.nan)
    for row in range(len(earned)):
        said, answer = (
            read_label(column, row, kind, schema.names, schema.scale, words[row] if words else None)
            for column in (columns.human, columns.llm)
        )
        if said is not None:
            earned[row] = 0.0 if answer is None or row in columns.unlabelled else credit(said, answer)
    return earned


def _credit_of(kind: str, scale: Scale | None) -> Callable[[Any, Any], float]:
    match kind:
        case "multi-label":
            return lambda truth, found: _shared(set(truth), set(found), jaccard=True)
        case "text-scale":
            assert scale is not None
            return lambda truth, found: 1 - abs(truth - found) / (scale.high - scale.low)
        case "token-classification":
            return lambda truth, found: _shared(set(truth), set(found), jaccard=False)
        case "question-answering":
            return lambda truth, found: max(token_f1(each[0], found[0][0]) for each in truth)
        case _:
            return lambda truth, found: max(token_f1(each, found[0]) for each in truth)


def _shared(truth: set[Any], found: set[Any], *, jaccard: bool) -> float:
    """What two sets have in common: Jaccard's index, or F1; two empty ones are equal."""
    if not truth and not found:
        return 1.0
    shared = len(truth & found)
    return shared / len(truth | found) if jaccard else 2 * shared / (len(truth) + len(found))
