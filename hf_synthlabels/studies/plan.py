"""Planned cells and requests of a study, the index of finished cells, and the remaining time."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hf_synthlabels.annotation import Plan
from hf_synthlabels.annotation.planning.plan import plan_rows
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import NO_PROMPT, SourceKeys
from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.students.job import Job, Outcome, training_steps
from hf_synthlabels.studies.students.journal import CellFiles, cell_key
from hf_synthlabels.studies.tasks.recipes import annotator_recipes
from hf_synthlabels.studies.tasks.task import StudyTask, open_task

INDEX = "cells.json"


def cell_file_hash(task: StudyTask, cell: CellName) -> str:
    """A hash of all that a study file says of a cell: other sources and sizes of the study are no part of it."""
    study, keys = task.study, task.study.tasks[task.name]
    sources = study.task_sources(task.name)
    return cell_key(
        {
            "cell": asdict(cell),
            "sources": {
                name: sources[name].model_dump(mode="json") for name in sorted(_component_sources(cell.source, sources))
            },
            "prompt": study.prompts.get(cell.prompt),
            "student": study.students[cell.student],
            "max_length": keys.max_length,
            "recipe": task.recipe.fingerprint(),
            "texts": task.texts(cell),
            "evaluate_each_epoch": study.evaluate_each_epoch,
            "threads": study.threads,
        }
    )


def read_index(folder: Path) -> dict[str, str]:
    """By what the study file says of a cell the key of its file; nothing where there is none."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def keep_index(folder: Path, index: Mapping[str, str]) -> None:
    """Add cells to the index, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{INDEX}"
    scratch.write_text(json.dumps({**read_index(folder), **index}), encoding="utf-8")
    scratch.replace(folder / INDEX)


def _component_sources(source: str, sources: Mapping[str, SourceKeys]) -> set[str]:
    parts: Iterable[str] = sources[source].parts
    return {source}.union(*(_component_sources(part, sources) for part in parts))


class EtaEstimator:
    """Estimate of the time that the missing cells take, from finished cells of the same student.

    Cells that train an encoder are scaled by their optimizer steps: `min_steps` and epochs make the steps grow more
    slowly than the rows. The first cell of a regression on vectors encodes all texts, so its time counts separately
    until a second one is seen. A student of which no cell has finished counts as the mean cell.
    """

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._began = time.monotonic()
        self._left = {job.key: (self._kind(job.cell), self._work(job)) for job in jobs}
        self._once = {self._kind(job.cell) for job in jobs if job.learner == "vectors"}
        self._spent: dict[tuple[str, str], float] = defaultdict(float)
        self._rows: dict[tuple[str, str], int] = defaultdict(int)
        self._seen_rows: dict[tuple[str, str], int] = defaultdict(int)
        self._first: dict[tuple[str, str], float] = {}
        self._seen = 0
        self._workers = max(1, min(workers, len(jobs)))
        self._busy = 0.0

    def finished(self, outcome: Outcome) -> None:
        """Count a cell."""
        kind, rows = self._left.pop(outcome.key)
        now = time.monotonic()
        # Loading and evaluating count too: what passed since the last one, of all processes.
        passed = (now - self._began) * self._workers - self._busy
        self._busy += passed
        if kind in self._once and not self._rows[kind]:
            # Encoding is done for the cells to come; they take no longer than a later one will show.
            self._first[kind] = passed
        else:
            self._spent[kind] += passed
            self._seen_rows[kind] += rows
        self._rows[kind] += rows
        self._seen += 1

    def seconds(self) -> float:
        """That are left."""
        regular = self._seen - len(self._first)
        one = sum(self._spent.values()) / regular if regular else sum(self._first.values()) / max(1, self._seen)
        students: dict[str, list[float]] = defaultdict(list)
        rates = {kind: self._spent[kind] / rows for kind, rows in self._seen_rows.items() if rows}
        for (_, student), rate in rates.items():
            students[student].append(rate)
        # A task that no cell has been seen of is taken for one like the others, for the same student.
        known = {student: sum(found) / len(found) for student, found in students.items()}
        left = 0.0
        for kind, rows in self._left.values():
            per_row = rates.get(kind, known.get(kind[1]))
            left += one if per_row is None else per_row * rows
        return left / self._workers

    @staticmethod
    def _work(job: Job) -> int:
        if job.learner not in ("encoder", "writer"):
            return 1
        few = sum(label is not None for label in job.few or ())
        try:
            return max(1, sum(training_steps(job, job.nominal, few)))
        except ConfigError:
            return 1

    def __str__(self) -> str:
        if not self._left:
            return "nothing"
        seconds = max(1, round(self.seconds()))
        if seconds < 60:
            return f"{seconds} s"
        return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"

    @staticmethod
    def _kind(cell: CellName) -> tuple[str, str]:
        return cell.task, cell.student


def named(cell: CellName) -> str:
    """A cell in words."""
    size = "all rows" if cell.size is None else f"{cell.size:,} rows"
    parts = [cell.task, cell.source, "" if cell.prompt == "-" else cell.prompt, size, cell.student]
    parts += [] if cell.strategy == "plain" else [f"{cell.strategy} with {cell.n_human} human"]
    return ", ".join([part for part in parts if part] + [f"seed {cell.seed}"])


ASKED = "asked"
"""In the index, the place of an annotator's own labels: the response store holds them, so no file does."""


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell of a study, and whether it is there already."""

    cell: CellName
    done: bool
    asks: bool = False
    """Whether it is an annotator's own labels, which are asked for and never trained."""


@dataclass(frozen=True, slots=True)
class PlannedRequests:
    """What an annotator will be asked about some rows of a task."""

    name: str
    plan: Plan

    def __str__(self) -> str:
        plan = self.plan
        usd = "at an unknown price" if plan.likely_usd is None else f"about ${plan.likely_usd:,.4f}"
        return (
            f"{self.name}: {plan.rows:,} rows, {plan.requests - plan.stored:,} requests to {plan.model} "
            f"({plan.stored:,} answers are stored), {usd}"
        )


def plan_study(study: Study, folder: Path | None = None) -> list[PlannedCell]:
    """The cells of a study, and which of them an earlier run has left in the folder; trains and asks nothing.

    Raises:
        SynthLabelsError: as `run_study` says of files and rows.
    """
    with tempfile.TemporaryDirectory(prefix="synthlabels-plan-") as scratch:
        tasks = [open_task(study, name, Path(scratch), lambda _: None) for name in study.tasks]
        files, index = CellFiles(folder), {} if folder is None else read_index(folder)
        there = files.keys()
        return [
            PlannedCell(
                cell,
                index.get(cell_file_hash(task, cell)) in there | {ASKED},
                study.learner(cell.student) == "annotator",
            )
            for task in tasks
            for cell in task.cells
        ]


def plan_requests(study: Study) -> list[PlannedRequests]:
    """What every annotator that is paid for will be asked, part by part; asks and trains nothing.

    Raises:
        SynthLabelsError: as `run_study` says of files and rows.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="synthlabels-plan-") as scratch:
        for name in study.tasks:
            every = annotator_recipes(study, name).items()
            recipes = {pair: recipe for pair, recipe in every if recipe.annotator.client.kind == "openai"}
            if not recipes:
                continue
            task = open_task(study, name, Path(scratch), lambda _: None)
            wanted = {(cell.source, cell.prompt) for cell in task.cells}
            parts = {"training rows": task.parts.train.select(task.pool), "test rows": task.parts.test}
            for (source, prompt), recipe in recipes.items():
                labels = source if prompt == NO_PROMPT else f"{source}/{prompt}"
                if (source, prompt) in wanted:
                    found += [
                        PlannedRequests(f"{labels}, {name}, {part}", plan_rows(recipe.codebook or recipe, rows))
                        for part, rows in parts.items()
                        if len(rows)
                    ]
    return found
