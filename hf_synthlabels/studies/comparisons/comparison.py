"""Human labels against LLM labels: the same rows, seeds and steps, tested on the same human-labelled rows."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.annotation import Recipe, load, provenance
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import Gate, Interval, validate
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.studies.comparisons.report import StudyReport
from hf_synthlabels.studies.comparisons.scoring import ArmRows, compared, margin, scored_arm
from hf_synthlabels.studies.comparisons.study import ComparisonStudy
from hf_synthlabels.studies.journal import Cell, Journal, cell_key, study_environment
from hf_synthlabels.studies.runs import MAX_UNASKED
from hf_synthlabels.studies.table import CellPredictions, label_text, write_table
from hf_synthlabels.studies.tasks.annotator_costs import answer_cost
from hf_synthlabels.studies.tasks.rows import (
    SAMPLE_SEED,
    check_classes,
    draw_rows,
    label_codes,
    select_rows,
    shared_texts,
    unasked_share,
)

MAX_EPOCHS = 20
"""A student on the few validation rows is given the steps of the others, but no more than so many epochs."""

Progress = Callable[[str], None]
Codes = NDArray[np.int64]


def run_comparison(
    study: ComparisonStudy, folder: Path | None = None, *, progress: Progress | None = None
) -> StudyReport:
    """Annotate by the study's recipe, train its students, and compare them.

    Args:
        study: what to compare.
        folder: where the journal of trained students is kept; without one an interrupted study starts over.
        progress: told each step in a line.

    Raises:
        SynthLabelsError: as its subclasses say; finished students stay in the journal.
    """
    file = study.recipe_file()
    recipe = Recipe.from_yaml(file)
    # By its file, so that labels which were made before come from the cache.
    splits = load(file)
    train = select_rows(splits, study.train, "train")
    test = select_rows(splits, study.test, "test")
    return compare(study, recipe, train, test, folder=folder, progress=progress)


def compare(
    study: ComparisonStudy,
    recipe: Recipe,
    train: Dataset,
    test: Dataset,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> StudyReport:
    """Train a student on the human labels and one on the LLM labels of the same rows, and compare them.

    A third student has only the human labels of the validation rows, which every validation of LLM labels needs.

    Args:
        study: student, seeds and sizes.
        recipe: names the text, human and LLM columns.
        train: rows with both label columns.
        test: rows with both label columns; those without a human label are left out and counted.
        folder: where the journal of trained students is kept.
        progress: told each step in a line.

    Raises:
        DataError: a column is missing, or there are no human labels.
        TrainingError: the student cannot be trained.
    """
    began = time.monotonic()
    tell = progress or _silent
    gate = Gate.parse(study.gate) if study.gate else None
    train, rows, n_shared = _prepared(study, recipe, train, test, tell)
    sources = _sources(train, rows)
    check = partial(
        validate, human=rows.human, llm=rows.llm, names=rows.names, level=study.level, resamples=study.resamples
    )
    tell(f"checking the LLM labels against {len(rows.drawn)} human ones")
    validation = check(train.select(rows.drawn), gate=gate)
    runner = _Runner(study, recipe.task.columns, rows.names, rows.tested, Journal(folder), tell)
    # All conditions get the steps of the human-trained students, so that none sees more updates.
    steps = runner.steps(len(train) - list(sources[0].codes).count(None))
    cells = [runner.run(train, source, steps) for source in sources]
    answers = [np.array([cell.predictions for cell in arm]) for arm in cells]
    truth = np.array(label_codes(rows.tested, rows.human, rows.names))
    record: dict[str, Any] = next((one for one in reversed(provenance(train)) if one["column"] == rows.llm), {})
    paid = _paid(recipe, train, record)
    arms = [
        scored_arm(source, arm, answer, truth, rows.names, study=study, record=record, paid=paid)
        for source, arm, answer in zip(sources, cells, answers, strict=True)
    ]
    _write_table(folder, study, recipe, sources, cells, truth, {"provenance": record, "llm_labels_usd": paid})
    paired = compared(answers[1], answers[0], truth, rows.names, study=study)
    others = {"annotator": _own_labels(rows), "validation": answers[2]}
    return StudyReport(
        name=study.name,
        names=tuple(rows.names),
        seeds=tuple(study.seeds),
        n_train=len(train),
        n_test=len(rows.tested),
        n_test_unlabelled=len(test) - len(rows.tested),
        n_shared_texts=n_shared,
        drop_shared=study.drop_shared,
        validation=validation,
        train_agreement=check(train),
        annotator=check(rows.tested),
        arms=tuple(arms),
        ratio=paired.ratio,
        difference=paired.difference,
        margins={name: _margin(answers[1], other, truth, rows, study) for name, other in others.items()},
        paired=paired.tests,
        student=dict(study.student),
        provenance=record,
        references=tuple(reference.model_dump() for reference in study.references),
        environment=study_environment(time.monotonic() - began),
    )


def _paid(recipe: Recipe, train: Dataset, record: Mapping[str, Any]) -> float | None:
    """What the LLM labels of the training rows cost, also those that an earlier run paid for; None if unknown."""
    tally, usd = record.get("tally", {}), record.get("cost_usd")
    if recipe.annotator.client.kind == "openai" and tally.get("stored"):
        return answer_cost(recipe, train).usd
    return None if usd is None else usd * len(train) / max(1, tally.get("rows", 0))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a study, checked, and how their columns are called."""

    human: str
    llm: str
    names: Sequence[str]
    tested: Dataset
    """The test rows that have a human label."""
    drawn: Sequence[int]
    """The validation rows, as positions among the training rows."""


def _prepared(
    study: ComparisonStudy, recipe: Recipe, train: Dataset, test: Dataset, tell: Progress
) -> tuple[Dataset, _Rows, int]:
    """The training rows, all rows checked, and how many training rows share their text with a test row."""
    rows = _checked_rows(study, recipe, train, test)
    shared = shared_texts(train, [rows.tested], recipe.task.columns)
    if study.drop_shared and shared.any():
        tell(f"{int(shared.sum()):,} training rows are left out: their texts are also among the test rows")
        train = train.select(np.flatnonzero(~shared))
        rows = _checked_rows(study, recipe, train, test)
    return train, rows, int(shared.sum())


def _write_table(
    folder: Path | None,
    study: ComparisonStudy,
    recipe: Recipe,
    sources: Sequence[ArmRows],
    cells: Sequence[Sequence[Cell]],
    truth: Codes,
    facts: Mapping[str, Any],
) -> None:
    if folder is None:
        return
    kind, names = recipe.task.kind, recipe.schema_of_labels().names
    human = [label_text(kind, names, code) for code in truth.tolist()]
    table = [
        CellPredictions(
            recipe.name,
            source.name,
            [label_text(kind, names, code) for code in cell.predictions],
            human,
            size=len(source.codes) - list(source.codes).count(None),
            seed=seed,
            facts={"steps": cell.steps, "train_s": cell.train_s},
        )
        for source, trained in zip(sources, cells, strict=True)
        for seed, cell in zip(study.seeds, trained, strict=True)
    ]
    write_table(folder, table, {"name": study.name, "student": study.student, **facts})


def _own_labels(rows: _Rows) -> Codes | None:
    """The annotator's labels of the test rows; None where it was not asked about too many of them."""
    if unasked_share(rows.tested, rows.llm) > MAX_UNASKED:
        return None
    codes = label_codes(rows.tested, rows.llm, rows.names)
    return np.array([[MISSING if code is None else code for code in codes]])


def _margin(llm: Codes, other: Codes | None, truth: Codes, rows: _Rows, study: ComparisonStudy) -> Interval:
    if other is None:
        return Interval(math.nan, math.nan, math.nan, study.level, "not asked", len(truth))
    return margin(llm, other, truth, rows.names, study=study)


def _checked_rows(study: ComparisonStudy, recipe: Recipe, train: Dataset, test: Dataset) -> _Rows:
    human, names = recipe.task.human, recipe.schema_of_labels().names
    if human is None:
        raise DataError("`task.human` is missing in the recipe. Name the column with the human labels.")
    labelled = [row for row, code in enumerate(label_codes(test, human, names)) if code is not None]
    if not labelled:
        raise DataError(f"`human` {human!r} has no label in any of the {len(test)} test rows. Label some by hand.")
    drawn = draw_rows(label_codes(train, human, names), study.validation_rows, SAMPLE_SEED)
    if not drawn:
        raise DataError(f"`human` {human!r} has no label in any of the {len(train)} training rows. Label some by hand.")
    return _Rows(human, recipe.output.column, names, test.select(labelled), drawn)


def _sources(train: Dataset, rows: _Rows) -> tuple[ArmRows, ArmRows, ArmRows]:
    """The label sources that are compared, each with its labels of the training rows."""
    human, llm = (label_codes(train, column, rows.names) for column in (rows.human, rows.llm))
    kept = set(rows.drawn)
    few = [code if row in kept else None for row, code in enumerate(human)]
    sources = (
        ArmRows("human", "all human labels", human, rows.human),
        ArmRows("llm", "LLM labels of the same rows", llm, rows.llm),
        ArmRows("validation", "only the validation rows' human labels", few, rows.human),
    )
    for source in sources:
        check_classes(source.codes, source.column)
    return sources


@dataclass(frozen=True, slots=True)
class _Runner:
    """Trains the students of a study, each once."""

    study: ComparisonStudy
    columns: Sequence[str]
    names: Sequence[str]
    test: Dataset
    journal: Journal
    tell: Progress

    def steps(self, n_rows: int, epochs: float | None = None) -> int:
        """Optimiser steps of so many rows for the student's epochs."""
        student = self.study.student
        batch = int(student.get("per_device_train_batch_size", 16)) * int(student.get("gradient_accumulation_steps", 1))
        return max(1, math.ceil(math.ceil(n_rows / batch) * float(epochs or student.get("num_train_epochs", 3))))

    def run(self, train: Dataset, source: ArmRows, steps: int) -> list[Cell]:
        """One student for each seed."""
        rows = [row for row, code in enumerate(source.codes) if code is not None]
        capped = min(steps, self.steps(len(rows), MAX_EPOCHS)) if source.name == "validation" else steps
        part = train.select(rows).select_columns([*self.columns, source.column])
        return [self._cell(part, source, capped, seed) for seed in self.study.seeds]

    def _cell(self, part: Dataset, source: ArmRows, steps: int, seed: int) -> Cell:
        from hf_synthlabels.training import StudentConfig, train_student

        options = {**self.study.student, "seed": seed, "max_steps": steps}
        rows = [part[column][:] for column in (*self.columns, source.column)]
        asked = [self.test[column][:] for column in self.columns]
        versions = {package: metadata.version(package) for package in ("torch", "transformers")}
        key = cell_key({"options": options, "names": self.names, "rows": rows, "test": asked, "versions": versions})
        known = self.journal.get(key)
        told = f"student on {source.description} ({len(part)} rows), seed {seed}, {steps} steps"
        if known is not None:
            self.tell(f"{told}: trained before")
            return known
        self.tell(told)
        with tempfile.TemporaryDirectory() as scratch:
            where = {"label_column": source.column, "text_columns": list(self.columns), "output_dir": scratch}
            config = StudentConfig.from_dict({**options, **where}, where="`student`")
            student = train_student(config, part, names=self.names)
            codes = student.predict(self.test.select_columns(list(self.columns))).codes
        cell = Cell(tuple(int(code) for code in codes), steps, student.metrics["train_seconds"])
        self.journal.put(key, cell)
        return cell


def _silent(line: str) -> None:
    """Discard a line."""
