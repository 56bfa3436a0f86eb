"""Label error detection: labels ranked by out-of-fold predictions."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError, import_extra
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_rows import column_values, training_rows

NoiseMethod = Literal["margin", "self_confidence", "confidence_weighted_entropy"]
"""`margin` is built in; the others are from cleanlab, in the extra `noise`."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseRanking:
    """The quality of each label given out-of-fold predictions; arrays have one entry per row of the data set."""

    codes: NDArray[np.int64]
    """The ranked label; `MISSING` for an unranked row."""
    quality: NDArray[np.float64]
    """From 0, likely wrong, to 1; NaN for an unranked row."""
    suggested: NDArray[np.int64]
    """The most likely label; `MISSING` for an unranked row."""
    method: NoiseMethod

    @property
    def order(self) -> NDArray[np.int64]:
        """The ranked rows, lowest quality first, ties in row order."""
        ranked = np.flatnonzero(self.codes != MISSING)
        return ranked[np.argsort(self.quality[ranked], kind="stable")]


@dataclass(frozen=True, slots=True)
class ReviewYield:
    """Label errors among the first k rows of a ranking."""

    k: int
    wrong: Interval
    """Share of the k rows with a wrong label (precision)."""
    found: Interval
    """Share of all wrong labels that are among them (recall); k / rows for a random ranking."""
    by_chance: float
    """Expected number of wrong labels among k random rows."""


def out_of_fold(
    config: StudentConfig, dataset: Dataset, names: Sequence[str], *, folds: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """Out-of-fold probabilities of each label, shape (rows, names); NaN for unlabeled rows.

    Folds are stratified by label, and rows with equal texts are in the same fold. Human labels, if the config names
    them, are used as in `train_student`.

    Args:
        config: the student's config; each fold trains a student.
        dataset: rows with the columns of the config.
        names: all label names.
        folds: number of students, at least 2.
        seed: seed of the folds; the students use the seed of the config.

    Raises:
        ConfigError: `folds` is below 2; see also `train_student`.
        DataError: there are fewer distinct labeled texts than folds; see also `train_student`.
    """
    from hf_synthlabels.training.student_training import train_student

    rows = training_rows(dataset, names=names, label_column=config.label_column)
    parts = _assign_folds(dataset, config, rows.kept, rows.codes, folds, seed)
    probabilities = np.full((len(dataset), len(names)), np.nan)
    for fold in range(folds):
        held = rows.kept[parts == fold]
        part = copy.copy(config)
        part.output_dir = str(Path(config.output_dir or "student") / f"fold-{fold}")
        student = train_student(part, dataset.select(np.setdiff1d(np.arange(len(dataset)), held)), names=names)
        probabilities[held] = student.predict(dataset.select(held)).probabilities
    return probabilities


def rank_noise(
    codes: Sequence[int] | NDArray[np.int64],
    probabilities: NDArray[np.float64],
    method: NoiseMethod = "margin",
    *,
    reviewed: NDArray[np.bool_] | None = None,
) -> NoiseRanking:
    """Rank labels by their quality given out-of-fold probabilities.

    `margin` is (1 + p[label] − max of the other p) / 2, the normalised margin of confident learning (Northcutt et al.
    2021); the other methods are `cleanlab.rank.get_label_quality_scores`.

    Args:
        codes: the labels, shape (rows,); `MISSING` for an unlabeled row.
        probabilities: probabilities of each label, shape (rows, names), from `out_of_fold`; NaN for unlabeled rows.
        method: the quality score.
        reviewed: human-labeled rows, which need no review, shape (rows,).

    Raises:
        ConfigError: the method is unknown.
        DataError: the shapes differ, or no row can be ranked.
        MissingExtraError: the method is cleanlab's and cleanlab is not installed.
    """
    if method not in get_args(NoiseMethod):
        raise ConfigError(f"`method` is {method!r}. Give one of {', '.join(get_args(NoiseMethod))}.")
    labels = np.array(codes, dtype=np.int64)
    probs = np.asarray(probabilities, dtype=np.float64)
    if labels.ndim != 1 or probs.ndim != 2 or len(labels) != len(probs) or probs.shape[1] <= labels.max(initial=-1):
        raise DataError(
            f"`codes` has shape {labels.shape} and `probabilities` {probs.shape}. Give one code and the probability of "
            "every label for each row."
        )
    ranked = (labels != MISSING) & ~np.isnan(probs).any(axis=1)
    if reviewed is not None:
        ranked &= ~np.asarray(reviewed, dtype=bool)
    if not ranked.any():
        raise DataError(f"`codes` has no row of {len(labels)} that can be ranked. Annotate rows first.")
    quality = np.full(len(labels), np.nan)
    quality[ranked] = _quality(labels[ranked], probs[ranked], method)
    suggested = np.full(len(labels), MISSING, dtype=np.int64)
    suggested[ranked] = probs[ranked].argmax(axis=1)
    return NoiseRanking(np.where(ranked, labels, MISSING), quality, suggested, method)


def review_columns(dataset: Dataset, ranking: NoiseRanking, names: Sequence[str], column: str) -> Dataset:
    """Add `<column>_quality`, `<column>_review_rank` (from 1) and `<column>_suggested`, a name, to the ranked rows.

    The row order is preserved; unranked rows have nulls.

    Raises:
        DataError: the ranking is of another number of rows.
    """
    if len(dataset) != len(ranking.codes):
        raise DataError(f"`ranking` is of {len(ranking.codes)} rows, `dataset` has {len(dataset)}. Give the same rows.")
    place: list[int | None] = [None] * len(dataset)
    for position, row in enumerate(ranking.order, start=1):
        place[int(row)] = position
    there = [position is not None for position in place]
    new: dict[str, tuple[list[Any], str]] = {
        "quality": ([float(q) if t else None for q, t in zip(ranking.quality, there, strict=True)], "float32"),
        "review_rank": (place, "int64"),
        "suggested": ([names[code] if code != MISSING else None for code in ranking.suggested], "string"),
    }
    for name, (values, kind) in new.items():
        known = f"{column}_{name}"
        dataset = dataset.remove_columns(known) if known in dataset.column_names else dataset
        dataset = dataset.add_column(known, values).cast_column(known, Value(kind))
    return dataset


def errors_found(
    ranking: NoiseRanking, human: Sequence[int] | NDArray[np.int64], ks: Sequence[int], *, level: float = 0.95
) -> tuple[ReviewYield, ...]:
    """The number of wrong labels among the first k rows of a ranking, on data with human labels.

    Args:
        ranking: the ranking.
        human: human codes of all rows; rows with `MISSING` are skipped.
        ks: numbers of reviewed rows, each at least 1, capped at the number of rows.
        level: confidence level of the Wilson intervals.

    Raises:
        ConfigError: a k is below 1.
        DataError: the lengths differ, or no ranked row has a human label.
    """
    truth = np.asarray(human, dtype=np.int64)
    if truth.shape != ranking.codes.shape:
        raise DataError(f"`human` has shape {truth.shape}, the ranking is of {len(ranking.codes)} rows. Give the same.")
    if bad := [k for k in ks if k < 1]:
        raise ConfigError(f"`ks` has {bad[0]!r}. Give a number of rows, at least 1.")
    order = ranking.order[truth[ranking.order] != MISSING]
    if not len(order):
        raise DataError("`human` has no label on any ranked row. Label some rows by hand.")
    wrong = truth[order] != ranking.codes[order]
    total = int(wrong.sum())
    yields = []
    for requested in ks:
        k = min(requested, len(order))
        hits = int(wrong[:k].sum())
        yields.append(ReviewYield(k, wilson(hits, k, level), wilson(hits, total, level), k * total / len(order)))
    return tuple(yields)


def _quality(labels: NDArray[np.int64], probs: NDArray[np.float64], method: NoiseMethod) -> NDArray[np.float64]:
    if method == "margin":
        label_probs = np.take_along_axis(probs, labels[:, None], axis=1)[:, 0]
        others = probs.copy()
        others[np.arange(len(labels)), labels] = -math.inf
        margin: NDArray[np.float64] = (1 + label_probs - others.max(axis=1)) / 2
        return margin
    rank = import_extra("cleanlab.rank", "noise")
    scores: NDArray[np.float64] = rank.get_label_quality_scores(labels, probs, method=method, adjust_pred_probs=False)
    return scores


def _assign_folds(
    dataset: Dataset,
    config: StudentConfig,
    kept: NDArray[np.int64],
    codes: NDArray[np.int64],
    folds: int,
    seed: int,
) -> NDArray[np.int64]:
    """The fold of each labeled row."""
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2:
        raise ConfigError(f"`folds` is {folds!r}. Give at least 2; 5 is usual.")
    columns = [column_values(dataset, column, "text_columns") for column in config.text_columns]
    texts: dict[tuple[Any, ...], int] = {}
    groups = [texts.setdefault(tuple(column[row] for column in columns), len(texts)) for row in kept]
    if len(texts) < folds:
        raise DataError(f"`folds` is {folds}, but there are only {len(texts)} distinct labeled texts. Lower it.")
    parts = np.empty(len(kept), dtype=np.int64)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is missing in some of them, which is harmless.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        try:
            for fold, (_, held) in enumerate(splitter.split(np.zeros(len(kept)), codes, groups)):
                parts[held] = fold
        except ValueError as error:
            raise DataError(f"`folds` is {folds}, more than the rows of any label. Lower it.") from error
    return parts
