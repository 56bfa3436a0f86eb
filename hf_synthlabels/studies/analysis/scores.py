"""Scores of a study's answers, for every kind of label: what each test row adds to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import StudyError
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1
from hf_synthlabels.statistics.agreement.confusion import score_margins
from hf_synthlabels.statistics.comparison.condition_bootstrap import RowFeatures
from hf_synthlabels.studies.runs import TaskRuns

Floats = NDArray[np.float64]
CLASSES = ("text-classification", "text-pair")
SETS = ("multi-label", "token-classification")

MAIN: Mapping[str, str] = {
    **dict.fromkeys(CLASSES, "macro_f1"),
    **dict.fromkeys(SETS, "micro_f1"),
    "text-scale": "closeness",
    "question-answering": "token_f1",
    "text-generation": "token_f1",
}
"""By kind the score that conditions are compared by; more is better for all of them."""

HEADLINES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(CLASSES, ("accuracy", "macro_f1")),
    "multi-label": ("micro_f1", "jaccard"),
    "text-scale": ("mae", "spearman"),
    "token-classification": ("entity_f1", "boundary_f1"),
    "question-answering": ("exact_match", "token_f1"),
    "text-generation": ("exact_match", "token_f1"),
}
"""By kind the scores of an annotator's labels that tables show, as `MEASURES` names them."""

TOLD_APART: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(CLASSES, ("macro_f1", "macro_precision", "macro_recall", "accuracy", "weighted_f1")),
    **dict.fromkeys(SETS, ("micro_f1", "micro_precision", "micro_recall")),
    "text-scale": ("closeness",),
    "question-answering": ("token_f1", "exact_match"),
    "text-generation": ("token_f1", "exact_match"),
}
"""By kind all scores, the main one first; precision and recall come second and third."""

NAMES = {
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro F1",
    "micro_precision": "precision",
    "micro_recall": "recall",
    "closeness": "closeness (1 - error / range)",
    "token_f1": "token F1",
    "exact_match": "exact match",
}


def score_name(kind: str, score: str) -> str:
    """What a score is called: that of entities is no score of labels, although both are micro averages."""
    name = NAMES[score]
    return f"entity {name.removeprefix('micro ')}" if kind == "token-classification" else name


def row_features(task: TaskRuns) -> RowFeatures:
    """What each test row adds if it is answered right, and if it is not answered.

    Raises:
        StudyError: the task has no test rows.
    """
    if not task.truth:
        raise StudyError(f"`tasks.{task.name}` has no test rows with human labels. Label some by hand.")
    unanswered = [None] * len(task.truth)
    wrong = answer_features(task, unanswered)
    right = answer_features(task, [_right(task, truth) for truth in task.truth])
    return RowFeatures(right, wrong, {name: _score(task, name) for name in TOLD_APART[task.kind]})


def _right(task: TaskRuns, truth: Any) -> Any:
    return truth[0] if task.kind in ("question-answering", "text-generation") else truth


def answer_features(task: TaskRuns, answers: Sequence[Any], *, answered_only: bool = False) -> Floats:
    """What the answers of one student add to the scores, shape (rows, d).

    Args:
        task: its kind and its truth.
        answers: one for each test row, None for none.
        answered_only: whether a row without an answer adds nothing at all; otherwise it counts as wrong.
    """
    if len(answers) != len(task.truth):
        raise StudyError(
            f"`cells` of {task.name!r} has one with {len(answers)} answers, and {len(task.truth)} rows were tested. "
            "Run the study again."
        )
    out = _additive_counts(task)(answers)
    if answered_only:
        out[[answer is None for answer in answers]] = 0.0
    return out


def row_credits(task: TaskRuns, answers: Sequence[Any], truth: Sequence[Any]) -> Floats:
    """How right each answer is, from 0 to 1; nan where there is no truth or no answer. For labels of any rows."""
    out = np.full(len(truth), np.nan)
    for row, (said, gold) in enumerate(zip(answers, truth, strict=True)):
        if said is None or gold is None:
            continue
        if task.kind in CLASSES:
            out[row] = said == gold
        elif task.kind in SETS:
            one, other = _places(task, gold), _places(task, said)
            out[row] = 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0
        elif task.kind == "text-scale":
            out[row] = max(0.0, 1 - abs(float(said) - float(gold)) / _span(task))
        else:
            out[row] = _best(token_f1, gold, said)
    return out


def _additive_counts(task: TaskRuns) -> Callable[[Sequence[Any]], Floats]:
    if task.kind in CLASSES:
        return lambda answers: _classes(task, answers)
    if task.kind in SETS:
        return lambda answers: np.array(
            [
                (len(_places(task, gold) & said), len(said), len(_places(task, gold)))
                for gold, said in zip(task.truth, (_places(task, answer) for answer in answers), strict=True)
            ],
            dtype=np.float64,
        )
    if task.kind == "text-scale":
        span = _span(task)
        return lambda answers: np.array(
            [
                (0.0 if said is None else max(0.0, 1 - abs(float(said) - float(gold)) / span), 1.0)
                for gold, said in zip(task.truth, answers, strict=True)
            ]
        )
    return lambda answers: np.array(
        [
            (_best(token_f1, gold, said), _best(_same, gold, said), 1.0)
            for gold, said in zip(task.truth, answers, strict=True)
        ]
    )


def _classes(task: TaskRuns, answers: Sequence[Any]) -> Floats:
    """Right, predicted and human-labeled by class."""
    size = len(task.names)
    truth = np.array(task.truth, dtype=np.int64)
    said = np.array([-1 if answer is None else answer for answer in answers], dtype=np.int64)
    human, predicted = (codes[:, None] == np.arange(size) for codes in (truth, said))
    return np.concatenate([human & predicted, predicted, human], axis=1).astype(np.float64)


def _score(task: TaskRuns, name: str) -> Callable[[Floats, Floats], Floats]:
    if task.kind in CLASSES:
        size = len(task.names)

        def classes(sums: Floats, whole: Floats) -> Floats:
            right, predicted, human = (sums[..., part * size : (part + 1) * size] for part in range(3))
            occurring = whole[..., size : 2 * size] + whole[..., 2 * size :] > 0
            return score_margins(name, right, predicted, human, occurring)  # type: ignore[arg-type]  # one of TOLD_APART

        return classes
    if task.kind in SETS:
        return lambda sums, _: _micro(name, sums)
    place = TOLD_APART[task.kind].index(name)
    return lambda sums, _: _divided(sums[..., place], sums[..., -1], np.nan)


def _micro(name: str, sums: Floats) -> Floats:
    """Micro average over labels or entities; 1 where neither side has any."""
    right, said, gold = (sums[..., part] for part in range(3))
    over, under = {"micro_precision": (right, said), "micro_recall": (right, gold)}.get(name, (2 * right, said + gold))
    return np.where(said + gold == 0, 1.0, _divided(over, under, 0.0))


def _divided(over: Floats, under: Floats, otherwise: float) -> Floats:
    out: Floats = np.full(np.shape(over), otherwise)
    return np.divide(over, under, out=out, where=under != 0)


def _places(task: TaskRuns, label: Any) -> set[Any]:
    if label is None:
        return set()
    if task.kind == "multi-label":
        return set(label)
    return {(entity["start"], entity["end"], entity["label"]) for entity in label}


def _span(task: TaskRuns) -> float:
    """How far apart the human labels of the test rows lie; the scale itself is not recorded."""
    values = [float(value) for value in task.truth]
    return max(values) - min(values) or 1.0


def _best(closeness: Callable[[str, str], float], golds: Any, said: Any) -> float:
    """The closest of several right answers."""
    if said is None:
        return 0.0
    several = golds if isinstance(golds, list | tuple) else [golds]
    return max((closeness(_text(gold), _text(said)) for gold in several), default=0.0)


def _same(gold: str, said: str) -> float:
    return float(normalize_answer(gold) == normalize_answer(said))


def _text(answer: Any) -> str:
    return str(answer["text"] or "") if isinstance(answer, Mapping) else str(answer)
