"""ReviewRows: the table under review with texts, LLM labels, sampled rows and the schema."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import STATUSES, LabelSchema
from hf_synthlabels.review.review_options import ReviewOptions
from hf_synthlabels.statistics.arrays import number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.dataset_columns import class_names, column_feature, column_values, read_names
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label

CONFIDENT = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """A named text of a row."""

    name: str
    text: str
    marked: bool = False
    """Whether annotators mark spans in it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as annotators see it."""

    number: int
    parts: tuple[Part, ...]
    digest: str

    @property
    def context(self) -> str:
        """Text in which spans are marked; empty for kinds without spans."""
        return next((part.text for part in self.parts if part.marked), "")

    def to_json(self) -> list[dict[str, Any]]:
        """The texts for the page."""
        return [{"name": part.name, "text": part.text, "marked": part.marked} for part in self.parts]


@dataclass(frozen=True, slots=True)
class ReviewRows:
    """A table under review."""

    table: Any
    schema: LabelSchema
    form: RowForm
    instructions: str
    human: str
    llm: str
    show_columns: tuple[str, ...]
    """Additional columns to show."""
    llm_labels: tuple[Any, ...]
    """Plain JSON for each row; None without a label."""
    human_labels: Mapping[int, Any]
    """Labels that are already in the table, by row."""
    statuses: tuple[str | None, ...]
    confidence: NDArray[np.float64]
    """Confidence of the LLM for each row; NaN if unknown."""
    probabilities: tuple[Sequence[float] | None, ...] | None
    """Class probabilities for each row, if the table has them."""
    inclusion_probabilities: NDArray[np.float64]
    """For each row; NaN outside the sample."""
    sampled: bool
    """Whether the rows were sampled; otherwise all rows are annotated."""
    queue: NDArray[np.int64]
    """Rows to annotate in random order, which is the same for all annotators."""
    reasons: tuple[str | None, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.llm_labels)

    def row(self, number: int) -> Row:
        """A row with its texts.

        Raises:
            DataError: the row does not exist.
        """
        if not 0 <= number < len(self):
            raise DataError(f"`row` is {number!r}, and there are {len(self):,} rows, from 0.")
        content = self.table[number]
        parts = _parts(content, self.form, self.schema.kind)
        digest = hashlib.sha256(json.dumps([[part.name, part.text] for part in parts]).encode()).hexdigest()[:16]
        more = [Part(name, _text(content.get(name))) for name in self.show_columns]
        return Row(number, (*parts, *more), digest)

    def llm_confidence(self, number: int) -> float | None:
        """Confidence of the LLM in a row; None if unknown."""
        confidence = float(self.confidence[number])
        return None if math.isnan(confidence) else confidence

    def probability(self, number: int) -> float | None:
        """Inclusion probability of a row; None outside the sample."""
        probability = float(self.inclusion_probabilities[number])
        return None if math.isnan(probability) else probability

    def uncertain_rows(self) -> NDArray[np.int64]:
        """Sampled rows on which the LLM was uncertain: its samples or probabilities favor several labels."""
        return np.flatnonzero((self.confidence < CONFIDENT) & ~np.isnan(self.inclusion_probabilities))


def review_rows(
    table: Any,
    *,
    schema: LabelSchema,
    form: RowForm,
    instructions: str = "",
    human: str = "label",
    llm: str = "llm_label",
    options: ReviewOptions | None = None,
) -> ReviewRows:
    """Read a table for review.

    Args:
        table: a `datasets.Dataset` with LLM labels and inclusion probabilities.
        schema: label schema.
        form: columns to show.
        instructions: question for the annotators.
        human: column of human labels; need not exist yet.
        llm: column of LLM labels.
        options: rows to annotate (default: sampled rows without a human label).

    Raises:
        DataError: the table has no rows or lacks a column, no row was sampled, or a label is not in the schema.
    """
    options = options or ReviewOptions()
    check_columns(table, llm, *form.columns, *options.show_columns)
    statuses = _statuses(table, llm)
    probabilities = _inclusion_probabilities(table, options.all_rows)
    human_labels = _labels(table, human, schema, form) if human in table.column_names else []
    known = {row: label for row, label in enumerate(human_labels) if label is not None}
    sampled = np.flatnonzero(~np.isnan(probabilities))
    queue = sampled if options.relabel else sampled[~np.isin(sampled, list(known))]
    return ReviewRows(
        table=table,
        schema=schema,
        form=form,
        instructions=instructions,
        human=human,
        llm=llm,
        show_columns=options.show_columns,
        llm_labels=_labels_by_status(_labels(table, llm, schema, form), statuses),
        human_labels={row: label for row, label in known.items() if not math.isnan(probabilities[row])},
        statuses=statuses,
        confidence=_numbers(table, f"{llm}_confidence"),
        probabilities=_optional(table, f"{llm}_probs"),
        inclusion_probabilities=probabilities,
        sampled=not options.all_rows,
        queue=np.random.default_rng(options.seed).permutation(queue),
        reasons=_optional(table, f"{llm}_note"),
    )


def _labels_by_status(labels: list[Any], statuses: tuple[str | None, ...]) -> tuple[Any, ...]:
    """Labels of rows with the status `labelled`, or without a status; else None."""
    return tuple(
        label if status in (None, "labelled") else None for label, status in zip(labels, statuses, strict=True)
    )


def check_columns(table: Any, *columns: str) -> None:
    """Check that a table has rows and these columns.

    Raises:
        DataError: it has no rows, or lacks a column.
    """
    if len(table) == 0:
        raise DataError("`data` has no rows: there is nothing to label.")
    for column in columns:
        if column not in table.column_names:
            raise DataError(f"`{column}` is not a column. Columns: {', '.join(table.column_names)}.")


def _inclusion_probabilities(table: Any, all_rows: bool) -> NDArray[np.float64]:
    if all_rows:
        return np.ones(len(table))
    if PROBABILITY not in table.column_names:
        raise DataError(
            f"`{PROBABILITY}` is not a column: sample rows with `hf-synthlabels sample` first, or add `--all` to label "
            "every row."
        )
    inclusion_probabilities = number_column(column_values(table, PROBABILITY), PROBABILITY)
    known = inclusion_probabilities[~np.isnan(inclusion_probabilities)]
    if not len(known):
        raise DataError(
            f"`{PROBABILITY}` has no inclusion probability in any row: sample rows with `hf-synthlabels sample` first."
        )
    if not ((known > 0) & (known <= 1)).all():
        raise DataError(f"`{PROBABILITY}` is outside (0, 1] in some rows: sample them again.")
    return inclusion_probabilities


def _labels(table: Any, column: str, schema: LabelSchema, form: RowForm) -> list[Any]:
    """Labels of a column as plain JSON."""
    if all(value is None for value in column_values(table, column)):
        return [None] * len(table)
    if schema.kind in ("text-classification", "text-pair"):
        names = read_names(table, column)[0]
        if wrong := next((name for name in names if name is not None and name not in schema.names), None):
            raise DataError(f"`{column}` has {wrong!r}, which is not a label of the schema: {', '.join(schema.names)}.")
        return list(names)
    values = label_column(table, column, schema.kind)
    tokens = None if form.tokens is None else column_values(table, form.tokens)
    texts = column_values(table, form.columns[0]) if schema.kind == "token-classification" else []
    labels = []
    for row in range(len(table)):
        words = None if tokens is None else list(tokens[row] or ())
        label = read_label(values, row, schema.kind, schema.names, schema.scale, words)
        text = " ".join(words) if words is not None else str(texts[row]) if texts else ""
        labels.append(None if label is None else _plain(schema, label, text))
    return labels


def _plain(schema: LabelSchema, label: Any, text: str) -> Any:
    """A label from `read_label` as plain JSON; the first of several answers."""
    match schema.kind:
        case "multi-label":
            return [name for name in schema.names if name in label]
        case "text-scale":
            return int(label) if label.is_integer() else label
        case "token-classification":
            return [{"start": start, "end": end, "text": text[start:end], "label": name} for start, end, name in label]
        case "question-answering":
            return {"text": label[0][0], "start": label[0][1]}
        case _:
            return label[0]


def _statuses(table: Any, llm: str) -> tuple[str | None, ...]:
    column = f"{llm}_status"
    if column not in table.column_names:
        return (None,) * len(table)
    names = class_names(column_feature(table, column)) or STATUSES
    values = column_values(table, column)
    return tuple(names[value] if isinstance(value, int) and 0 <= value < len(names) else value for value in values)


def _numbers(table: Any, column: str) -> NDArray[np.float64]:
    if column not in table.column_names:
        return np.full(len(table), np.nan)
    return number_column(column_values(table, column), column)


def _optional(table: Any, column: str) -> Any:
    return tuple(column_values(table, column)) if column in table.column_names else None


def _parts(content: Mapping[str, Any], form: RowForm, kind: str) -> tuple[Part, ...]:
    if form.tokens is not None:
        words = [str(token) for token in content.get(form.tokens) or ()]
        return (Part("text", " ".join(words), marked=True),)
    if form.question is not None and form.context is not None:
        return (
            Part(form.question, _text(content.get(form.question))),
            Part(form.context, _text(content.get(form.context)), marked=True),
        )
    if kind in ("token-classification", "question-answering"):
        return (Part(form.columns[0], _text(content.get(form.columns[0])), marked=True),)
    return tuple(Part(name, _text(content.get(name))) for name in form.columns)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
