"""The keys of a recipe with several variables."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation.codebook.groups import Condition
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.prompting.stated_confidence import Elicitation
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.annotation.recipe.recipe import Output
from hf_synthlabels.annotation.recipe.source_config import Source
from hf_synthlabels.annotation.recipe.task import AGGREGATES, Order, Rule, ScaleKeys, TextLimits
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.labels import Kind

RESERVED_NAMES = ("row", "label", "labels", "reasoning", "variable", "variables")

COLUMN_SUFFIXES = (
    *("status", "confidence", "raw", "note", "probs", "tags", "expected", "reasoning"),
    *("annotator", "agreement"),
)


class ConditionKeys(StrictModel):
    """The variable, and its labels, on which another variable depends."""

    variable: str
    labels: list[str] = Field(alias="is", min_length=1)


class Variable(StrictModel):
    """One variable of a codebook."""

    kind: Kind
    labels: dict[str, str | None] | list[str] = Field(default_factory=list)
    scale: ScaleKeys | None = None
    instructions: str = ""
    guidelines: str = ""
    guidelines_file: str | None = None
    abstain: bool = False
    human: str | None = None
    """The column with human labels, where there are some."""
    reasoning: bool = False
    ask_if: ConditionKeys | None = None
    """Code the variable only in rows in which another variable has one of these labels."""
    aggregate: Rule | None = None
    """How the labels of the parts of a long text become one, instead of the rule of the kind."""


class LongTexts(TextLimits):
    """How the variables of texts that are longer than a limit are labeled."""

    aggregate: Literal["default"] | dict[Kind, Rule] | None = None
    """How the labels of parts become one, by kind; kinds that are not named have their default rule."""

    def rule(self, variable: Variable) -> str | None:
        """The rule of a variable; None if it gets no label in a longer text."""
        if variable.aggregate is not None or self.aggregate is None:
            return variable.aggregate
        rules = {} if self.aggregate == "default" else self.aggregate
        return rules.get(variable.kind) or next(iter(AGGREGATES.get(variable.kind, ())), None)


class CodebookTask(StrictModel):
    """The `task` section of a recipe with several variables."""

    text: str | list[str] = "text"
    tokens: str | None = None
    instructions: str = ""
    """What the whole codebook is about."""
    variables: dict[str, Variable] = Field(min_length=1)
    group: Literal["joint", "separate"] | int = "joint"
    """How many variables share a request."""
    variable_order: Order = "fixed"
    label_order: Order = "fixed"
    confidence: Elicitation | None = None
    """Whether the annotator states its confidence in each value."""
    seed: int = 0
    """Seed of shuffled orders."""
    long_text: LongTexts | None = None
    """How texts that are longer than a limit are labeled; by default like all others."""

    @field_validator("group")
    @classmethod
    def _positive(cls, group: str | int) -> str | int:
        if isinstance(group, int) and group < 1:
            raise ValueError(f"is {group}. Use joint, separate, or a number of variables from 1.")
        return group

    @field_validator("variables")
    @classmethod
    def _names(cls, variables: dict[str, Variable]) -> dict[str, Variable]:
        for name in variables:
            if not re.fullmatch(r"[A-Za-z]\w*", name) or name.casefold() in RESERVED_NAMES:
                raise ValueError(
                    f"has the name {name!r}. Use letters, digits and '_', and none of: {', '.join(RESERVED_NAMES)}."
                )
            for suffix in COLUMN_SUFFIXES:
                if f"{name}_{suffix}" in variables:
                    raise ValueError(
                        f"has {name!r} and {f'{name}_{suffix}'!r}, which is also an output column of the first. "
                        "Rename one."
                    )
        folded = [name.casefold() for name in variables]
        if repeated := [name for name in variables if folded.count(name.casefold()) > 1]:
            raise ValueError(f"has names that differ only in case: {', '.join(repeated)}. Rename one.")
        return variables

    @model_validator(mode="after")
    def _rules(self) -> Self:
        kinds = {variable.kind for variable in self.variables.values()}
        rules = None if self.long_text is None else self.long_text.aggregate
        if isinstance(rules, dict) and (unused := [kind for kind in rules if kind not in kinds]):
            raise ValueError(
                f"`task.long_text.aggregate` has {unused[0]!r}, which is the kind of no variable. Use: "
                f"{', '.join(sorted(kinds))}."
            )
        own = next((name for name, variable in self.variables.items() if variable.aggregate is not None), None)
        if own is not None and self.long_text is None:
            raise ValueError(
                f"`task.variables.{own}.aggregate` needs `task.long_text`, which says how long a text may be. Add it."
            )
        if "text-pair" in kinds and (rules is not None or own is not None):
            raise ValueError(
                "`task.long_text.aggregate` splits a text, but a variable of kind 'text-pair' compares two. Remove it."
            )
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that hold the text."""
        if self.tokens is not None:
            return [self.tokens]
        return [self.text] if isinstance(self.text, str) else list(self.text)

    def form(self) -> RowForm:
        """The parts of a row that are shown for all variables."""
        is_pair = any(variable.kind == "text-pair" for variable in self.variables.values())
        return RowForm(tuple(self.columns), is_pair, self.tokens)


class CodebookKeys(StrictModel):
    """The keys of a recipe with several variables."""

    name: str
    source: Source
    task: CodebookTask
    annotator: AnnotatorConfig
    output: Output = Output()
    engine: Engine = Engine()


def conditions_of(task: CodebookTask) -> dict[str, Condition | None]:
    """The condition of each variable."""
    return {
        name: None if variable.ask_if is None else Condition(variable.ask_if.variable, tuple(variable.ask_if.labels))
        for name, variable in task.variables.items()
    }
