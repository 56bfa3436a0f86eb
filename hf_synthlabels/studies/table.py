"""The tidy table of a study: one row per condition, seed and test row, with costs and provenance in a sidecar file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_synthlabels.studies.runs import StudyRuns, TaskRuns

TABLE, SIDECAR = "predictions.parquet", "predictions.json"

FACTS = ("steps", "rows", "train_s", "predict_s", "forgetting")
"""Fields of a run in the sidecar file."""

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "source")),
        ("size", pa.int64()),
        *((name, pa.string()) for name in ("prompt", "student", "strategy")),
        *((name, pa.int64()) for name in ("n_human", "seed", "row")),
        *((name, pa.string()) for name in ("human_label", "prediction")),
    ]
)
"""Condition columns, seed, position of the test row, and both labels as text. A null size is all training rows."""


@dataclass(frozen=True, slots=True)
class CellPredictions:
    """Predictions of one cell for the test rows of its task."""

    task: str
    source: str
    predictions: Sequence[str | None]
    human: Sequence[str | None]
    size: int | None = None
    prompt: str | None = None
    student: str = "student"
    strategy: str = "plain"
    n_human: int = 0
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Steps, seconds and the like, for the sidecar file."""

    def condition(self) -> dict[str, Any]:
        """Condition columns and the seed."""
        names = ("task", "source", "size", "prompt", "student", "strategy", "n_human", "seed")
        return {name: getattr(self, name) for name in names}


def label_text(kind: str, names: Sequence[str], value: Any) -> str | None:
    """A label as text: a class name, a number, a text, or JSON for several classes, entities and answers."""
    if value is None:
        return None
    match kind:
        case "text-classification" | "text-pair":
            return None if value < 0 else names[value]
        case "multi-label":
            return json.dumps([names[code] for code in value], ensure_ascii=False)
        case "token-classification":
            entities = [{**entity, "label": names[entity["label"]]} for entity in value]
            return json.dumps(entities, ensure_ascii=False)
        case _:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def table_of_runs(runs: StudyRuns) -> pa.Table:
    """The tidy table of a study's runs."""
    return _table([cell for task in runs.tasks for cell in _cells(task)])


def write_runs_table(runs: StudyRuns, folder: Path) -> None:
    """Write the tidy table of a study's runs and its sidecar file; equal runs give equal files."""
    shared = ("kind", "names", "usd_per_row", "s_per_row", "annotators")
    sidecar = {
        **{name: getattr(runs, name) for name in ("name", "margin", "level", "resamples", "references")},
        "facts": dict(runs.facts or {}),
        "tasks": {task.name: {name: getattr(task, name) for name in shared} for task in runs.tasks},
    }
    write_table(folder, [cell for task in runs.tasks for cell in _cells(task)], sidecar)


def write_table(folder: Path, cells: Sequence[CellPredictions], sidecar: Mapping[str, Any]) -> None:
    """Write predictions as `predictions.parquet`, and facts of the study and its cells as `predictions.json`.

    Args:
        folder: of the study.
        cells: every cell with its predictions.
        sidecar: costs and provenance of the study, as values for JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {**sidecar, "cells": [{**cell.condition(), **cell.facts} for cell in cells]}
    scratch = folder / f".{TABLE}.{os.getpid()}"
    pq.write_table(_table(cells), scratch)
    scratch.replace(folder / TABLE)
    scratch.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    scratch.replace(folder / SIDECAR)


def _table(cells: Sequence[CellPredictions]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for cell in cells:
        count = len(cell.predictions)
        for name, value in cell.condition().items():
            columns[name] += [value] * count
        columns["row"] += range(count)
        columns["human_label"] += cell.human
        columns["prediction"] += cell.predictions
    return pa.table(columns, schema=SCHEMA)


def _cells(task: TaskRuns) -> Iterator[CellPredictions]:
    truth = [label_text(task.kind, task.names, label) for label in task.truth]
    for run in task.cells:
        facts = {fact: getattr(run, fact) for fact in FACTS}
        name = asdict(run.cell)
        name["prompt"] = None if run.cell.prompt == "-" else run.cell.prompt
        predictions = [label_text(task.kind, task.names, answer) for answer in run.answers]
        yield CellPredictions(**name, predictions=predictions, human=truth, facts=facts)
