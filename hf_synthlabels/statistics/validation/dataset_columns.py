"""Columns of a data set as Python values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.spelling import normalize_spelling, spelling_note
from hf_synthlabels.statistics.arrays import MISSING


class Table(Protocol):
    """A data set with named columns, such as a `datasets.Dataset`.

    If it has `features` and a column's feature is a ClassLabel, whole numbers in that column are read as names.
    """

    @property
    def column_names(self) -> Sequence[str]:
        """The names of the columns."""

    def __getitem__(self, column: str, /) -> Iterable[Any]:
        """The values of a column."""


def column_values(dataset: Table, column: str) -> list[Any]:
    """The values of a column as Python objects.

    Raises:
        DataError: the data set has splits, lacks the column or is empty.
    """
    if isinstance(dataset, Mapping):
        first = next(iter(dataset), "train")
        raise DataError(f"`dataset` has the splits {', '.join(map(str, dataset))}: give one, as dataset[{first!r}].")
    columns = list(dataset.column_names or ())
    if column not in columns:
        close = difflib.get_close_matches(column, columns, n=1, cutoff=0.75)
        meant = f" Did you mean `{close[0]}`?" if close else ""
        present = ", ".join(f"`{name}`" for name in columns) or "none"
        raise DataError(f"`{column}` is not a column. There is {present}; name the one to read.{meant}")
    # A format such as torch would wrap every value in a tensor.
    plain = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
    cells = plain[column]
    # A column of `datasets` decodes row by row when it is iterated, and all at once when it is sliced.
    values = list(cells[:] if isinstance(cells, Sequence) else cells)
    if not values:
        raise DataError("`dataset` has no rows: give one with some human-labeled rows.")
    return values


def column_feature(dataset: Table, column: str) -> Any:
    """The type of a column as `datasets` describes it; None where that is not known."""
    return (getattr(dataset, "features", None) or {}).get(column)


def class_names(feature: Any) -> Sequence[str] | None:
    """The names of a ClassLabel, also within a list or a list of entities; None without one."""
    feature = getattr(feature, "feature", feature)
    if isinstance(feature, Mapping) and "label" in feature:
        inner = feature["label"]
        feature = getattr(inner, "feature", inner)
    return list(feature.names) if hasattr(feature, "int2str") else None


def feature_kind(feature: Any) -> str:
    """The task type of a column by its type; texts and whole numbers are class names."""
    inner = getattr(feature, "feature", None)
    within = feature if isinstance(feature, Mapping) else inner
    if isinstance(within, Mapping):
        if {"start", "end", "label"} <= set(within):
            return "token-classification"
        return "question-answering" if "text" in within else "text-classification"
    if inner is not None:
        return "multi-label"
    return "text-scale" if str(getattr(feature, "dtype", "")).startswith("float") else "text-classification"


def read_names(dataset: Table, column: str) -> tuple[list[str | None], Sequence[str] | None]:
    """The class names of a column with one label per row, and the names of its ClassLabel if it is one.

    Raises:
        DataError: a value is not a label, or the column is missing.
    """
    values = column_values(dataset, column)
    names = class_names(column_feature(dataset, column))
    # A column has few distinct values: each is read once. The type is part of the key because 1 == 1.0 == True.
    readings: dict[tuple[type, Any], str | None] = {}
    labels = []
    for row, value in enumerate(values):
        try:
            key = (type(value), value)
            if key not in readings:
                readings[key] = _name(value, names)
            labels.append(readings[key])
        except (TypeError, ValueError):
            raise DataError(
                f"`{column}` has {value!r} in row {row:,}, which is not one label: "
                f"give a name{f' or a number below {len(names)}' if names else ''}, or None."
            ) from None
    return labels, names


def one_spelling(
    columns: Sequence[list[str | None]], names: Sequence[str] = (), *, normalize: bool
) -> tuple[list[list[str | None]], tuple[str, ...]]:
    """Columns of names in one spelling if `normalize`; otherwise as they are, with a note on names that differ so."""
    labels = [label for column in columns for label in column]
    if not normalize:
        note = "" if names else spelling_note(labels)
        return list(columns), (note,) if note else ()
    spelled = iter(normalize_spelling(labels, names))
    return [[next(spelled) for _ in column] for column in columns], ()


def _name(value: Any, names: Sequence[str] | None) -> str | None:
    """The label name of a value, or None.

    Raises:
        TypeError: the value is neither a text nor a whole number nor missing.
        ValueError: it is a number that the ClassLabel does not have.
    """
    if isinstance(value, np.generic):
        value = value.item()
    # pandas writes a missing value as nan, and makes a column of whole numbers with missing ones a column of floats.
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise TypeError
    if names is None:
        return str(value)
    if value == MISSING:
        return None
    if not 0 <= value < len(names):
        raise ValueError
    return names[value]
