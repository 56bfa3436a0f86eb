"""ReviewRows: what is to be reviewed: rows with their texts, the LLM's labels, the rows that were drawn, the schema."""

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
from hf_synthlabels.statistics.arrays import number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.dataset_columns import class_names, column_feature, column_values, read_names
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label

CONFIDENT = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """A named text of a row, as it is shown."""

    name: str
    text: str
    marked: bool = False
    """Whether spans are marked in it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row, as people see it before they decide."""

    number: int
    parts: tuple[Part, ...]
    digest: str

    @property
    def context(self) -> str:
        """The text in which spans are marked; empty for kinds without spans."""
        return next((part.text for part in self.parts if part.marked), "")


@dataclass(frozen=True, slots=True)
class ReviewRows:
    """A table and all that is known of reviewing it."""

    table: Any
    schema: LabelSchema
    form: RowForm
    instructions: str
    human: str
    llm: str
    show_columns: tuple[str, ...]
    """Further columns that are shown with a row."""
    llm_labels: tuple[Any, ...]
    """Plain JSON for each row, None where the LLM gave none."""
    human_labels: Mapping[int, Any]
    """By row: labels that are already in the table."""
    statuses: tuple[str | None, ...]
    confidence: NDArray[np.float64]
    """Of the LLM for each row, nan where it is not known."""
    probabilities: tuple[Sequence[float] | None, ...] | None
    """Of the schema's names for each row, where the table has them."""
    chances: NDArray[np.float64]
    """With which each row was drawn for people; nan where it was not."""
    sampled: bool
    """Whether a sampler drew the rows; else all of them are to be labeled."""
    queue: NDArray[np.int64]
    """The rows to be labeled, in the order in which all annotators get them: a random one."""
    reasons: tuple[str | None, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.llm_labels)

    def row(self, number: int) -> Row:
        """A row's texts.

        Raises:
            DataError: there is no such row.
        """
        if not 0 <= number < len(self):
            raise DataError(f"`row` is {number!r}, and there are {len(self):,} rows, from 0.")
        content = self.table[number]
        parts = _parts(content, self.form, self.schema.kind)
        digest = hashlib.sha256(json.dumps([[part.name, part.text] for part in parts]).encode()).hexdigest()[:16]
        more = [Part(name, _text(content.get(name))) for name in self.show_columns]
        return Row(number, (*parts, *more), digest)

    def draws_differ(self) -> NDArray[np.int64]:
        """Drawn rows whose LLM was not certain: its draws, or its probabilities, were spread over several labels."""
        unsure = self.confidence < CONFIDENT
        return np.flatnonzero(unsure & ~np.isnan(self.chances))


def review_rows(
    table: Any,
    *,
    schema: LabelSchema,
    form: RowForm,
    instructions: str = "",
    human: str = "label",
    llm: str = "llm_label",
    show_columns: Sequence[str] = (),
    all_rows: bool = False,
    relabel: bool = False,
    seed: int = 0,
) -> ReviewRows:
    """Read all that a review needs of a table.

    Args:
        table: a `datasets.Dataset` with LLM labels and, unless `all_rows`, with inclusion probabilities.
        schema: what the labels are.
        form: the columns that are shown.
        instructions: question for the annotators.
        human: the column of human labels; it need not be there yet.
        llm: the column of LLM labels.
        show_columns: additional columns to show.
        all_rows: whether all rows are to be labeled, sampled or not.
        relabel: whether rows with a human label in the table are to be labeled once more.
        seed: of the order of the rows.

    Raises:
        DataError: the table has no rows or lacks a column, no row was drawn, or a label is not in the schema.
    """
    if len(table) == 0:
        raise DataError("`data` has no rows: there is nothing to label.")
    for column in (llm, *form.columns, *show_columns):
        if column not in table.column_names:
            raise DataError(f"`{column}` is not a column. There is {', '.join(table.column_names)}.")
    statuses = _statuses(table, llm)
    chances = _chances(table, all_rows)
    llm_labels = _labels(table, llm, schema, form)
    said = tuple(
        label if status in (None, "labelled") else None for label, status in zip(llm_labels, statuses, strict=True)
    )
    mine = _labels(table, human, schema, form) if human in table.column_names else []
    known = {row: label for row, label in enumerate(mine) if label is not None}
    drawn = np.flatnonzero(~np.isnan(chances))
    open_rows = drawn if relabel else drawn[~np.isin(drawn, list(known))]
    return ReviewRows(
        table=table,
        schema=schema,
        form=form,
        instructions=instructions,
        human=human,
        llm=llm,
        show_columns=tuple(show_columns),
        llm_labels=said,
        human_labels={row: label for row, label in known.items() if not math.isnan(chances[row])},
        statuses=statuses,
        confidence=_numbers(table, f"{llm}_confidence"),
        probabilities=_optional(table, f"{llm}_probs"),
        chances=chances,
        sampled=not all_rows,
        queue=np.random.default_rng(seed).permutation(open_rows),
        reasons=_optional(table, f"{llm}_note"),
    )


def _chances(table: Any, all_rows: bool) -> NDArray[np.float64]:
    if all_rows:
        return np.ones(len(table))
    if PROBABILITY not in table.column_names:
        raise DataError(
            f"`{PROBABILITY}` is not a column: draw the rows for people with `hf-synthlabels sample` first, "
            "or say `--all` to label every row."
        )
    chances = number_column(column_values(table, PROBABILITY), PROBABILITY)
    known = chances[~np.isnan(chances)]
    if not len(known):
        raise DataError(
            f"`{PROBABILITY}` has no inclusion probability in any row: sample rows with `hf-synthlabels sample` first."
        )
    if not ((known > 0) & (known <= 1)).all():
        raise DataError(f"`{PROBABILITY}` is outside (0, 1] in some rows: sample them again.")
    return chances


def _labels(table: Any, column: str, schema: LabelSchema, form: RowForm) -> list[Any]:
    """The labels of a column as plain JSON."""
    if all(value is None for value in column_values(table, column)):
        return [None] * len(table)
    if schema.kind in ("text-classification", "text-pair"):
        names = read_names(table, column)[0]
        if wrong := next((name for name in names if name is not None and name not in schema.names), None):
            raise DataError(f"`{column}` has {wrong!r}, which is none of the labels: {', '.join(schema.names)}.")
        return list(names)
    values = label_column(table, column, schema.kind)
    tokens = None if form.tokens is None else column_values(table, form.tokens)
    texts = column_values(table, form.columns[0]) if schema.kind == "token-classification" else []
    found = []
    for row in range(len(table)):
        words = None if tokens is None else list(tokens[row] or ())
        label = read_label(values, row, schema.kind, schema.names, schema.scale, words)
        text = " ".join(words) if words is not None else str(texts[row]) if texts else ""
        found.append(None if label is None else _plain(schema, label, text))
    return found


def _plain(schema: LabelSchema, label: Any, text: str) -> Any:
    """What `read_label` gives, as plain JSON; of several answers the first."""
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
    if kind == "token-classification":
        return (Part(form.columns[0], _text(content.get(form.columns[0])), marked=True),)
    return tuple(Part(name, _text(content.get(name))) for name in form.columns)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
