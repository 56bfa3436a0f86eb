"""Study files of annotators."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.studies.config_sections import Changes, RowSelection, StudyFile
from hf_synthlabels.studies.tasks.recipes import changed_recipe, check_same_labels, recipe_file


class AnnotatorStudy(StudyFile):
    """One recipe asked in several ways. A YAML file with `name`, `recipe` and `annotators`."""

    KEYS: ClassVar[str] = "`name`, `recipe` and `annotators`"

    name: str
    recipe: str
    """A recipe file, relative to the study's, or a packaged recipe's name."""
    annotators: dict[str, Changes] = Field(min_length=2)
    """By their names, what each changes of the recipe's `task` and `annotator`; the first is the baseline."""
    rows: RowSelection = RowSelection()
    human_rows: int = Field(default=250, ge=1)
    """Human-labelled rows, drawn at random, that each annotator labels."""
    seed: int = 0
    """Of the drawing."""
    level: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=2000, ge=100)

    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each annotator.

        Raises:
            StudyError: a change is of another section, or changes what a label is.
            RecipeError: the recipe cannot be read, or a changed key is wrong.
        """
        file = recipe_file(self.recipe, self.folder)
        made: dict[str, Recipe] = {}
        for name, changes in self.annotators.items():
            made[name] = changed_recipe(file, changes, f"annotators.{name}")
        first, *others = made.items()
        for name, recipe in others:
            check_same_labels(recipe, first[1], f"annotators.{name}", repr(first[0]))
        return made
