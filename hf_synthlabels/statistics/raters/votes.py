"""Votes: several human labels of each row, read from one column or from a column for each rater."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.answers import normalize_answer
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Mask
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    class_names,
    column_feature,
    column_values,
    one_spelling,
    read_names,
)
from hf_synthlabels.statistics.validation.label_columns import LabelColumn, read_label

CHOICES = ("text-classification", "text-pair")

DEFAULT_HUMAN = "label"
GENERAL_COLUMN = "human_votes"
"""The votes of the human column `label`, if there is no `label_votes`."""

SHOWN = 60


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Human labels of each row by rater."""

    column: str
    """The column, or the columns."""
    codes: Ints
    """Positions in `labels`, shape (rows, raters), `MISSING` where a rater gave no label."""
    raters: tuple[str, ...]
    """Names of the raters; empty if they are not known, so that a place in a row is no rater."""
    labels: tuple[Any, ...]
    """Distinct labels: names, numbers, or other values that identify a label."""

    @property
    def counts(self) -> Ints:
        """Votes for each label, shape (rows, labels)."""
        return np.stack([(self.codes == code).sum(axis=1) for code in range(len(self.labels))], axis=1)

    @property
    def given(self) -> Ints:
        """Votes of each row, shape (rows,)."""
        given: Ints = (self.codes != MISSING).sum(axis=1)
        return given

    @property
    def majority(self) -> Ints:
        """The label that more than half of the votes of a row have; `MISSING` where there is none. Shape (rows,)."""
        counts = self.counts
        top = counts.argmax(axis=1)
        has = 2 * counts[np.arange(len(top)), top] > self.given
        return np.where(has & (self.given > 0), top, MISSING)

    @property
    def disputed(self) -> Mask:
        """Rows with votes and without a majority, shape (rows,)."""
        disputed: Mask = (self.given > 0) & (self.majority == MISSING)
        return disputed

    @property
    def numbers(self) -> Floats:
        """Votes as numbers, nan where missing, shape (rows, raters)."""
        values = np.array([*map(float, self.labels), math.nan])
        return values[self.codes]

    def majority_labels(self) -> list[Any]:
        """The label of the majority of each row, None where there is none."""
        return [None if code == MISSING else self.labels[code] for code in self.majority.tolist()]


def votes_columns(table: Table, human: str, votes: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """The columns of votes: the given ones, or `<human>_votes`; none where the table has no votes."""
    if votes is not None:
        columns = tuple(each.strip() for each in (votes.split(",") if isinstance(votes, str) else votes))
        if not all(columns):
            raise ConfigError(f"`votes` is {votes!r}: give one column, or a column for each rater, as 'ann,bob'.")
        return columns
    names = (f"{human}_votes", *((GENERAL_COLUMN,) if human == DEFAULT_HUMAN else ()))
    return next(((name,) for name in names if name in (getattr(table, "column_names", None) or ())), ())


def read_votes(
    table: Table,
    columns: Sequence[str],
    kind: str,
    *,
    names: Sequence[str] | None = None,
    scale: Any = None,
    tokens: Sequence[Sequence[str]] | None = None,
    normalize: bool = False,
) -> Votes:
    """Read the votes of each row.

    Args:
        table: one split.
        columns: one column of lists, or of objects that map raters to labels; or a column for each rater.
        kind: task type.
        names: class names, for kinds that have some.
        scale: of numbers.
        tokens: of each row, for entities as tags.
        normalize: whether class names that differ only in case or white space are equal.

    Raises:
        DataError: a column is missing, or a value is not a list or object of labels of the kind.
    """
    by_rater, feature, named = _rater_columns(table, columns)
    known = names or class_names(feature)
    name = ", ".join(columns)
    parsed = [_parsed(name, values, feature, kind, known or (), scale, tokens) for values in by_rater.values()]
    if kind in CHOICES:
        parsed = list(one_spelling(parsed, known or (), normalize=normalize)[0]) if normalize else parsed
    labels = list(known) if known and kind in CHOICES else []
    seen = {label for column in parsed for label in column if label is not None}
    if unknown := [label for label in seen if labels and label not in labels]:
        raise DataError(f"`{name}` has {unknown[0]!r}, which is not one of the names: {', '.join(labels[:8])}.")
    labels = labels or sorted(seen, key=lambda label: (str(type(label)), label if kind == "text-scale" else str(label)))
    if not seen:
        raise DataError(f"`{name}` has no vote in any row: leave the column out, or give one with human labels.")
    places = {label: code for code, label in enumerate(labels)} | {None: MISSING}
    codes = np.array([[places[label] for label in column] for column in parsed], dtype=np.int64).T
    return Votes(name, codes, tuple(by_rater) if named else (), tuple(labels))


def _rater_columns(table: Table, columns: Sequence[str]) -> tuple[dict[str, list[Any]], Any, bool]:
    """The labels of each rater, one per row; the type of a label; and whether raters have names."""
    if len(columns) > 1:
        values = {column: column_values(table, column) for column in columns}
        return values, column_feature(table, columns[0]), True
    (column,) = columns
    cells = [_cell(column, row, value) for row, value in enumerate(column_values(table, column))]
    named = any(isinstance(cell, Mapping) for cell in cells)
    if named and any(isinstance(cell, list) and cell for cell in cells):
        raise DataError(f"`{column}` has lists in some rows and raters in others: give one form in all rows.")
    if named:
        raters = list(dict.fromkeys(rater for cell in cells if isinstance(cell, Mapping) for rater in cell))
        by_rater = {rater: [dict(cell or {}).get(rater) for cell in cells] for rater in raters}
    else:
        most = max((len(cell or ()) for cell in cells), default=0)
        lists = [cell if isinstance(cell, list) else [] for cell in cells]
        by_rater = {str(place): [cell[place] if place < len(cell) else None for cell in lists] for place in range(most)}
    return by_rater, _label_feature(column_feature(table, column)), named


def _cell(column: str, row: int, value: Any) -> list[Any] | Mapping[str, Any] | None:
    """A cell as a list of labels or as labels by rater; None without votes."""
    if isinstance(value, str) and value.strip():
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "rater" in item for item in value):
        return {str(item["rater"]): item.get("label") for item in value}
    if not isinstance(value, list):
        text = repr(value)
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        raise DataError(
            f'`{column}` in row {row:,} is {shown}: give a list of labels, or an object such as {{"ann": "yes"}}.'
        )
    return [item for item in value if item is not None]


def _label_feature(feature: Any) -> Any:
    """The type of one label in a column of lists or of objects."""
    if isinstance(feature, Mapping):
        return next(iter(feature.values()), None)
    inner = getattr(feature, "feature", None)
    return inner["label"] if isinstance(inner, Mapping) and "rater" in inner else inner


class _OneColumn:
    """A column as a table."""

    def __init__(self, name: str, values: list[Any], feature: Any) -> None:
        self.column_names = [name]
        self.features = {name: feature}
        self._values = values

    def __getitem__(self, column: str) -> list[Any]:
        return self._values


def _parsed(
    name: str,
    values: list[Any],
    feature: Any,
    kind: str,
    names: Sequence[str],
    scale: Any,
    tokens: Sequence[Sequence[str]] | None,
) -> list[Any]:
    """The labels of a rater as values that are equal if the labels are."""
    if kind in CHOICES:
        # An empty cell of a text file is no label.
        return [label or None for label in read_names(_OneColumn(name, values, feature), name)[0]]
    column = LabelColumn(name, [None if value == "" else value for value in values], class_names(feature))
    return [
        _identity(kind, read_label(column, row, kind, names, scale, tokens[row] if tokens else None))
        for row in range(len(values))
    ]


def _identity(kind: str, label: Any) -> Any:
    match kind:
        case _ if label is None:
            return None
        case "multi-label" | "token-classification":
            return tuple(sorted(set(label)))
        case "question-answering":
            return normalize_answer(label[0][0])
        case "text-generation":
            return normalize_answer(label[0])
        case _:
            return label


def label_codes_of(votes: Votes, kind: str, labels: Sequence[Any]) -> Ints:
    """Other labels of the rows as codes of the votes; `len(votes.labels)` for a label that no rater gave."""
    places = {label: code for code, label in enumerate(votes.labels)}
    identities = [_identity(kind, label) for label in labels]
    codes = [MISSING if label is None else places.get(label, len(places)) for label in identities]
    return np.array(codes, dtype=np.int64)
