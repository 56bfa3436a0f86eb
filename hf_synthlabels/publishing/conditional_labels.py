"""Conditional variables in estimates: a class for rows in which they are not coded, or a domain without these rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.publishing.sampled_data import label_texts
from hf_synthlabels.statistics.arrays import Floats, Mask
from hf_synthlabels.statistics.regression.domain import Domain
from hf_synthlabels.statistics.regression.formula import parse_formula
from hf_synthlabels.statistics.validation.table_variables import CHOICES, Variables, not_coded

NOT_CODED = "not coded"
"""Class of rows in which a variable's condition does not hold."""


def with_not_coded(rows: Any, variables: Variables) -> tuple[Any, list[str]]:
    """The table in which conditional variables have a further class, and the names of these variables.

    Human annotators and the LLM may disagree on whether the condition holds. With the class, that is an error of the
    LLM labels like any other, which estimates correct; without it, rows would be dropped by either of them.

    Args:
        rows: a `Dataset`.
        variables: of its codebook; those without condition, of other kinds or without human labels are unchanged.
    """
    present = set(rows.column_names)
    names = [
        name
        for name, variable in variables.items()
        if variable.condition is not None and variable.kind_in(rows) in CHOICES
        if {variable.human, f"{name}_status"} <= present
    ]
    if not names:
        return rows, []
    absent = not_coded(rows, variables)
    description = rows.info.description
    for name in names:
        skipped = np.array([status == "skipped" for status in label_texts(rows, f"{name}_status")])
        for column, mask in ((name, skipped), (variables[name].human, absent[name])):
            labels = label_texts(rows, column)
            values = [NOT_CODED if left else label for label, left in zip(labels, mask, strict=True)]
            rows = rows.remove_columns([column]).add_column(column, values)
    rows.info.description = description
    return rows, names


def check_conditional(rows: Any, variables: Variables, name: str) -> None:
    """Refuse an estimate of a conditional variable that has no classes.

    Raises:
        ConfigError: its mean would be of rows that the LLM selects.
    """
    variable = variables.get(name)
    if variable is not None and variable.condition is not None and variable.kind_in(rows) not in CHOICES:
        raise ConfigError(
            f"`variable` is {name!r}, of kind {variable.kind_in(rows)!r} and coded under a condition: the rows that it "
            f"is coded in are themselves uncertain. Use `--formula '{name} ~ 1'` for its mean where it is coded."
        )


def formula_domain(rows: Any, variables: Variables, formula: str) -> Domain | None:
    """The rows in which the conditional variables of a formula that have no classes are coded; None without any.

    Args:
        rows: a `Dataset`, whose classes have no `not coded` yet.
        variables: of its codebook.
        formula: of a regression.
    """
    present = set(rows.column_names)
    names = [
        name
        for name in parse_formula(formula).columns
        if name in variables and variables[name].condition is not None and variables[name].human in present
        if variables[name].kind_in(rows) not in CHOICES
    ]
    if not names:
        return None
    absent = not_coded(rows, variables)
    by_llm, by_human = [], []
    for name in names:
        has_status = f"{name}_status" in present
        status = label_texts(rows, f"{name}_status") if has_status else ["skipped"] * len(rows)
        by_llm.append(_membership(rows[name], [each == "skipped" for each in status]))
        by_human.append(_membership(rows[variables[name].human], absent[name]))
    return Domain(tuple(names), _in_all(by_llm), _in_all(by_human))


def refuse_domain(rows: Any, variables: Variables, formula: str | None) -> None:
    """Refuse a comparison of variants in a regression on a domain.

    Raises:
        ConfigError: the variants would be of different rows.
    """
    domain = None if formula is None else formula_domain(rows, variables, formula)
    if domain is not None:
        raise ConfigError(
            f"`formula` names {domain.names[0]!r}, which is coded under a condition: variants of it are labels of "
            "different rows. Leave out `--variants`."
        )


def _membership(labels: Sequence[Any], outside: Sequence[bool] | Mask) -> Floats:
    """1 in rows with a label, 0 in rows in which none is needed, nan elsewhere."""
    has_label = np.array([label is not None and label == label for label in labels])
    return np.where(has_label, 1.0, np.where(outside, 0.0, np.nan))


def _in_all(memberships: Sequence[Floats]) -> Floats:
    """1 in rows in which all variables are coded, 0 where one is not, nan elsewhere."""
    return np.asarray(np.where(np.any([each == 0 for each in memberships], axis=0), 0.0, np.mean(memberships, axis=0)))
