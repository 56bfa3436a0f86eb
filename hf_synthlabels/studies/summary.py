"""Mean score of each condition over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hf_synthlabels.statistics.agreement.answers import token_f1
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.comparison.conditions import seed_scores
from hf_synthlabels.statistics.exhibits import Section, Table, align
from hf_synthlabels.studies.analysis.annotators import annotator_warnings
from hf_synthlabels.studies.runs import CellName, CellRun, StudyRuns, TaskRuns

HEADS = ("task", "source", "rows", "student", "learns", "mean of seeds", "lowest", "highest", "seeds")

SCORES = {
    "text-classification": "macro F1",
    "text-pair": "macro F1",
    "multi-label": "micro F1",
    "text-scale": "mean absolute error",
    "token-classification": "entity F1",
    "question-answering": "token F1",
    "text-generation": "token F1",
}


def summary_table(runs: StudyRuns) -> str:
    """Every arm with its mean score over seeds, the lowest and the highest; intervals are the report's matter."""
    shown = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in _arms(runs)]
    table = align([list(HEADS), *shown], right=(2, 5, 6, 7, 8))
    return "\n".join([*annotator_warnings(runs), *_unlabelled(runs), table, _scored(runs), *_left_out(runs)])


def _unlabelled(runs: StudyRuns) -> list[str]:
    """Annotators that left rows without a label, with what happened to those."""
    lines = []
    for task in runs.tasks:
        for name in task.annotators:
            for part in ("train", "test"):
                counts = task.statuses(name, part)
                rows = sum(counts.values())
                if counts.get("labelled", 0) < rows:
                    listed = ", ".join(f"{status} {count:,}" for status, count in counts.items())
                    lines.append(f"{task.name}, {name}, {rows:,} {part} rows: {listed}.")
    return lines


def conditions_section(runs: StudyRuns) -> Section:
    """Every arm of a study in one table, and the cells that it lacks."""
    rows = tuple(tuple(row) for row in _arms(runs))
    table = Table("arms", "Mean score of each condition", HEADS, rows, note=_scored(runs))
    count = sum(len(task.cells) for task in runs.tasks)
    answer = f"{count:,} students were tested in {len(rows):,} conditions."
    return Section("arms", "All conditions", answer, (table,), tuple(_left_out(runs)))


def _scored(runs: StudyRuns) -> str:
    """By which score, and on how many rows."""
    parts = [f"{SCORES[task.kind]} of {task.name} on {len(task.truth):,} rows" for task in runs.tasks]
    if len({task.kind for task in runs.tasks}) == 1 and runs.tasks:
        shared = f"{SCORES[runs.tasks[0].kind]} on test rows: "
        return shared + ", ".join(f"{task.name} {len(task.truth):,}" for task in runs.tasks) + "."
    return f"Tested by {', '.join(parts)}."


def _arms(runs: StudyRuns) -> list[list[str | int | float]]:
    rows: list[list[str | int | float]] = []
    for task in runs.tasks:
        arms: dict[CellName, list[CellRun]] = {}
        for run in task.select(lambda _: True):
            arms.setdefault(replace(run.cell, seed=0), []).append(run)
        for cell, each in arms.items():
            scores = [cell_score(task, run.answers) for run in each]
            source = cell.source if cell.prompt == "-" else f"{cell.source}/{cell.prompt}"
            size = "all" if cell.size is None else f"{cell.size:,}"
            learns = cell.strategy if not cell.n_human else f"{cell.strategy}, {cell.n_human} human"
            values = [float(np.mean(scores)), min(scores), max(scores), len(scores)]
            rows.append([task.name, source, size, cell.student, learns, *values])
    return rows


def _left_out(runs: StudyRuns) -> list[str]:
    facts = runs.facts or {}
    lines = [
        f"Failed: {one['task']}, {one['source']}, {one['student']}, seed {one['seed']}: {one['why']}"
        for one in facts.get("failed", ())
    ]
    if facts.get("missing"):
        lines.append(f"Missing: {facts['missing']:,} of {facts['cells']:,} cells.")
    return lines


def cell_score(task: TaskRuns, answers: Sequence[Any]) -> float:
    """The main score of answers to a task's test rows; a row without an answer counts as wrong."""
    truth = task.truth
    match task.kind:
        case "text-classification" | "text-pair":
            said = np.array([[MISSING if code is None else code for code in answers]])
            return float(seed_scores(np.array(truth), said, len(task.names), "macro_f1")[0])
        case "multi-label":
            return _micro_f1([set(row) for row in truth], [set(row or ()) for row in answers])
        case "text-scale":
            given = [(gold, said) for gold, said in zip(truth, answers, strict=True) if said is not None]
            return float(np.mean([abs(gold - said) for gold, said in given])) if given else float("nan")
        case "token-classification":
            return _micro_f1([_places(row) for row in truth], [_places(row or ()) for row in answers])
        case _:
            return float(np.mean([_token_f1(gold, said) for gold, said in zip(truth, answers, strict=True)]))


def _micro_f1(truth: Sequence[set[Any]], answers: Sequence[set[Any]]) -> float:
    """Micro average over labels or entities; 1 where neither side has any."""
    right = sum(len(gold & said) for gold, said in zip(truth, answers, strict=True))
    whole = sum(map(len, truth)) + sum(map(len, answers))
    return 2 * right / whole if whole else 1.0


def _places(row: Sequence[Any]) -> set[Any]:
    return {(entity["start"], entity["end"], entity["label"]) for entity in row}


def _token_f1(golds: Sequence[Any], said: Any) -> float:
    text = said["text"] if isinstance(said, dict) else said
    return max(token_f1(gold["text"] if isinstance(gold, dict) else gold, str(text or "")) for gold in golds)
