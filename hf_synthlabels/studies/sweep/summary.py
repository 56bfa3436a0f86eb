"""A study's runs in a few lines: the mean score of each arm over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hf_synthlabels.statistics import NO_LABEL, seed_scores, token_f1
from hf_synthlabels.statistics.table import align
from hf_synthlabels.studies.runs import CellName, CellRun, StudyRuns, TaskRuns

__all__ = ["run_score", "summary_table"]

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
    lines = [["task", "source", "rows", "student", "learns", "score", "mean of seeds", "lowest", "highest", "seeds"]]
    for task in runs.tasks:
        arms: dict[CellName, list[CellRun]] = {}
        for run in task.select(lambda _: True):
            arms.setdefault(replace(run.cell, seed=0), []).append(run)
        for cell, each in arms.items():
            scores = [run_score(task, run.answers) for run in each]
            source = cell.source if cell.prompt == "-" else f"{cell.source}/{cell.prompt}"
            size = "all" if cell.size is None else f"{cell.size:,}"
            learns = cell.strategy if not cell.n_human else f"{cell.strategy}, {cell.n_human} human"
            shown = [f"{value:.3f}" for value in (np.mean(scores), min(scores), max(scores))]
            lines.append([task.name, source, size, cell.student, learns, SCORES[task.kind], *shown, str(len(scores))])
    facts = runs.facts or {}
    failed = [f"failed: {one['task']}, {one['source']}, seed {one['seed']}: {one['why']}" for one in facts["failed"]]
    tested = ", ".join(f"{task.name} {len(task.truth):,}" for task in runs.tasks)
    missing = [f"missing: {facts['missing']:,} of {facts['cells']:,} cells"] if facts["missing"] else []
    return "\n".join([align(lines, right=(2, 6, 7, 8, 9)), f"test rows: {tested}", *failed, *missing])


def run_score(task: TaskRuns, answers: Sequence[Any]) -> float:
    """The main score of answers to a task's test rows; a row without an answer counts as wrong."""
    truth = task.truth
    match task.kind:
        case "text-classification" | "text-pair":
            said = np.array([[NO_LABEL if code is None else code for code in answers]])
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
    """Of all names or entities; 1 where there are none and none are said."""
    right = sum(len(gold & said) for gold, said in zip(truth, answers, strict=True))
    whole = sum(map(len, truth)) + sum(map(len, answers))
    return 2 * right / whole if whole else 1.0


def _places(row: Sequence[Any]) -> set[Any]:
    return {(entity["start"], entity["end"], entity["label"]) for entity in row}


def _token_f1(golds: Sequence[Any], said: Any) -> float:
    text = said["text"] if isinstance(said, dict) else said
    return max(token_f1(gold["text"] if isinstance(gold, dict) else gold, str(text or "")) for gold in golds)
