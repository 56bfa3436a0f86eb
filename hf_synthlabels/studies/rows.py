"""Rows of a study: choosing them, and reading their labels as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.studies.study import RowSelection

SAMPLE_SEED = 0


def select_rows(splits: Mapping[str, Dataset], selection: RowSelection, field: str) -> Dataset:
    """The rows that a selection names, in their order.

    Raises:
        DataError: there is no such split or column, or no row fits.
    """
    if selection.split not in splits:
        raise DataError(f"`{field}.split` is {selection.split!r}. The data set has: {', '.join(splits)}.")
    rows = splits[selection.split]
    keep = np.ones(len(rows), dtype=bool)
    for column, value in selection.where.items():
        if column not in rows.column_names:
            raise DataError(f"`{field}.where` names the column {column!r}. There are: {', '.join(rows.column_names)}.")
        keep &= np.array([cell == value for cell in rows[column]], dtype=bool)
    if not keep.any():
        raise DataError(f"`{field}.where` {dict(selection.where)!r} fits none of {len(rows)} rows. Correct the value.")
    return rows.select(np.flatnonzero(keep))


def shared_texts(train: Dataset, held: Sequence[Dataset], columns: Sequence[str]) -> NDArray[np.bool_]:
    """For each training row whether its text is also among the rows that were held out.

    Scores on texts that a student has been trained on say little about new ones.
    """
    seen = {text for rows in held for text in _texts(rows, columns)}
    return np.array([text in seen for text in _texts(train, columns)], dtype=bool)


def _texts(rows: Dataset, columns: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(map(str, texts)) for texts in zip(*(rows[column][:] for column in columns), strict=True)]


def unasked_share(rows: Dataset, llm: str) -> float:
    """Share of rows that the annotator was never asked about; a column without any label was never filled."""
    status = rows.features.get(f"{llm}_status")
    if status is None:
        return float(all(label is None for label in rows[llm]))
    names = [status.int2str(code) if isinstance(status, ClassLabel) else code for code in rows[f"{llm}_status"]]
    return names.count("skipped") / len(names)


def label_codes(dataset: Dataset, column: str, names: Sequence[str]) -> list[int | None]:
    """The labels of a column as positions in `names`; None where there is no label.

    Raises:
        DataError: there is no such column, or it holds a value that is not a label name.
    """
    if column not in dataset.column_names:
        raise DataError(f"`human` or `llm` names the column {column!r}. There are: {', '.join(dataset.column_names)}.")
    feature = dataset.features[column]
    values: list[Any] = list(dataset[column])
    if isinstance(feature, ClassLabel):
        # A test split whose labels are kept secret has -1 in every row: no label, and not the last name.
        values = [None if value is None or value < 0 else feature.names[value] for value in values]
    codes = {name: code for code, name in enumerate(names)}
    if outside := sorted({str(value) for value in values if value is not None and value not in codes}):
        raise DataError(f"`{column}` holds {', '.join(outside[:3])}, outside the labels: {', '.join(names)}.")
    return [None if value is None else codes[value] for value in values]


def validation_sample(dataset: Dataset, human: str, names: Sequence[str], count: int) -> Dataset:
    """The validation rows of a study: a simple random sample of the rows with a human label, always the same one."""
    return dataset.select(draw_rows(label_codes(dataset, human, names), count, SAMPLE_SEED))


def draw_rows(codes: Sequence[int | None], count: int, seed: int) -> list[int]:
    """A simple random sample of the rows that have a label, sorted; all of them when there are fewer."""
    labelled = [row for row, code in enumerate(codes) if code is not None]
    drawn = np.random.default_rng(seed).permutation(labelled)[:count]
    return sorted(int(row) for row in drawn)
