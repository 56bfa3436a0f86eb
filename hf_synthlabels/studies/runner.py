"""The runner of a study: trains the cells that its journal lacks and collects all predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import NO_PROMPT
from hf_synthlabels.studies.plan import ASKED, EtaEstimator, cell_file_hash, keep_index, named
from hf_synthlabels.studies.runs import CellName, StudyRuns, TaskRuns, keep_runs
from hf_synthlabels.studies.students.job import Job, Outcome, known_outcome
from hf_synthlabels.studies.students.journal import CellFiles, study_environment
from hf_synthlabels.studies.students.learning import check_options
from hf_synthlabels.studies.students.workers import run_jobs
from hf_synthlabels.studies.table import write_runs_table
from hf_synthlabels.studies.tasks.specification import check_estimate, estimated_variants
from hf_synthlabels.studies.tasks.task import StudyTask, open_task

Progress = Callable[[str], None]
JobEngine = Callable[[Sequence[Job], int], Iterable[Outcome]]
"""Trains jobs and yields their outcomes, which are in the journal by then; `run_jobs` is that of one machine."""


def run_study(
    study: Study,
    folder: Path,
    *,
    progress: Progress | None = None,
    engine: JobEngine = run_jobs,
    partial: bool = False,
) -> StudyRuns:
    """Train every cell that the journal does not have; `runs.json` in the folder is what comes out.

    Cells are known by a hash of all that can change their answers, so a study that was interrupted, or whose file
    has grown, does what is missing.

    Args:
        study: its axes.
        folder: for journal, tables and `runs.json`.
        progress: told each finished cell in a line.
        engine: who trains.
        partial: report on the finished cells and train nothing.

    Raises:
        StudyError: the study file contradicts itself.
        DataError: rows of a task cannot be used.
        TrainingError: a worker died; what had finished is kept.
        SynthLabelsError: an annotator fails.
    """
    began = time.monotonic()
    tell = progress or _silent
    tasks = [open_task(study, name, folder, tell) for name in study.tasks]
    work = _Work(study, folder, CellFiles(folder), tell)
    for task in tasks:
        work.take(task)
    if not partial:
        work.train(engine)
    runs = StudyRuns(
        name=study.name,
        tasks=tuple(_task_runs(study, task, work.outcomes) for task in tasks),
        margin=study.margin,
        level=study.level,
        resamples=study.resamples,
        seeds=tuple(study.seeds),
        references=tuple(reference.model_dump() for reference in study.references),
        facts=_facts(study, tasks, work, time.monotonic() - began),
    )
    runs = keep_runs(runs, folder / "runs.json")
    write_runs_table(runs, folder)
    return runs


@dataclass(slots=True)
class _Work:
    """Missing and finished cells of a study."""

    study: Study
    folder: Path
    journal: CellFiles
    tell: Progress
    outcomes: dict[CellName, Outcome] = field(default_factory=dict)
    missing: dict[str, list[Job]] = field(default_factory=dict)
    """By key: cells may be the same training, as all sources are without a row."""
    index: dict[str, str] = field(default_factory=dict)
    before: int = 0

    def take(self, task: StudyTask) -> None:
        """Ask its annotators, look up a task's cells, and queue what is not there."""
        check_estimate(task, _labelled(self.study, task))
        for source, prompt in _labelled(self.study, task):
            # Before anything is trained, so that a failing annotator stops the study at once.
            task.book.labels(source, prompt)
            task.test_book.labels(source, prompt)
        for cell in task.cells:
            try:
                if self.study.learner(cell.student) == "annotator":
                    self.outcomes[cell] = task.annotator(cell)
                    self.index[cell_file_hash(task, cell)] = ASKED
                    continue
                job = task.job(cell)
            except DataError as error:
                # Of this cell alone, such as a filter without a confidence.
                self.outcomes[cell] = Outcome("", cell, failed=str(error))
                continue
            self.index[cell_file_hash(task, cell)] = job.key
            known = known_outcome(self.journal, job)
            if known is None:
                self.missing.setdefault(job.key, []).append(job)
            else:
                self.outcomes[cell] = known
                self.before += 1

    def train(self, engine: JobEngine) -> None:
        """Train what is missing, cells of one seed before those of the next."""
        keep_index(self.folder, self.index)
        n_missing = sum(map(len, self.missing.values()))
        total = n_missing + self.before
        if self.before:
            self.tell(f"{self.before:,} of {total:,} cells were there before")
        places = {seed: place for place, seed in enumerate(self.study.seeds)}
        check_options([jobs[0] for jobs in self.missing.values()])
        queue = sorted((jobs[0] for jobs in self.missing.values()), key=lambda job: places[job.cell.seed])
        clock = EtaEstimator(queue, self.study.workers)
        done = self.before
        for outcome in engine(queue, self.study.workers):
            for job in self.missing[outcome.key]:
                self.outcomes[job.cell] = replace(outcome, cell=job.cell)
                done += 1
            clock.finished(outcome)
            failed = "" if outcome.failed is None else f" FAILED: {outcome.failed}"
            self.tell(f"{done:,} of {total:,} cells, {clock} left: {named(outcome.cell)}{failed}")


def _task_runs(study: Study, task: StudyTask, outcomes: Mapping[CellName, Outcome]) -> TaskRuns:
    found = [outcomes[cell] for cell in task.cells if cell in outcomes and outcomes[cell].failed is None]
    bases = {
        (one.cell.student, one.cell.seed): one.base_score
        for one in found
        if one.cell.size == 0 and one.base_score is not None
    }
    llm_labels, labels, confidence, usd, seconds = {}, {}, {}, {}, {}
    annotators: dict[str, dict[str, Any]] = {}
    for source, prompt in _labelled(study, task):
        name = source if prompt == NO_PROMPT else f"{source}/{prompt}"
        train, test = task.book.labels(source, prompt), task.test_book.labels(source, prompt)
        labels[name], llm_labels[name] = train.values, test.values
        if train.confidence is not None:
            confidence[name] = train.confidence
        # Without training rows only the test rows are labeled.
        priced = train if train.facts else test
        usd[name], seconds[name] = priced.usd, priced.seconds
        if priced.facts:
            annotators[name] = {"facts": priced.facts, "train": train.statuses, "test": test.statuses}
    curve = estimated_variants(task, _labelled(study, task))
    human = study.costs.get("human")
    usd["human"], seconds["human"] = (None, None) if human is None else (human.usd, human.s)
    return TaskRuns(
        name=task.name,
        kind=task.schema.kind,
        names=tuple(task.schema.names),
        truth=task.truth.truth,
        inputs=task.inputs(),
        llm_labels=llm_labels,
        train_truth=task.human.labels,
        train_labels=labels,
        confidence=confidence,
        usd_per_row=usd,
        s_per_row=seconds,
        cells=tuple(one.run(_forgetting(one, bases)) for one in found),
        annotators=annotators,
        human_samples=tuple(task.drawn),
        specification=None if curve is None else curve.to_dict(),
    )


def _labelled(study: Study, task: StudyTask) -> list[tuple[str, str]]:
    """The sources that label rows by themselves, with every prompt, of which some cell is left."""
    used = {(cell.source, cell.prompt) for cell in task.cells}
    found = []
    for source, keys in study.task_sources(task.name).items():
        if keys.is_annotator or keys.votes is not None:
            found += [(source, prompt) for prompt in study.prompts or (NO_PROMPT,) if (source, prompt) in used]
    return found


def _forgetting(one: Outcome, bases: Mapping[tuple[str, int], float | None]) -> Mapping[str, float] | None:
    before = bases.get((one.cell.student, one.cell.seed))
    return None if before is None or one.base_score is None else {"before": before, "after": one.base_score}


def _facts(study: Study, tasks: Sequence[StudyTask], work: _Work, seconds: float) -> dict[str, Any]:
    cells = [cell for task in tasks for cell in task.cells]
    failed = [one for cell in cells if (one := work.outcomes.get(cell)) is not None and one.failed is not None]
    trained = {one.key: one.wall_s for one in work.outcomes.values() if one.key}
    return {
        **study_environment(seconds),
        "cell_minutes": round(sum(trained.values()) / 60, 2),
        "cells": len(cells),
        "cells_before": work.before,
        "missing": sum(cell not in work.outcomes for cell in cells),
        "failed": [{**asdict(one.cell), "why": one.failed} for one in failed],
        "tasks": {
            task.name: {
                "train": len(task.parts.train),
                "train_used": len(task.pool),
                "train_human": task.counts.get("human", sum(label is not None for label in task.human.labels)),
                "validation": 0 if task.parts.validation is None else len(task.parts.validation),
                "test": len(task.parts.test),
                "held_back_without_label": task.parts.n_unlabelled,
                "shared_texts": task.parts.n_shared,
                "shown_as_examples": task.parts.n_shown,
                "shared_texts_dropped": study.tasks[task.name].drop_shared,
                "recipe": task.recipe.name,
                "source": task.recipe.source.homepage,
            }
            for task in tasks
        },
        "study": study.model_dump(mode="json"),
    }


def _silent(line: str) -> None:
    """Discard a line."""
