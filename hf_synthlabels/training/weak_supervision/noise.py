"""Which labels to look at again: students that did not see a label say how likely it is."""

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

NoiseMethod = Literal["margin", "self_confidence", "normalized_margin", "confidence_weighted_entropy"]
"""`margin` is ours; the others are cleanlab's, of the extra `noise`."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseRanking:
    """How well each label fits what students say that did not see it; arrays have one entry per row of the data set."""

    codes: NDArray[np.int64]
    """The label that was judged; `MISSING` for a row that is not ranked."""
    quality: NDArray[np.float64]
    """From 0, surely wrong, to 1; nan for a row that is not ranked."""
    suggested: NDArray[np.int64]
    """The likeliest label; `MISSING` for a row that is not ranked."""
    method: NoiseMethod

    @property
    def order(self) -> NDArray[np.int64]:
        """The ranked rows, the least fitting first; rows that fit alike in row order."""
        ranked = np.flatnonzero(self.codes != MISSING)
        return ranked[np.argsort(self.quality[ranked], kind="stable")]


@dataclass(frozen=True, slots=True)
class ReviewYield:
    """What a human finds who reviews the first k rows of a ranking."""

    k: int
    wrong: Interval
    """The share of the k rows whose label is wrong."""
    found: Interval
    """The share of all wrong labels that are among them; by chance it would be k / rows."""
    by_chance: float
    """Wrong labels that k rows drawn at random would hold, on average."""


def out_of_fold(
    config: StudentConfig, dataset: Dataset, names: Sequence[str], *, folds: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """The probabilities of each label, from a student that trained on other rows; shape (rows, names).

    Rows are dealt into folds by label, rows of equal text into the same one, for otherwise a student has seen the row
    that it judges. Human labels, where the config names them, train as it says.

    Args:
        config: the student's; each fold trains one.
        dataset: rows with the columns that the config names.
        names: every label name.
        folds: how many students, at least 2.
        seed: of the dealing; the students' own seed is the config's.

    Returns:
        nan where `label_column` has no label.

    Raises:
        ConfigError: `folds` is below 2, or as `train_student` says.
        DataError: fewer labelled rows of different texts than folds, or as `train_student` says.
    """
    from hf_synthlabels.training.student_training import train_student

    rows = training_rows(dataset, names=names, label_column=config.label_column)
    parts = _dealt(dataset, config, rows.kept, rows.codes, folds, seed)
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
    """Rank labels by how badly they fit probabilities that are not of their own making.

    `margin` is (1 + p[label] − max of the other p) / 2, the normalised margin of confident learning (Northcutt et al.
    2021); the other methods are `cleanlab.rank.get_label_quality_scores`.

    Args:
        codes: the labels, shape (rows,); `MISSING` for a row without one.
        probabilities: of each label, shape (rows, names), as `out_of_fold` makes them; nan for rows without a label.
        method: how quality is measured.
        reviewed: rows that a human has labelled and nobody needs to look at, shape (rows,).

    Raises:
        ConfigError: there is no such method.
        DataError: shapes differ, or no row can be ranked.
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
    """The data set with `<column>_quality`, `<column>_review_rank` (1 first) and `<column>_suggested`, a name.

    Rows stay in their order; all three are None for a row that is not ranked.

    Args:
        dataset: the rows that were ranked.
        ranking: of them.
        names: label names in the order of the codes.
        column: the label column that the new ones belong to.

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
    """How many wrong labels the first k rows of a ranking hold, on data with human labels.

    Args:
        ranking: of the labels.
        human: human codes of all rows, `MISSING` where there is none; such rows are passed over.
        ks: how many rows are reviewed, each from 1; no more are counted than there are.
        level: of the Wilson intervals.

    Raises:
        ConfigError: a k is below 1.
        DataError: the lengths differ, or no ranked row has a human label.
    """
    truth = np.asarray(human, dtype=np.int64)
    if truth.shape != ranking.codes.shape:
        raise DataError(f"`human` has shape {truth.shape}, the ranking is of {len(ranking.codes)} rows. Give the same.")
    if bad := [k for k in ks if k < 1]:
        raise ConfigError(f"`ks` has {bad[0]!r}. Give how many rows are reviewed, at least 1.")
    order = ranking.order[truth[ranking.order] != MISSING]
    if not len(order):
        raise DataError("`human` has no label on any ranked row. Label some rows by hand.")
    wrong = truth[order] != ranking.codes[order]
    total = int(wrong.sum())
    yields = []
    for asked in ks:
        k = min(asked, len(order))
        hits = int(wrong[:k].sum())
        yields.append(ReviewYield(k, wilson(hits, k, level), wilson(hits, total, level), k * total / len(order)))
    return tuple(yields)


def _quality(labels: NDArray[np.int64], probs: NDArray[np.float64], method: NoiseMethod) -> NDArray[np.float64]:
    if method == "margin":
        own = np.take_along_axis(probs, labels[:, None], axis=1)[:, 0]
        others = probs.copy()
        others[np.arange(len(labels)), labels] = -math.inf
        margin: NDArray[np.float64] = (1 + own - others.max(axis=1)) / 2
        return margin
    rank = import_extra("cleanlab.rank", "noise")
    scores: NDArray[np.float64] = rank.get_label_quality_scores(labels, probs, method=method, adjust_pred_probs=False)
    return scores


def _dealt(
    dataset: Dataset,
    config: StudentConfig,
    kept: NDArray[np.int64],
    codes: NDArray[np.int64],
    folds: int,
    seed: int,
) -> NDArray[np.int64]:
    """The fold of each labelled row."""
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2:
        raise ConfigError(f"`folds` is {folds!r}. Give at least 2; 5 is usual.")
    columns = [column_values(dataset, column, "text_columns") for column in config.text_columns]
    texts: dict[tuple[Any, ...], int] = {}
    groups = [texts.setdefault(tuple(column[row] for column in columns), len(texts)) for row in kept]
    if len(texts) < folds:
        raise DataError(
            f"`folds` is {folds}, but there are {len(texts)} different texts with a label. Give fewer folds."
        )
    parts = np.empty(len(kept), dtype=np.int64)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is missing in some of them, which does no harm.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        dealing = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        try:
            for fold, (_, held) in enumerate(dealing.split(np.zeros(len(kept)), codes, groups)):
                parts[held] = fold
        except ValueError as error:
            raise DataError(f"`folds` is {folds}, more than the rows of any label. Give fewer folds.") from error
    return parts
