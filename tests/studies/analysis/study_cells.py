"""Small studies made by hand: answers that are right as often as they are told to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_synthlabels.studies import StudyRuns
from hf_synthlabels.studies.runs import CellName, CellRun, TaskRuns


def noisy(truth: Sequence[int], accuracy: float, seed: int, classes: int = 2) -> tuple[int, ...]:
    """Labels of which about that share is right: seeds that are equal err on the same rows, the more the less right."""
    rng = np.random.default_rng(seed)
    luck, shift = rng.random(len(truth)), rng.integers(1, classes, size=len(truth))
    wrong = luck >= accuracy
    return tuple(((np.array(truth) + wrong * shift) % classes).tolist())


def cell(source: str, answers: Sequence[Any], seed: int = 0, **axes: Any) -> CellRun:
    """A cell of task `t`; what a run recorded is given same_training the axes of its name."""
    recorded = {name: axes.pop(name) for name in ("epochs", "rows", "train_s", "predict_s", "forgetting")
                if name in axes}  # fmt: skip
    name = {"task": "t", "size": None, "prompt": "-", "student": "s", "strategy": "plain", "n_human": 0, **axes}
    return CellRun(CellName(source=source, seed=seed, **name), tuple(answers), **{"rows": 100, **recorded})


def make_task(
    cells: Sequence[CellRun] = (),
    *,
    name: str = "t",
    kind: Any = "text-classification",
    truth: Sequence[Any] | None = None,
    names: Sequence[str] = ("no", "yes"),
    llm_labels: Mapping[str, Sequence[Any]] | None = None,
    **more: Any,
) -> TaskRuns:
    """A task of 200 test rows, if the truth is not given."""
    truth = tuple(truth if truth is not None else [row % len(names) for row in range(200)])
    given: dict[str, Any] = {
        "train_truth": truth,
        "train_labels": {},
        "confidence": {},
        "usd_per_row": {},
        "s_per_row": {},
        "inputs": ("",) * len(truth),
        **more,
    }
    answers = {source: tuple(values) for source, values in (llm_labels or {}).items()}
    return TaskRuns(
        name=name, kind=kind, names=tuple(names), truth=truth, llm_labels=answers, cells=tuple(cells), **given
    )


def make_runs(*tasks: TaskRuns, margin: float = 0.05, resamples: int = 400, **more: Any) -> StudyRuns:
    """A study of some tasks."""
    return StudyRuns("study", tasks, margin, 0.95, resamples, (0, 1, 2), **more)
