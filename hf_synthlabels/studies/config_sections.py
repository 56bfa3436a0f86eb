"""Sections of a study file: rows, label sources, tasks and costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from hf_synthlabels.annotation.recipe.strict_yaml import config_folder, read_yaml, validated
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import StudyError


class StudyFile(StrictModel):
    """A study read from a YAML file; paths are relative to the file."""

    KEYS: ClassVar[str]
    """The keys that a file of this kind has at least, as an error says them."""

    folder: Path | None = Field(default=None, exclude=True)
    """Of the file."""

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a study file.

        Raises:
            StudyError: the file is not there, is not YAML, or a key is missing, unknown or wrong.
        """
        file = Path(path)
        content = read_yaml(file, "study", StudyError)
        if not isinstance(content, dict):
            raise StudyError(f"{path}: a study is a mapping with {cls.KEYS}.")
        return cls.from_dict(content, folder=Path(config_folder(file)), where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, folder: Path | None = None, where: str = "study") -> Self:
        """A study from plain values.

        Args:
            content: the keys of the file.
            folder: where what it names is looked for.
            where: how errors name it.

        Raises:
            StudyError: a key is missing, unknown or wrong.
        """
        return validated(cls, {**content, "folder": folder}, where, StudyError)


class RowSelection(StrictModel):
    """Some rows of the annotated data set."""

    split: str = "train"
    where: dict[str, str | int | bool] = Field(default_factory=dict)
    """Columns and the value that they must have."""


class Reference(StrictModel):
    """A published number to show in the report."""

    what: str
    value: float
    source: str


Changes = dict[str, dict[str, Any]]
"""Keys of a recipe's `task` and `annotator`, by section."""

AXES = ("task", "source", "size", "prompt", "student", "strategy", "n_human", "seed")
"""The axes of a study, as `pairs` and `exclude` name them."""

NO_PROMPT = "-"

ALL = "all"
"""How a file may write the size that is all rows; null says the same."""

Learner = Literal["encoder", "writer", "tfidf", "vectors", "annotator"]
"""What a student is: trained with a head for the labels, trained to write them, a regression on counted words or on an
encoder's vectors, or the annotator."""


class Part(RowSelection):
    """Some rows: a selection, or some of it drawn at random; a bare number is a number of rows."""

    rows: PositiveInt | None = None
    """How many are drawn, of those with a human label; without it all of the selection."""
    share: float | None = Field(default=None, gt=0, lt=1)
    """Alternative to `rows`: the proportion of rows with a human label."""

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, keys: Any) -> Any:
        if isinstance(keys, bool):
            return keys
        if isinstance(keys, int):
            return {"rows": keys}
        return {"share": keys} if isinstance(keys, float) else keys

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.rows is not None and self.share is not None:
            raise ValueError(f"has `rows` {self.rows} and `share` {self.share}. Give one of them.")
        return self


class SourceKeys(StrictModel):
    """Where labels come from. `human` and `random` alone, and nothing at all for the recipe's own annotator."""

    labels: Literal["annotator", "human", "random"] = "annotator"
    recipe: str | None = None
    """Another recipe for the same labels instead of the task's."""
    task: dict[str, Any] = Field(default_factory=dict)
    annotator: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's sections."""
    rows: PositiveInt | None = None
    """Of `labels: human`, how many rows have a label, the same for all seeds: those that the LLM labels are validated
    on."""
    shares: dict[str, float] | None = None
    """A mixture: how much of it has the labels of which source."""
    votes: list[str] | None = Field(default=None, min_length=2)
    """Sources that vote on each row; how many agree is the confidence."""
    of: str | None = None
    at_least: float | None = Field(default=None, gt=0, le=1)
    """The rows of the source `of` whose confidence is at least so high; name it `<source>@<threshold>`."""
    first: str | None = None
    then: str | None = None
    at: NonNegativeInt | None = None
    """The first so many rows have the labels of `first`, all further ones those of `then`."""

    @model_validator(mode="before")
    @classmethod
    def _word_alone(cls, keys: Any) -> Any:
        if keys is None:
            return {}
        return {"labels": keys} if isinstance(keys, str) else keys

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        made = [self.shares is not None, self.votes is not None, self.of is not None, self.first is not None]
        told = bool(self.recipe or self.task or self.annotator)
        if sum(made) > 1 or (any(made) and (told or self.labels != "annotator")):
            raise ValueError(
                "is several things at once. Give `shares`, `votes`, `of` or `first`, or keys of an annotator."
            )
        if told and self.labels != "annotator":
            raise ValueError(f"has `labels: {self.labels}` and keys of an annotator. Remove one of them.")
        if self.rows is not None and self.labels != "human":
            raise ValueError(f"has `rows` {self.rows} and no `labels: human`. Remove `rows`, or add that.")
        if (self.of is None) != (self.at_least is None):
            raise ValueError("needs `of`, a source, and `at_least`, a share, together.")
        if (self.first is None, self.then is None) != (self.at is None,) * 2:
            raise ValueError("needs `first`, `then` and `at` together.")
        if self.shares is not None and (not self.shares or min(self.shares.values()) <= 0):
            raise ValueError(f"has `shares` {self.shares!r}. Give each source a number above 0.")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The sources that it is made of."""
        given = [*(self.shares or ()), *(self.votes or ()), self.of, self.first, self.then]
        return tuple(name for name in given if name is not None)

    @property
    def is_annotator(self) -> bool:
        """Whether it is a recipe's annotator, asked by itself."""
        return self.labels == "annotator" and not self.parts


class TaskKeys(StrictModel):
    """A task: a recipe, which names kind, labels, texts and human column, and its rows."""

    recipe: str
    variable: str | None = None
    """Which variable of a recipe with several; its labels come from the requests that `task.group` makes."""
    train: Part = Part()
    test: Part
    """Rows with human labels that every student is tested on; they train none."""
    validation: Part | None = None
    """Further rows that train none: students with `load_best_model_at_end` choose their epoch on them."""
    drop_shared: bool = True
    """Whether to leave out training rows whose text is also among the test or validation rows; the report counts
    them."""
    sources: dict[str, SourceKeys] = Field(default_factory=dict)
    """Sources of this task, which extend or override the study's."""
    sizes: list[NonNegativeInt | None] | None = None
    """Overrides the study's."""
    max_length: PositiveInt | None = None
    """Overrides the students', for texts of another length."""
    sha256: dict[str, str] = Field(default_factory=dict)
    """By split the checksum of the recipe's data file, so that a local copy is known to be the published one."""

    @field_validator("sizes", mode="before")
    @classmethod
    def _all(cls, sizes: Any) -> Any:
        return _sizes(sizes)


class EstimateKeys(StrictModel):
    """What is estimated from the labels of every annotator and prompt: keys as the options of `estimate`."""

    quantity: list[str] = Field(default_factory=list)
    against: float | None = None
    groups: str | None = None
    formula: str | None = None
    positive: str | None = None
    family: Literal["linear", "logistic"] | None = None
    clusters: str | None = None
    estimator: Literal["ppi", "dsl"] = "ppi"

    @field_validator("quantity", mode="before")
    @classmethod
    def _as_list(cls, quantity: Any) -> Any:
        return [quantity] if isinstance(quantity, str) else quantity


class BaseMix(StrictModel):
    """Instruction mix that generative students are trained on besides the task."""

    recipe: str
    """Of kind text-generation: its texts are the instruction, its human column the answer."""
    split: str = "train"
    rows: PositiveInt | None = None
    """Drawn at random; without it all but the held-out ones."""
    held_out: PositiveInt = 50
    """Rows on which it is seen what is forgotten."""


class CostKeys(StrictModel):
    """What one label of a source takes."""

    usd: float | None = Field(default=None, ge=0)
    s: float | None = Field(default=None, ge=0)


Cells = dict[str, Any]
"""Values of some axes: a value, or a list of those that are meant."""


def _sizes(sizes: Any) -> Any:
    return [None if size == ALL else size for size in sizes] if isinstance(sizes, list) else sizes
