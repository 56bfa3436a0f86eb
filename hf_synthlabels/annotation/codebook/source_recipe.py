"""What the source of a recipe or a codebook is read with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.source_config import FilePaths, Source
from hf_synthlabels.clients.config import ClientConfig


class SourceTask(Protocol):
    """The columns that a task shows."""

    @property
    def columns(self) -> list[str]:
        """The columns that hold what is to label."""

    def form(self) -> RowForm:
        """What of a row is shown."""


class SourceRecipe(Protocol):
    """A recipe with one variable or several."""

    @property
    def source(self) -> Source:
        """Where the rows come from."""

    @property
    def task(self) -> SourceTask:
        """What of a row is shown."""

    @property
    def annotator(self) -> AnnotatorConfig:
        """The annotator."""

    @property
    def variables(self) -> Mapping[str, Recipe]:
        """A recipe for each label column."""

    @property
    def paths(self) -> FilePaths:
        """Finds the files that the recipe names."""

    def client(self) -> ClientConfig:
        """The annotator's client, with located paths."""


def has_numbers(recipe: SourceRecipe) -> bool:
    """Whether a column of labels has numbers."""
    return any(variable.task.kind == "text-scale" for variable in recipe.variables.values())


def variable_sections(recipe: SourceRecipe) -> dict[str, Recipe]:
    """The recipe of each variable by the section that defines it, for errors."""
    if isinstance(recipe, Recipe):
        return {"task": recipe}
    return {f"task.variables.{name}": variable for name, variable in recipe.variables.items()}
