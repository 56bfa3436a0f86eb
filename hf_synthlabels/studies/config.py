"""The study file: tasks, label sources, prompts, sizes, students, strategies and seeds."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Gate
from hf_synthlabels.studies.config_sections import (
    AXES,
    BaseMix,
    Cells,
    Changes,
    CostKeys,
    EstimateKeys,
    Learner,
    Reference,
    SourceKeys,
    StudyFile,
    TaskKeys,
    _sizes,
)
from hf_synthlabels.studies.strategies import known_strategies


class Study(StudyFile):
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
    """Human labels that strategies see besides the source's labels."""
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
    gate: str | None = None
    """What the labels of every annotator must reach, such as `macro_f1>=0.7`, on the human labels of the first source
    with `rows`, or on all human labels of the training rows."""
    estimate: EstimateKeys | None = None
    """What is estimated under every annotator and prompt, from all rows and the human labels of the test rows."""
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
        # `human:` and `random:` need no value.
        own = ("human", "random")
        return (
            {k: k if v is None and k in own else v for k, v in sources.items()}
            if isinstance(sources, dict)
            else sources
        )

    @field_validator("gate")
    @classmethod
    def _readable(cls, gate: str | None) -> str | None:
        try:
            return None if gate is None else str(Gate.parse(gate))
        except ConfigError as error:
            raise ValueError(str(error)) from None

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
        if self.base is None and any(0 in self.task_sizes(task) for task in self.tasks):
            raise ValueError("`sizes` has 0, which needs a `base` to train on. Add one, or remove the 0.")
        return self

    @model_validator(mode="after")
    def _known_cells(self) -> Self:
        sources = {source for task in self.tasks for source in self.task_sources(task)}
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
        sources = self.task_sources(task)
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

    def task_sources(self, task: str) -> dict[str, SourceKeys]:
        """The label sources of a task."""
        return {**self.sources, **self.tasks[task].sources}

    def task_sizes(self, task: str) -> list[int | None]:
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

    @property
    def trains(self) -> bool:
        """Whether there are training rows: for a student, or for an estimate, which chooses a variant on them."""
        return self.estimate is not None or any(self.learner(student) != "annotator" for student in self.students)

    def asks(self, task: str, source: str) -> bool:
        """Whether a source has labels of an annotator, so that it depends on the prompt."""
        keys = self.task_sources(task)[source]
        return keys.is_annotator or any(self.asks(task, part) for part in keys.parts)
