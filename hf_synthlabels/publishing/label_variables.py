"""LLM variables of a table: which columns have the LLM labels and the human labels of the same thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hf_synthlabels.annotation import Codebook, Recipe, provenance
from hf_synthlabels.annotation.codebook.groups import Condition
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.validation.table_variables import TableVariable


def codebook_variables(codebook: Codebook) -> dict[str, TableVariable]:
    """The variables of a codebook; human labels are in the column that it names, or in `<variable>_human`."""
    return {
        name: _recipe_variable(recipe, f"{name}_human", codebook.conditions[name])
        for name, recipe in codebook.variables.items()
    }


def recipe_variable(recipe: Recipe) -> TableVariable:
    """The variable of a recipe; human labels are in the column that it names, or in `label`."""
    return _recipe_variable(recipe, "label", None)


def _recipe_variable(recipe: Recipe, human: str, condition: Condition | None) -> TableVariable:
    schema, task = recipe.schema_of_labels(), recipe.task
    return TableVariable(
        recipe.output.column, task.human or human, schema.kind, schema, task.tokens, condition=condition
    )


def recorded_variables(records: Sequence[Mapping[str, Any]]) -> dict[str, TableVariable]:
    """The variables of a codebook according to the provenance of its label columns; none without a codebook."""
    sampled = {name: human for record in records for name, human in (record.get("variables") or {}).items()}
    variables = {}
    for record in records:
        codebook = record.get("codebook")
        if codebook is not None:
            name = str(record["column"])
            ask_if = codebook.get("ask_if")
            condition = None if ask_if is None else Condition(ask_if["variable"], tuple(ask_if["is"]))
            human = sampled.get(name) or record.get("human") or f"{name}_human"
            variables[name] = TableVariable(name, human, record.get("kind"), condition=condition)
    return variables


def label_variables(dataset: Any) -> dict[str, tuple[str, str]]:
    """The column of LLM labels and that of human labels by variable, from the provenance of the label columns.

    A variable has the name of its column of LLM labels. Columns without recorded human labels are left out.

    Args:
        dataset: a `Dataset`, or a `DatasetDict`, of which the first split is read.
    """
    rows = next(iter(dataset.values())) if isinstance(dataset, dict) else dataset
    columns = set(rows.column_names or ())
    records = provenance(rows)
    variables = {}
    for record in records:
        # The record of a sample names the labels that it was drawn by.
        llm = record.get("llm") or record["column"]
        if {llm, record.get("human")} <= columns:
            variables[llm] = (llm, record["human"])
    for name, variable in recorded_variables(records).items():
        if {name, variable.human} <= columns:
            variables[name] = (name, variable.human)
    return variables


def parse_variables(options: Iterable[str]) -> tuple[str | None, dict[str, tuple[str, str]]]:
    """A single name, and the variables of options such as `bias=llm_bias:human_bias`.

    Raises:
        ConfigError: an option has neither form, or a name occurs twice.
    """
    chosen: str | None = None
    variables: dict[str, tuple[str, str]] = {}
    for option in options:
        name, is_pair, columns = option.partition("=")
        if not is_pair and name.strip() and chosen is None:
            chosen = name.strip()
            continue
        llm, _, human = columns.partition(":")
        if not (name.strip() and llm.strip() and human.strip()):
            raise ConfigError(f"`--variable` is {option!r}: give one name, or name=llm_column:human_column.")
        if name.strip() in variables:
            raise ConfigError(f"`--variable` names {name.strip()!r} twice: give each variable once.")
        variables[name.strip()] = (llm.strip(), human.strip())
    return chosen, variables
