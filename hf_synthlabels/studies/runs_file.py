"""A study's runs as a JSON file, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import StudyError
from hf_synthlabels.studies.runs import CellName, CellRun, StudyRuns, TaskRuns

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
    now = runs_of(json.loads(json.dumps(asdict(runs))))
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
        StudyError: the file can not be read, or is something else.
    """
    try:
        return runs_of(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"`runs` {str(path)!r} are not the runs.json of a study ({type(error).__name__}: {error}). Run the study "
            "again."
        ) from None


def runs_of(content: Mapping[str, Any]) -> StudyRuns:
    """The runs that the object of a `runs.json` holds; KeyError, TypeError or ValueError if it holds something else."""
    tasks = tuple(_task(task) for task in content["tasks"])
    return StudyRuns(
        **{**content, "tasks": tasks, "seeds": tuple(content["seeds"]), "references": tuple(content["references"])}
    )


def _task(content: Mapping[str, Any]) -> TaskRuns:
    columns = ("names", "truth", "inputs", "train_truth")
    by_source = ("llm_labels", "train_labels", "confidence")
    return TaskRuns(
        **{
            **content,
            **{name: tuple(content[name]) for name in columns},
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
