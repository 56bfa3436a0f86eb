"""LLM variables of a table: which columns have the LLM labels and the human labels of the same thing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hf_synthlabels.annotation import provenance
from hf_synthlabels.errors import ConfigError


def label_variables(dataset: Any) -> dict[str, tuple[str, str]]:
    """The column of LLM labels and that of human labels by variable, from the provenance of the label columns.

    A variable has the name of its column of LLM labels. Columns without recorded human labels are left out.

    Args:
        dataset: a `Dataset`, or a `DatasetDict`, of which the first split is read.
    """
    rows = next(iter(dataset.values())) if isinstance(dataset, dict) else dataset
    columns = set(rows.column_names or ())
    variables = {}
    for record in provenance(rows):
        # The record of a sample names the labels that it was drawn by.
        llm = record.get("llm") or record["column"]
        if {llm, record.get("human")} <= columns:
            variables[llm] = (llm, record["human"])
    return variables


def parse_variables(options: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The variables of options such as `bias=llm_bias:human_bias`.

    Raises:
        ConfigError: an option is not of this form, or a name occurs twice.
    """
    variables: dict[str, tuple[str, str]] = {}
    for option in options:
        name, _, columns = option.partition("=")
        llm, _, human = columns.partition(":")
        if not (name.strip() and llm.strip() and human.strip()):
            raise ConfigError(f"`--variable` is {option!r}: give name=llm_column:human_column.")
        if name.strip() in variables:
            raise ConfigError(f"`--variable` names {name.strip()!r} twice: give each variable once.")
        variables[name.strip()] = (llm.strip(), human.strip())
    return variables
