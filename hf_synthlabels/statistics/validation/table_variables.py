"""Variables of a table: their columns, and the rows in which they are not coded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.labels.spelling import folded_name
from hf_synthlabels.statistics.agreement.answers import exact_match
from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    column_values,
    feature_kind,
    read_names,
)
from hf_synthlabels.statistics.validation.label_columns import label_names, read_label
from hf_synthlabels.statistics.validation.task_agreement import NAMED, label_columns

CHOICES = ("text-classification", "text-pair")


class CodingCondition(Protocol):
    """A variable is coded only in rows in which another variable has one of these labels."""

    @property
    def variable(self) -> str:
        """The other variable."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels."""


@dataclass(frozen=True, slots=True)
class TableVariable:
    """A variable of a labeled table."""

    llm: str
    """Column of LLM labels, which is also the name of the variable."""
    human: str
    """Column of human labels, which need not exist yet."""
    kind: str | None = None
    """Task type; None to determine it from the column."""
    schema: LabelSchema | None = None
    tokens: str | None = None
    """Column of token lists."""
    condition: CodingCondition | None = None

    def kind_in(self, table: Table) -> str:
        """The task type: the recorded one, or that of the column."""
        if self.schema is not None:
            return self.schema.kind
        return self.kind or feature_kind(column_feature(table, self.llm))


Variables = Mapping[str, TableVariable]


def not_coded(table: Table, variables: Variables) -> dict[str, Mask]:
    """For each variable the rows that human annotators left empty, because its condition does not hold for them.

    The human label of the condition's variable decides, not the LLM label. Rows in which that label is missing are not
    among them.
    """
    columns = set(table.column_names or ())
    masks: dict[str, Mask] = {}
    size = len(column_values(table, next(iter(variables.values())).llm)) if variables else 0

    def visit(name: str) -> Mask:
        if name not in masks:
            masks[name] = np.zeros(size, dtype=np.bool_)
            condition = variables[name].condition
            known = None if condition is None else variables.get(condition.variable)
            if condition is not None and known is not None and known.human in columns:
                answers = list(human_values(table, known))
                fails = np.array([answer is not None and not _holds(condition, answer) for answer in answers])
                own = human_values(table, variables[name]) if variables[name].human in columns else [None] * size
                empty = np.array([value is None for value in own])
                masks[name] = (fails | visit(condition.variable)) & empty
        return masks[name]

    for name in variables:
        visit(name)
    return masks


def human_values(table: Table, variable: TableVariable) -> Iterator[Any]:
    """Human labels of a variable; None where there is none."""
    return (human for human, _ in _pairs(table, variable, variable.human))


def label_pairs(table: Table, variable: TableVariable) -> Iterator[tuple[Any, Any]]:
    """The human and the LLM label of each row; None where there is none."""
    return _pairs(table, variable, variable.llm)


def correct_rows(table: Table, variable: TableVariable, *, normalize: bool = False) -> tuple[Mask, Mask]:
    """The rows with a human label, and those whose LLM label equals it.

    Sets of labels and of entities must be equal, numbers too; an answer or a text must match one of the human ones
    after SQuAD's normalization.

    Args:
        table: one split.
        variable: with a column of human labels.
        normalize: whether class names that differ only in case or white space are equal.
    """
    kind = variable.kind_in(table)
    pairs = list(label_pairs(table, variable))
    if normalize and kind in CHOICES:
        pairs = [(human and folded_name(human), llm and folded_name(llm)) for human, llm in pairs]
    labeled = np.array([human is not None for human, _ in pairs])
    right = [pair_is_correct(kind, human, llm) for human, llm in pairs]
    return labeled, np.array(right)


def _pairs(table: Table, variable: TableVariable, llm: str) -> Iterator[tuple[Any, Any]]:
    """The human and the LLM label of each row."""
    kind, human = variable.kind_in(table), variable.human
    if kind in CHOICES:
        columns = [read_names(table, column)[0] for column in (human, llm)]
        yield from zip(*([label or None for label in labels] for labels in columns), strict=True)
        return
    status = f"{llm}_status" if f"{llm}_status" in (table.column_names or ()) else None
    labels = label_columns(table, kind, human, llm, tokens=variable.tokens, status=status)
    names: Any = () if variable.schema is None else variable.schema.names
    if kind in NAMED and not names:
        names = label_names((labels.llm, labels.human), kind)
    for row in range(len(labels.human.values)):
        tokens = None if labels.tokens is None else labels.tokens[row]
        # An empty cell of a text file is no label.
        values = [
            None if column.values[row] == "" else read_label(column, row, kind, names, None, tokens)
            for column in (labels.human, labels.llm)
        ]
        yield values[0], None if row in labels.unlabelled else values[1]


def pair_is_correct(kind: str, human: Any, llm: Any) -> bool:
    """Whether an LLM label equals the human one; a missing label does not."""
    return human is not None and llm is not None and _equal(kind, human, llm)


def _equal(kind: str, human: Any, llm: Any) -> bool:
    match kind:
        case "multi-label" | "token-classification":
            return set(human) == set(llm)
        case "question-answering":
            return exact_match([text for text, _ in human], llm[0][0])
        case "text-generation":
            return exact_match(human, llm[0])
        case _:
            return bool(human == llm)


def _holds(condition: CodingCondition, label: Any) -> bool:
    names = label if isinstance(label, tuple) else (label,)
    return any(name in condition.labels for name in names)


class DomainTable:
    """A table in which some rows count as not sampled, since the variable is not coded in them."""

    def __init__(self, table: Table, excluded: Mask) -> None:
        self._table = table
        self._excluded = excluded
        self.column_names = list(table.column_names)
        self.features = getattr(table, "features", None)

    def __getitem__(self, column: str) -> list[Any]:
        plain: Any = self._table.with_format(None) if hasattr(self._table, "with_format") else self._table
        values = list(plain[column][:])
        if column != PROBABILITY:
            return values
        return [None if left else value for value, left in zip(values, self._excluded, strict=True)]
