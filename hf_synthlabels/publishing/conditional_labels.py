"""Conditional variables in estimates: rows in which they are not coded have a class for that."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.publishing.sampled_data import label_texts
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
            "is coded in are themselves uncertain. Estimate a variable with classes, or one without a condition."
        )
