"""Rows of a study and their human labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.validation.dataset_columns import read_names
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label, read_tokens
from hf_synthlabels.studies.config_sections import RowSelection

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


@dataclass(frozen=True, slots=True)
class HumanValues:
    """The human labels of some rows."""

    labels: tuple[Any, ...]
    """One label per row, None where there is none: a code; codes; a number; entities as {start, end, text, label};
    an answer as {text, start}; a text. Of several human answers the first."""
    truth: tuple[Any, ...]
    """The same, but all human answers: of question-answering a list of {text, start}, of text-generation a list of
    texts."""


def human_values(rows: Dataset, recipe: Recipe) -> HumanValues:
    """The human labels of some rows.

    Raises:
        DataError: the recipe names no human column, or a value is not in its schema.
    """
    schema, human = recipe.schema_of_labels(), recipe.task.human
    if human is None:
        raise DataError(f"`task.human` is missing in recipe {recipe.name!r}. Name the column with the human labels.")
    if not len(rows):
        return HumanValues((), ())
    if schema.kind in ("text-classification", "text-pair"):
        codes = {name: code for code, name in enumerate(schema.names)}
        names, _ = read_names(rows, human)
        if outside := sorted({name for name in names if name is not None and name not in codes}):
            raise DataError(f"`{human}` holds {', '.join(outside[:3])}, outside the labels: {', '.join(schema.names)}.")
        labels = tuple(None if name is None else codes[name] for name in names)
        return HumanValues(labels, labels)
    column = label_column(rows, human, schema.kind)
    tokens = None if recipe.task.tokens is None else read_tokens(rows, recipe.task.tokens)
    read = [
        read_label(column, row, schema.kind, schema.names, schema.scale, None if tokens is None else tokens[row])
        for row in range(len(rows))
    ]
    texts = _contexts(rows, recipe) if schema.kind == "token-classification" else [""] * len(rows)
    truth = tuple(
        None if value is None else _value(schema.kind, schema.names, value, text)
        for value, text in zip(read, texts, strict=True)
    )
    if schema.kind in ("question-answering", "text-generation"):
        return HumanValues(tuple(None if not answers else answers[0] for answers in truth), truth)
    return HumanValues(truth, truth)


def _value(kind: str, names: tuple[str, ...], value: Any, text: str) -> Any:
    match kind:
        case "multi-label":
            return [names.index(name) for name in value]
        case "token-classification":
            return [
                {"start": start, "end": end, "text": text[start:end], "label": names.index(label)}
                for start, end, label in value
            ]
        case "question-answering":
            return [{"text": answer, "start": start} for answer, start in value]
        case "text-generation":
            return list(value)
        case _:
            return value


def _contexts(rows: Dataset, recipe: Recipe) -> list[str]:
    form = recipe.task.form()
    read = [form.read(row) for row in rows.select_columns(recipe.task.columns)]
    return ["" if text is None else text.context for text in read]
