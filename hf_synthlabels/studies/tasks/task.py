"""A task of a study: its rows, label sources and jobs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.annotation import Recipe, load_source
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import NO_PROMPT
from hf_synthlabels.studies.runs import MAX_UNREQUESTED, CellName
from hf_synthlabels.studies.strategies import known_strategies
from hf_synthlabels.studies.students.job import Job, Outcome, job_key
from hf_synthlabels.studies.students.writing import instruction_text
from hf_synthlabels.studies.tasks.annotator_costs import request_summary
from hf_synthlabels.studies.tasks.conditions import planned_cells
from hf_synthlabels.studies.tasks.label_agreement import label_agreement
from hf_synthlabels.studies.tasks.label_sources import Labels, LabelStore, asked, source_labels
from hf_synthlabels.studies.tasks.recipes import annotator_recipes, task_recipe
from hf_synthlabels.studies.tasks.rows import SAMPLE_SEED, HumanValues, draw_rows, human_values
from hf_synthlabels.studies.tasks.splits import Parts, check_sums, split_rows, training_order
from hf_synthlabels.studies.tasks.training_tables import _share, _tables

TRAINING, TESTING = "training rows", "test rows"

SHOWN = 1_000
"""Characters of a test row that a report may show."""


@dataclass(slots=True, eq=False)
class StudyTask:
    """A task of a study with its rows; annotators run when a job first needs their labels."""

    study: Study
    name: str
    recipe: Recipe
    schema: LabelSchema
    parts: Parts
    pool: NDArray[np.int64]
    """The training rows that some cell can use, as positions in `parts.train`; no annotator labels the others."""
    orders: Mapping[int, NDArray[np.int64]]
    """By seed the order in which they are taken, as positions in the pool."""
    human: HumanValues
    """Of the pool."""
    truth: HumanValues
    """Of the test rows."""
    book: LabelStore
    """Labels of the pool."""
    test_book: LabelStore
    """Labels of the test rows."""
    counts: Mapping[str, int]
    """By source the training rows that it can be asked for."""
    drawn: Mapping[str, frozenset[int]]
    """By source with `rows` the rows that it labels, as positions in the pool."""
    place: Path
    """Where the tables are."""
    marks: tuple[str, ...]
    """A hash of each training row's texts: which other rows a study also draws says nothing of a cell."""
    others: str
    """A hash of the tables that all cells share: test rows, validation rows, the base mix."""
    folder: Path
    cells: list[CellName] = field(default_factory=list)

    def inputs(self) -> tuple[str, ...]:
        """The text of each test row, cut."""
        form = self.recipe.task.form()
        read = [form.read(row) for row in self.parts.test.select_columns(self.recipe.task.columns)]
        return tuple("" if text is None else text.text[:SHOWN] for text in read)

    def annotator(self, cell: CellName) -> Outcome:
        """The annotator's own labels as those of a student."""
        labels = self.test_book.labels(cell.source, cell.prompt)
        if labels.n_not_asked > MAX_UNREQUESTED * len(labels.values):
            raise DataError(
                f"`sources` {cell.source!r} was not asked about {labels.n_not_asked:,} of {len(labels.values):,} test "
                "rows, so its own score is unknown. Annotate them, or leave the student 'annotator' out."
            )
        return Outcome("", cell, labels.values, predict_s=(labels.seconds or 0.0) * len(labels.values))

    def job(self, cell: CellName) -> Job:
        """A cell, ready to be trained.

        Raises:
            DataError: a source has no labels or no confidence.
            SynthLabelsError: an annotator fails.
        """
        order = self.orders[cell.seed]
        labels = self.book.ordered(cell.source, cell.prompt, order.tolist(), cell.seed)
        first, few, size = self._taken(cell)
        way = known_strategies()[cell.strategy]
        needs = None if way is None else way.needs
        values = dict(zip(order.tolist(), zip(*_columns(labels), strict=True), strict=True))
        rows = sorted(first | few)
        picked = [values[row] if row in first else (None, None, None) for row in rows]
        content = {
            "labels": [value for value, _, _ in picked],
            "few": [self.human.labels[row] if row in few else None for row in rows] if few else None,
            "probs": [probs for _, probs, _ in picked] if needs == "probs" and labels.probs else None,
            "confidence": [sure for *_, sure in picked] if needs == "confidence" and labels.confidence else None,
        }
        return self._made(cell, rows, content, size)

    def texts(self, cell: CellName) -> str:
        """Hash of a cell's training rows and tables; known before any annotator runs."""
        first, few, size = self._taken(cell)
        read = [[(self.marks[row], self.human.labels[row]) for row in sorted(rows)] for rows in (first, few)]
        return _digest([read, size, self.others])

    def _taken(self, cell: CellName) -> tuple[set[int], set[int], int]:
        """Rows with the source's labels, rows with additional human labels, and the size of the first."""
        order = self.orders[cell.seed]
        own = self._own(cell.source, order)
        size = len(own) if cell.size is None else cell.size
        way = known_strategies()[cell.strategy]
        known: list[int] = []
        if way is not None and way.uses_human:
            known = [row for row in order.tolist() if self.human.labels[row] is not None]
        return set(own[:size].tolist()), set(known[: cell.n_human]), size

    def _own(self, source: str, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that a size counts: those with a human label, or all rows of an annotator."""
        if source in self.drawn:
            return order[[row in self.drawn[source] for row in order.tolist()]]
        if not self.study.asks(self.name, source):
            return order[[self.human.labels[row] is not None for row in order.tolist()]]
        return order

    def _made(self, cell: CellName, rows: list[int], content: Mapping[str, Any], size: int) -> Job:
        given = self.study.students[cell.student]
        options = dict(given) if isinstance(given, dict) else {}
        learner = self.study.learner(cell.student)
        if (length := self.study.tasks[self.name].max_length) is not None and learner in ("encoder", "writer"):
            options["max_length"] = length
        way = known_strategies()[cell.strategy]
        prompt = instruction_text(self.recipe.task, self.schema) if learner == "writer" else ""
        whole = {
            **content,
            "rows": [self.marks[row] for row in rows],
            "kind": self.schema.kind,
            "names": self.schema.names,
            "scale": str(self.schema.scale),
            "learner": learner,
            "strategy": None if way is None else [dict(way.options), way.on_top, way.needs],
            "seed": cell.seed,
            "size": size,
            "prompt": prompt,
            "evaluate_each_epoch": self.study.evaluate_each_epoch and learner in ("encoder", "writer"),
            "threads": self.study.threads,
        }
        return Job(
            key=job_key(whole, self.others, options),
            cell=cell,
            schema=self.schema,
            learner=learner,
            form=self.recipe.task.form(),
            columns=_student_columns(self.recipe),
            rows=tuple(rows),
            labels=tuple(content["labels"]),
            few=None if content["few"] is None else tuple(content["few"]),
            probs=None if content["probs"] is None else tuple(content["probs"]),
            confidence=None if content["confidence"] is None else tuple(content["confidence"]),
            nominal=size,
            options=options,
            prompt=prompt,
            evaluate_each_epoch=bool(whole["evaluate_each_epoch"]),
            threads=self.study.threads,
            place=self.place,
            folder=self.folder,
        )


def open_task(study: Study, name: str, folder: Path, tell: Callable[[str], None]) -> StudyTask:
    """Read and split a task's rows, and write its texts where every worker finds them; asks no annotator.

    Raises:
        StudyError: a source changes what a label is.
        SynthLabelsError: the recipe or its rows cannot be read, or are too few.
    """
    keys = study.tasks[name]
    recipes = annotator_recipes(study, name)
    recipe = task_recipe(study, name)
    schema = recipe.schema_of_labels()
    splits = load_source(recipe)
    check_sums(name, keys.sha256, recipe)
    shown = {example.row_text(one.task.form()).text for one in recipes.values() for example in one.read_examples()}
    parts = split_rows(name, keys, recipe, splits, study.split_seed, shown=shown, trains=study.trains)
    people = human_values(parts.train, recipe).labels
    known = [label is not None for label in people]
    samples = _samples(study, name, people)
    pool = _pool(study, name, known, samples)
    chosen = parts.train.select(pool)
    human, truth = human_values(chosen, recipe), human_values(parts.test, recipe)
    placed = np.full(len(known), -1)
    placed[pool] = np.arange(len(pool))
    orders = {seed: placed[order[placed[order] >= 0]] for seed, order in _orders(known, study.seeds)}
    counts = {source: len(known) if study.asks(name, source) else sum(known) for source in study.task_sources(name)}
    counts |= {source: len(rows) for source, rows in samples.items()}
    drawn = {source: frozenset(placed[rows].tolist()) for source, rows in samples.items()}
    validation = sorted(next(iter(drawn.values()))) if drawn else list(range(len(pool))) if study.gate else []
    tables = _tables(study, recipe, parts, chosen)
    marks = tuple(_digest(list(row.values())) for row in tables["pool"])
    others = _digest({part: rows.to_dict() for part, rows in tables.items() if part != "pool"})
    place = _share(tables, _digest([marks, others]), folder)

    def dealt(seed: int) -> list[Any]:
        labels = source_labels(people, training_order(known, seed).tolist(), seed)
        return [labels[row] for row in pool.tolist()]

    def book(rows: Dataset, labels: HumanValues, part: str, random: Callable[[int], list[Any]] | None) -> LabelStore:
        checked = validation if part == TRAINING else None
        asks = {
            pair: partial(_ask, study, pair, rows, one, f"{name}, {part}", checked, tell, folder)
            for pair, one in recipes.items()
        }
        return LabelStore(study, name, schema, labels.labels, asks, random)

    return StudyTask(
        study, name, recipe, schema, parts, pool, orders, human, truth,
        book(chosen, human, TRAINING, dealt), book(parts.test, truth, TESTING, None), counts, drawn, place, marks,
        others, folder, planned_cells(study, name, schema.kind, counts),
    )  # fmt: skip


def _ask(
    study: Study,
    pair: tuple[str, str],
    rows: Dataset,
    recipe: Recipe,
    where: str,
    validation: Sequence[int] | None,
    tell: Callable[[str], None],
    folder: Path,
) -> Labels:
    if not len(rows):
        return Labels(())
    source, prompt = pair
    name = source if prompt == NO_PROMPT else f"{source}/{prompt}"
    if recipe.annotator.client.kind != "recorded":
        tell(f"labels of {name!r}: {where}, {len(rows):,}")
    check = partial(label_agreement, recipe=recipe, study=study, validation=validation)
    began = time.monotonic()
    labels = asked(rows, recipe, study.costs.get(source), part=f"{name}: {where}", folder=folder, check=check)
    if recipe.annotator.client.kind != "recorded":
        tell(f"labels of {name!r}: {where}, {request_summary(labels.statuses, len(rows), time.monotonic() - began)}")
    return labels


def _orders(known: Sequence[bool], seeds: Iterable[int]) -> list[tuple[int, Any]]:
    return [(seed, training_order(known, seed)) for seed in seeds]


def _samples(study: Study, name: str, people: Sequence[Any]) -> dict[str, list[int]]:
    """By source with `rows` its rows, as positions in the training rows."""
    return {
        source: draw_rows(people, keys.rows, SAMPLE_SEED)
        for source, keys in study.task_sources(name).items()
        if keys.rows is not None
    }


def _pool(study: Study, name: str, known: Sequence[bool], samples: Mapping[str, list[int]]) -> Any:
    """The rows that some seed and size take, and those of sampled sources; all of them where a size is all."""
    sizes = study.task_sizes(name)
    if None in sizes or study.estimate is not None:
        return np.arange(len(known))
    most = max([size or 0 for size in sizes] + study.n_human)
    taken = [order[:most] for _, order in _orders(known, study.seeds)]
    return np.unique(np.concatenate([*taken, *(np.array(rows, dtype=np.int64) for rows in samples.values())]))


def _columns(labels: Labels) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    nothing = (None,) * len(labels.values)
    return labels.values, labels.probs or nothing, labels.confidence or nothing


def _student_columns(recipe: Recipe) -> tuple[str, ...]:
    """A student reads a question before its context."""
    task = recipe.task
    if task.question is not None and task.context is not None:
        return (task.question, task.context)
    return tuple(task.columns)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:20]
