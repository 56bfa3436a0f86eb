"""validate: the predicted labels of a data set against its human ones."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement import agreement
from hf_synthlabels.statistics.codes import NO_LABEL, check_level, check_resamples, encode
from hf_synthlabels.statistics.confusion import ConfusionMatrix
from hf_synthlabels.statistics.gate import Gate
from hf_synthlabels.statistics.report import ValidationReport

__all__ = ["Table", "validate"]


class Table(Protocol):
    """What `validate` reads of a data set: its column names and whole columns; a `datasets.Dataset` is one.

    When it has `features` too and a column's feature is a ClassLabel, whole numbers in that column are read as names.
    """

    @property
    def column_names(self) -> Sequence[str]:
        """The names of the columns."""

    def __getitem__(self, column: str, /) -> Iterable[Any]:
        """The values of a column."""


def validate(
    dataset: Table,
    *,
    human: str = "label",
    llm: str = "llm_label",
    names: Sequence[str] | None = None,
    status: str | None = None,
    gate: Gate | str | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> ValidationReport:
    """Compare predicted labels with human ones, with an interval on every number.

    Rows without a human label are counted but not scored. Of the others, those without a predicted label are mistakes;
    the report shows them apart as coverage. The intervals suppose that the human-labelled rows are a random sample of
    the rows that the labels will be used for.

    Args:
        dataset: one split, for example a `datasets.Dataset`. One label per row: names, or numbers of a ClassLabel.
        human: the column of human labels; None (in a ClassLabel also -1) where there is none.
        llm: the column of predicted labels; the same.
        names: all label names; by default those of the ClassLabel of `human`, or else of `llm`, or else all values
            that occur, sorted.
        status: the column that says why a row has a predicted label or none; by default `<llm>_status` if there is one.
        gate: a score that the labels must reach, as a Gate or as text such as "macro_f1>=0.7".
        level: confidence level of each interval.
        resamples: of the bootstrap.
        seed: of the bootstrap; the same seed gives the same report.

    Raises:
        DataError: `dataset` is not one split, is empty, lacks a column, has no human label at all, or has a value
            that is not a name.
        ConfigError: `names`, `gate`, `level` or `resamples` can not be used.
    """
    check_level(level)
    check_resamples(resamples)
    if isinstance(gate, str):
        gate = Gate.parse(gate)
    human_labels, human_names = _labels(dataset, human)
    llm_labels, llm_names = _labels(dataset, llm)
    statuses = _statuses(dataset, llm, status)
    if len(human_labels) != len(llm_labels):
        raise DataError(
            f"`{human}` has {len(human_labels):,} rows and `{llm}` {len(llm_labels):,}: give one each per row."
        )
    if all(label is None for label in human_labels):
        raise DataError(f"`{human}` has no label in any of {len(human_labels):,} rows: label some rows by hand first.")
    if isinstance(names, str):
        raise ConfigError(f"`names` is {names!r}: give a list of names.")
    names = names or human_names or llm_names or _occurring(human_labels, llm_labels)
    human_codes, llm_codes = encode(human_labels, names, field=human), encode(llm_labels, names, field=llm)
    scored = human_codes != NO_LABEL
    matrix = ConfusionMatrix.from_codes(human_codes[scored], llm_codes[scored], names)
    scores = agreement(matrix, level=level, resamples=resamples, seed=seed)
    return ValidationReport.from_agreement(
        scores,
        human=human,
        llm=llm,
        level=level,
        resamples=resamples,
        seed=seed,
        n_rows=len(human_labels),
        n_labelled=int((llm_codes != NO_LABEL).sum()),
        statuses=statuses,
        confusion=matrix,
        gate=None if gate is None else gate.judge(getattr(scores, gate.metric), matrix.n),
    )


def _labels(dataset: Table, column: str) -> tuple[list[str | None], Sequence[str] | None]:
    """The labels of a column as names, and the names of its ClassLabel if it is one."""
    values = _column(dataset, column)
    feature: Any = (getattr(dataset, "features", None) or {}).get(column)
    names: Sequence[str] | None = feature.names if hasattr(feature, "int2str") else None
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


def _name(value: Any, names: Sequence[str] | None) -> str | None:
    """The label name that a value stands for, or None.

    Raises:
        TypeError: the value is neither a text nor a whole number nor missing.
        ValueError: it is a number that the ClassLabel does not have.
    """
    if isinstance(value, np.generic):
        value = value.item()
    # pandas writes a missing value as nan.
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return value
    if not isinstance(value, int):
        raise TypeError
    if names is None:
        return str(value)
    if value == NO_LABEL:
        return None
    if not 0 <= value < len(names):
        raise ValueError
    return names[value]


def _occurring(*columns: list[str | None]) -> list[str]:
    return sorted({label for labels in columns for label in labels if label is not None})


def _statuses(dataset: Table, llm: str, status: str | None) -> dict[str, int] | None:
    """Rows by status, the most frequent first; None when there is no such column and none was asked for."""
    column = status or f"{llm}_status"
    if status is None and column not in dataset.column_names:
        return None
    labels, _ = _labels(dataset, column)
    counts = Counter("(none)" if label is None else label for label in labels)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _column(dataset: Table, column: str) -> list[Any]:
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
    values = list(plain[column])
    if not values:
        raise DataError("`dataset` has no rows: give one with some rows labelled by hand.")
    return values
