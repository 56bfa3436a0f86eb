"""Cells of a study: the product of its axes without impossible and excluded cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_synthlabels.labels import Kind
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import NO_PROMPT, Learner
from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.strategies import known_strategies

NAMED = ("text-classification", "text-pair")

REGRESSED = (*NAMED, "multi-label", "text-scale")
"""Kinds that a regression can learn."""


def planned_cells(study: Study, task: str, kind: Kind, rows: Mapping[str, int]) -> list[CellName]:
    """The cells of a task, seed by seed, so that what an interrupted study has done is whole comparisons.

    Args:
        study: its axes, `pairs` and `exclude`.
        task: one of its tasks.
        kind: of the task's labels.
        rows: by source the training rows that there are; a size that is not smaller is not trained, since `all` is.
    """
    found = []
    for seed in study.seeds:
        for source, student in itertools.product(study.task_sources(task), study.students):
            found += [
                CellName(task, source, size, prompt, student, strategy, n_human, seed)
                for prompt in _prompts(study, task, source)
                for strategy, n_human in _ways(study, task, source, student, kind)
                for size in _sizes(study, task, student, rows[source], seed)
            ]
    return [cell for cell in found if _wanted(study, cell)]


def learns(kind: Kind, learner: Learner, strategy: str) -> bool:
    """Whether a student of some sort can learn labels of a kind in this way."""
    way = known_strategies()[strategy]
    match learner:
        case "annotator":
            return way is None
        case "tfidf" | "vectors":
            return kind in REGRESSED and (way is None or strategy == "mix")
        case "encoder":
            return way is None or strategy == "mix" or kind in NAMED
        case "writer":
            return way is None or strategy == "mix"


def _prompts(study: Study, task: str, source: str) -> Sequence[str]:
    return tuple(study.prompts) if study.prompts and study.asks(task, source) else (NO_PROMPT,)


def _ways(study: Study, task: str, source: str, student: str, kind: Kind) -> Iterator[tuple[str, int]]:
    learner = study.learner(student)
    if learner == "annotator" and not _own_labels(study, task, source):
        return
    for strategy in study.strategies:
        way = known_strategies()[strategy]
        # Ways to learn from many LLM labels and a few human ones say nothing of human labels alone.
        if not learns(kind, learner, strategy) or (way is not None and not study.asks(task, source)):
            continue
        if way is None or not way.uses_human:
            yield strategy, 0
        else:
            yield from ((strategy, n_human) for n_human in study.n_human)


def _own_labels(study: Study, task: str, source: str) -> bool:
    """Whether a source labels any row by itself, test rows too."""
    keys = study.task_sources(task)[source]
    return keys.is_annotator or keys.votes is not None


def _sizes(study: Study, task: str, student: str, rows: int, seed: int) -> list[int | None]:
    if study.learner(student) == "annotator":
        # It does not learn, so there is one of it.
        return [None] if seed == study.seeds[0] else []
    sizes = [size for size in study.task_sizes(task) if size is None or size < rows]
    return [size for size in sizes if size != 0 or study.learner(student) == "writer"]


def _wanted(study: Study, cell: CellName) -> bool:
    if study.pairs and not any(_fits(cell, cells) for cells in study.pairs):
        return False
    return not any(_fits(cell, cells) for cells in study.exclude)


def _fits(cell: CellName, cells: Mapping[str, Any]) -> bool:
    return all(getattr(cell, axis) in _values(axis, value) for axis, value in cells.items())


def _values(axis: str, value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [None if axis == "size" and each == "all" else each for each in values]
