"""SweepStudy: tasks, label sources, sizes, prompts, students, strategies and seeds, of which every cell is trained."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from hf_synthlabels.annotation import Engine, StrictModel
from hf_synthlabels.studies.strategies import STRATEGIES, Strategy
from hf_synthlabels.studies.study import Changes, Reference, RowSelection
from hf_synthlabels.studies.study_file import StudyFile

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
    """In place of `rows`: which share of those with a human label."""

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
    """Another recipe for the same labels, in place of the task's."""
    task: dict[str, Any] = Field(default_factory=dict)
    annotator: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's sections."""
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
    train: Part = Part()
    test: Part
    """Rows with human labels that every student is tested on; they train none."""
    validation: Part | None = None
    """Further rows that train none: students with `load_best_model_at_end` choose their epoch on them."""
    drop_shared: bool = True
    """Whether to leave out training rows whose text is also among the test or validation rows; the report counts
    them."""
    sources: dict[str, SourceKeys] = Field(default_factory=dict)
    """Of this task alone, beside the study's or in place of them."""
    sizes: list[NonNegativeInt | None] | None = None
    """In place of the study's."""
    max_length: PositiveInt | None = None
    """In place of the students', for texts of another length."""
    sha256: dict[str, str] = Field(default_factory=dict)
    """By split the checksum of the recipe's data file, so that a local copy is known to be the published one."""

    @field_validator("sizes", mode="before")
    @classmethod
    def _all(cls, sizes: Any) -> Any:
        return _sizes(sizes)


class BaseMix(StrictModel):
    """Instructions and their answers that students who write are trained on beside the task."""

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


class SweepStudy(StudyFile):
    """Tasks × label sources × prompts × sizes × students × strategies × seeds. A YAML file with `tasks`."""

    KEYS: ClassVar[str] = "`name`, `tasks`, `sources` and `students`"

    name: str
    tasks: dict[str, TaskKeys] = Field(min_length=1)
    sources: dict[str, SourceKeys] = Field(
        default_factory=lambda: {"human": SourceKeys(labels="human"), "llm": SourceKeys()}
    )
    prompts: dict[str, Changes] = Field(default_factory=dict)
    """Ways to ask every annotator, each what it changes of the recipe's `task` and `annotator`."""
    sizes: list[NonNegativeInt | None] = Field(default=[None], min_length=1)
    """Training rows; null or `all` is all that there are. A size's rows contain those of smaller ones."""
    students: dict[str, str | dict[str, Any]] = Field(min_length=1)
    """The keys of StudentConfig; `features: <encoder>` for a regression on its vectors; `tfidf` for one on counted
    words; or `annotator`: the annotator's own labels of the test rows."""
    strategies: list[str] = Field(default=["plain"], min_length=1)
    n_human: list[PositiveInt] = Field(default=[250], min_length=1)
    """Human labels that strategies see beside the source's."""
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    pairs: list[Cells] = Field(default_factory=list)
    """Where there are some, only cells that fit one of them are trained."""
    exclude: list[Cells] = Field(default_factory=list)
    """Cells that fit one of them are not trained."""
    evaluate_each_epoch: bool = False
    """Whether every student answers after each epoch too."""
    base: BaseMix | None = None
    costs: dict[str, CostKeys] = Field(default_factory=dict)
    """By source, `human` among them."""
    split_seed: int = 0
    """Which rows are drawn to test and to validate on."""
    margin: float = Field(default=0.02, ge=0)
    """The loss of score that counts as none."""
    level: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=2000, ge=100)
    references: list[Reference] = Field(default_factory=list)
    workers: PositiveInt = 1
    """Cells side by side."""
    threads: PositiveInt = 1
    """Of one cell on the processor; results depend on it in their last digits."""
    engine: Engine = Engine()

    @field_validator("sizes", mode="before")
    @classmethod
    def _all(cls, sizes: Any) -> Any:
        return _sizes(sizes)

    @field_validator("sources", mode="before")
    @classmethod
    def _by_name(cls, sources: Any) -> Any:
        # `human:` and `random:` need no word beside their names.
        own = ("human", "random")
        return (
            {k: k if v is None and k in own else v for k, v in sources.items()}
            if isinstance(sources, dict)
            else sources
        )

    @field_validator("sizes", "seeds", "strategies", "n_human")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) != len(values):
            raise ValueError(f"is {values!r}. Give each value once.")
        return values

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        for strategy in self.strategies:
            if strategy not in known_strategies():
                raise ValueError(f"`strategies` names {strategy!r}. There are: {', '.join(known_strategies())}.")
        for name, student in self.students.items():
            if isinstance(student, str) and student not in ("tfidf", "annotator"):
                raise ValueError(f"`students.{name}` is {student!r}. Write keys of a student, 'tfidf', or 'annotator'.")
            if isinstance(student, dict) and "features" in student:
                if len(student) > 1:
                    raise ValueError(f"`students.{name}` has `features` and other keys. Remove those, or `features`.")
            elif isinstance(student, dict) and not student.get("model"):
                raise ValueError(f"`students.{name}` has no `model`. Name the model that it starts from.")
        for task in self.tasks:
            self._check_sources(task)
        if self.base is None and any(0 in self.sizes_of(task) for task in self.tasks):
            raise ValueError("`sizes` has 0, which needs a `base` to train on. Add one, or remove the 0.")
        return self

    @model_validator(mode="after")
    def _known_cells(self) -> Self:
        sources = {source for task in self.tasks for source in self.sources_of(task)}
        known = {"task": self.tasks, "source": sources, "student": self.students, "strategy": self.strategies}
        for field in ("pairs", "exclude"):
            for cells in getattr(self, field):
                for axis, value in cells.items():
                    if axis not in AXES:
                        raise ValueError(f"`{field}` names {axis!r}. The axes are: {', '.join(AXES)}.")
                    values = value if isinstance(value, list) else [value]
                    if unknown := [each for each in values if axis in known and each not in known[axis]]:
                        raise ValueError(
                            f"`{field}` has the {axis} {unknown[0]!r}. There are: {', '.join(sorted(known[axis]))}."
                        )
        return self

    def _check_sources(self, task: str) -> None:
        sources = self.sources_of(task)
        for name, keys in sources.items():
            for part in keys.parts:
                if part not in sources:
                    raise ValueError(f"`sources.{name}` names {part!r}. There are: {', '.join(sources)}.")
                made = sources[part]
                if keys.votes is not None and not made.is_annotator:
                    raise ValueError(f"`sources.{name}` lets {part!r} vote, which is no annotator. Name annotators.")
                if keys.of is not None and not (made.is_annotator or made.votes is not None):
                    raise ValueError(
                        f"`sources.{name}` is of {part!r}, which has no confidence. Name annotators or votes."
                    )
                if made.shares is not None or made.first is not None:
                    raise ValueError(f"`sources.{name}` is made of {part!r}, which is a mixture. Name what that is of.")

    def sources_of(self, task: str) -> dict[str, SourceKeys]:
        """The label sources of a task."""
        return {**self.sources, **self.tasks[task].sources}

    def sizes_of(self, task: str) -> list[int | None]:
        """The training sizes of a task, ascending."""
        sizes = self.sizes if self.tasks[task].sizes is None else self.tasks[task].sizes
        return sorted(sizes or [None], key=lambda size: (size is None, size or 0))

    def learner(self, student: str) -> Learner:
        """What a student is."""
        given = self.students[student]
        if isinstance(given, dict) and "features" in given:
            return "vectors"
        if isinstance(given, dict):
            return "writer" if given.get("task") == "text-generation" else "encoder"
        return "tfidf" if given == "tfidf" else "annotator"

    def asks(self, task: str, source: str) -> bool:
        """Whether a source has labels of an annotator, so that it depends on the prompt."""
        keys = self.sources_of(task)[source]
        return keys.is_annotator or any(self.asks(task, part) for part in keys.parts)


def known_strategies() -> dict[str, Strategy | None]:
    """By name the ways to learn that a study can compare; `plain` is none: the source's labels alone."""
    others = {each.name: each for each in STRATEGIES if each.labels == "both" or each.needs is not None}
    return {"plain": None, **others}


def _sizes(sizes: Any) -> Any:
    return [None if size == ALL else size for size in sizes] if isinstance(sizes, list) else sizes
