"""Predictions of every cell of a study, by task, and their JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import StudyError
from hf_synthlabels.labels import Kind

MAX_UNREQUESTED = 0.1
"""Share of rows that an annotator may not have been asked about before its own score counts as unknown."""


@dataclass(frozen=True, slots=True, order=True)
class CellName:
    """Position of a cell in the design of a study."""

    task: str
    source: str
    """`human`, the name of an annotator, `random` (the control: permuted human labels), a mixture's name,
    `<source>@<threshold>` for the labels of at least that confidence, or `<first>><then>@<n>` for a switch: the first n
    rows labeled by one source, all further ones by the other."""
    size: int | None
    """Training rows; None: all that there are; 0: none, the base mix alone. Of an annotator's or filtered source it is
    the rows that were looked at: `CellRun.rows` says how many of them had a label."""
    prompt: str
    """The way the annotator was asked; `-` where the labels are not an annotator's."""
    student: str
    """Its name in the study. `annotator` is the annotator itself, which trained on nothing: size None, one seed."""
    strategy: str
    """How the student learnt: `plain`, or a name among the strategies, such as `llm_then_human`."""
    n_human: int
    """Human labels that a strategy saw besides the source's; 0 without."""
    seed: int


@dataclass(frozen=True, slots=True)
class CellRun:
    """What came out of one cell."""

    cell: CellName
    answers: tuple[Any, ...]
    """For each test row the student's answer as `labels.encode` writes it into a column: a code (text-classification,
    text-pair); a list of codes; a number; a list of {start, end, text, label}, the label a code; {text, start}; a text.
    None where it gave none that the schema knows, as students who write and annotators can."""
    epochs: tuple[tuple[float, tuple[Any, ...]], ...] = ()
    """Answers after earlier epochs, where they were read; the last one is `answers`."""
    steps: int = 0
    rows: int = 0
    """LabeledData rows that it was trained on."""
    train_s: float = 0.0
    predict_s: float = 0.0
    """For all test rows."""
    forgetting: Mapping[str, float] | None = None
    """Scores on rows of the base mix, `before` and `after`, where the study has one."""


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """The test rows of a task, what is known of its annotators, and its cells."""

    name: str
    kind: Kind
    names: tuple[str, ...]
    truth: tuple[Any, ...]
    """Human labels of the test rows, in the same form; of question-answering a list of {text, start} and of
    text-generation a list of texts, since there may be several right answers."""
    inputs: tuple[str, ...]
    """The text of each test row, cut at 1,000 characters: for lengths and examples."""
    llm_labels: Mapping[str, tuple[Any, ...]]
    """By `source` or `source/prompt`: the annotator's own labels of the test rows, None where it gave none."""
    train_truth: tuple[Any, ...]
    """Human labels of the training rows, None where there is none."""
    train_labels: Mapping[str, tuple[Any, ...]]
    """By `source` or `source/prompt`: the labels of the training rows. Filtered and mixed sources are left out."""
    confidence: Mapping[str, tuple[float | None, ...]]
    """Share of draws, or of several models, that gave the label of a training row, by source; may be empty."""
    usd_per_row: Mapping[str, float | None]
    """What one label costs, by source (`human` too); None is unknown."""
    s_per_row: Mapping[str, float | None]
    cells: tuple[CellRun, ...]
    annotators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By `source` or `source/prompt`: how it was asked (`facts`), and of the rows to `train` and `test` on how many
    have which status, with raw answers that gave no label, and the `agreement` with human labels. `train` may have the
    agreement on the validation rows (`validation`), and `test` has the `credit` of each row."""
    human_samples: tuple[str, ...] = ()
    """Sources that are the human labels of a fixed sample of the training rows."""
    specification: Mapping[str, Any] | None = None
    """The `SpecificationReport` of the estimate under every annotator and prompt; None without one."""

    def statuses(self, name: str, part: str) -> Mapping[str, int]:
        """How many rows have which status.

        Args:
            name: `source` or `source/prompt`.
            part: `train` or `test`.
        """
        known = self.annotators.get(name, {}).get(part, {}).get("statuses")
        if known is not None:
            return dict(known)
        values = (self.train_labels if part == "train" else self.llm_labels).get(name, ())
        empty = sum(value is None for value in values)
        # A column without a single label was never filled.
        return {"labelled": len(values) - empty, "skipped" if empty == len(values) else "without a label": empty}

    def unrequested(self, name: str, part: str) -> int:
        """Rows of a part that an annotator was not asked about."""
        return self.statuses(name, part).get("skipped", 0)

    def coverage(self, name: str, part: str) -> float:
        """Share of the rows that an annotator was asked about to which it gave a label; 1 where it was asked of none.

        A row whose answer is an abstention has no label.
        """
        statuses = self.statuses(name, part)
        asked = sum(statuses.values()) - statuses.get("skipped", 0)
        return statuses.get("labelled", 0) / asked if asked else 1.0

    def select(self, wanted: Callable[[CellName], bool]) -> tuple[CellRun, ...]:
        """The cells whose name is wanted, in order of their names."""
        return tuple(sorted((run for run in self.cells if wanted(run.cell)), key=lambda run: _order(run.cell)))


@dataclass(frozen=True, slots=True)
class StudyRuns:
    """All tasks of a study; equal studies give equal runs, whatever was interrupted."""

    name: str
    tasks: tuple[TaskRuns, ...]
    margin: float
    """The loss of score that counts as none, for non-inferiority: a difference of the score, which runs from 0 to 1."""
    level: float
    resamples: int
    seeds: tuple[int, ...]
    references: Sequence[Mapping[str, Any]] = ()
    """Numbers from elsewhere: what, value, source."""
    facts: Mapping[str, Any] | None = None
    """Machine, versions, minutes, configuration."""

    def unlabelled_rows(self, task: str) -> int | None:
        """Rows of a task's table that have no human label yet; None where that is not recorded."""
        facts = dict(self.facts or {}).get("tasks", {}).get(task)
        return None if facts is None else int(facts["train"] - facts["train_human"] + facts["held_back_without_label"])


def _order(cell: CellName) -> tuple[Any, ...]:
    size = float("inf") if cell.size is None else cell.size
    return (cell.task, cell.source, cell.prompt, cell.student, cell.strategy, size, cell.n_human, cell.seed)


CLOCK_FACTS = ("minutes", "finished_at", "cells_before")
"""Facts of a run that differ each time, whatever it found."""


def write_runs(runs: StudyRuns, path: str | Path) -> None:
    """Write a study's runs; equal runs give equal files."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}")
    scratch.write_text(json.dumps(asdict(runs), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    scratch.replace(file)


def keep_runs(runs: StudyRuns, path: Path) -> StudyRuns:
    """Write a study's runs, unless the file holds the same already: a run that adds nothing changes no byte."""
    try:
        before = read_runs(path)
    except StudyError:
        before = None
    # By way of JSON, in which tuples are lists, so that the first run and later ones report the same values.
    now = parse_runs(json.loads(json.dumps(asdict(runs))))
    if before is not None and _timeless(before) == _timeless(now):
        return before
    write_runs(now, path)
    return now


def _timeless(runs: StudyRuns) -> dict[str, Any]:
    facts = {name: value for name, value in (runs.facts or {}).items() if name not in CLOCK_FACTS}
    return {**asdict(runs), "facts": facts}


def read_runs(path: str | Path) -> StudyRuns:
    """Read what `write_runs` wrote.

    Raises:
        StudyError: the file cannot be read, or is not a study's.
    """
    try:
        return parse_runs(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"`runs` {str(path)!r} are not the runs.json of a study ({type(error).__name__}: {error}). Run the study "
            "again."
        ) from None


def parse_runs(content: Mapping[str, Any]) -> StudyRuns:
    """The runs that the object of a `runs.json` holds; KeyError, TypeError or ValueError if it holds something else."""
    tasks = tuple(_task(task) for task in content["tasks"])
    return StudyRuns(
        **{**content, "tasks": tasks, "seeds": tuple(content["seeds"]), "references": tuple(content["references"])}
    )


def _task(content: Mapping[str, Any]) -> TaskRuns:
    columns = ("names", "truth", "inputs", "train_truth", "human_samples")
    by_source = ("llm_labels", "train_labels", "confidence")
    return TaskRuns(
        **{
            **content,
            **{name: tuple(content[name]) for name in columns if name in content},
            **{name: {source: tuple(values) for source, values in content[name].items()} for name in by_source},
            "cells": tuple(_cell(cell) for cell in content["cells"]),
        }
    )


def _cell(content: Mapping[str, Any]) -> CellRun:
    return CellRun(
        **{
            **content,
            "cell": CellName(**content["cell"]),
            "answers": tuple(content["answers"]),
            "epochs": tuple((epoch, tuple(answers)) for epoch, answers in content["epochs"]),
        }
    )
