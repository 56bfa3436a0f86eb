"""Logistic and ridge regression on TF-IDF features or on the embeddings of a frozen encoder."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError, import_extra
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.studies.students.features import FEATURES, FeatureMaker, SentenceVectors, WordCounts
from hf_synthlabels.studies.students.job import Job, Outcome
from hf_synthlabels.studies.tasks.training_tables import Tables

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse regularization strengths that cross-validation chooses from."""

FOLDS = 5
MAX_ITERATIONS = 1_000

COEFFICIENT_ERROR = 1e-3
"""Largest error of a coefficient that a fit may stop at."""

RIDGE_TOL = 1e-6


def learn_by_regression(job: Job, tables: Tables) -> Outcome:
    """Learn from features of texts; how strongly it is held back is chosen by cross-validation on its own rows.

    Raises:
        DataError: all labels are the same.
        MissingExtraError: scikit-learn is not installed.
    """
    import_extra("sklearn", "train")
    pools = import_extra("threadpoolctl", "train")
    # Small products on several threads wait for each other, as soon as another program wants a core.
    with pools.threadpool_limits(job.threads):
        return _learnt(job, tables)


def _learnt(job: Job, tables: Tables) -> Outcome:
    texts, target = training_part(job, tables)
    asked = text_columns(tables.test, job.columns)
    began = time.perf_counter()
    maker = feature_maker(job)
    strength = choose_strength(maker, texts, target, job.cell.seed)
    transform = maker.fitted(texts)
    fitted = fit_regression(transform(texts), target, strength)
    trained = time.perf_counter()
    answers = tuple(_answers(fitted, transform(asked), job.schema.scale))
    ended = time.perf_counter()
    # Vectors that an earlier cell has made cost what they cost then.
    train_s, predict_s = trained - began + maker.saved(texts), ended - trained + maker.saved(asked)
    return Outcome(job.key, job.cell, answers, rows=len(target), train_s=train_s, predict_s=predict_s)


def feature_maker(job: Job) -> FeatureMaker:
    """What makes the features of a job's texts."""
    return WordCounts() if job.learner == "tfidf" else SentenceVectors(str(job.options[FEATURES]))


def training_part(job: Job, tables: Tables) -> tuple[list[list[str]], NDArray[Any]]:
    """The texts of the rows with a label, by column, and what is to be predicted.

    Raises:
        DataError: there is no label, or all are the same.
    """
    kept = [place for place, label in enumerate(job.labels) if label is not None]
    if not kept:
        raise DataError(f"`sources` {job.cell.source!r} has no label in {len(job.rows)} rows. Look at its answers.")
    train = tables.pool.select([job.rows[place] for place in kept])
    labels = [job.labels[place] for place in kept]
    target = _target(labels, job.schema)
    if len(np.unique(target, axis=0)) < 2:
        raise DataError(
            f"`sources` {job.cell.source!r} gives the same label to all {len(labels)} of {len(job.rows)} rows that "
            "have one, so there is nothing to learn. Look at its labels and answers."
        )
    return text_columns(train, job.columns), target


def _target(labels: Sequence[Any], schema: LabelSchema) -> NDArray[Any]:
    if schema.kind == "multi-label":
        return _indicators(labels, len(schema.names))
    return np.array(labels, dtype=np.float64 if schema.kind == "text-scale" else np.int64)


def fit_regression(features: Any, target: NDArray[Any], strength: float) -> Any:
    """Fit a regression to convergence: softmax for one label per row, one regression per label for several labels.

    scikit-learn minimizes the mean loss, so both its gradient and the curvature of the penalty shrink with the number
    of rows. The tolerance shrinks with them: a gradient of `tol` leaves an error of at most `strength * rows * tol`
    in a coefficient. Each fit starts at zero, so that no result depends on the strengths tried before.

    Args:
        features: shape (rows, features), dense or sparse.
        target: class codes; 0/1 indicators of shape (rows, labels); or real numbers, for a ridge regression.
        strength: inverse regularization strength `C`.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    if _is_numbers(target):
        return Ridge(alpha=1 / strength, tol=RIDGE_TOL, max_iter=MAX_ITERATIONS).fit(
            features.astype(np.float64), target
        )
    # Newton's method needs a few iterations where L-BFGS takes hundreds, and reaches tolerances this small.
    tol = COEFFICIENT_ERROR / (strength * features.shape[0])
    regression: Any = LogisticRegression(C=strength, solver="newton-cg", tol=tol, max_iter=MAX_ITERATIONS)
    if target.ndim > 1:
        regression = OneVsRestClassifier(regression)
    with warnings.catch_warnings():
        # A label that no row or every row has is no surprise here.
        warnings.filterwarnings("ignore", "Label .* is present in all training examples", UserWarning)
        warnings.filterwarnings("ignore", "Label not .* is present in all training examples", UserWarning)
        # Single precision cannot resolve the last digits of the gradient.
        return regression.fit(features.astype(np.float64), target)


def _is_numbers(target: NDArray[Any]) -> bool:
    return target.dtype.kind == "f"


def _answers(regression: Any, features: Any, scale: Scale | None = None) -> list[Any]:
    """A code per row, the codes of several names, or a number; on a scale the nearest number of the scale."""
    predicted = np.asarray(regression.predict(features))
    if predicted.ndim > 1:
        return [np.flatnonzero(row).tolist() for row in predicted]
    if not _is_numbers(predicted):
        return [int(code) for code in predicted]
    return on_scale(predicted, scale).tolist()  # type: ignore[no-any-return]


def on_scale(numbers: NDArray[Any], scale: Scale | None) -> NDArray[np.float64]:
    """The nearest numbers of a scale."""
    if scale is None:
        return numbers
    numbers = np.clip(numbers, scale.low, scale.high)
    if scale.step is None:
        return numbers
    steps = np.minimum(np.rint((numbers - scale.low) / scale.step), len(scale.grid() or ()) - 1)
    found: NDArray[np.float64] = scale.low + steps * scale.step
    return found


def choose_strength(maker: FeatureMaker, texts: Sequence[Sequence[str]], target: NDArray[Any], seed: int) -> float:
    """The strength with the most correct held-out labels, or the least absolute error; among equals the smallest."""
    correct = np.zeros(len(STRENGTHS))
    for train, held in _folds(target, seed):
        transform = maker.fitted([[column[row] for row in train] for column in texts])
        features, asked = (transform([[column[row] for row in rows] for column in texts]) for rows in (train, held))
        for place, strength in enumerate(STRENGTHS):
            answers = _answers(fit_regression(features, target[train], strength), asked)
            correct[place] += _right(answers, target[held])
    return STRENGTHS[int(np.argmax(correct))]


def _folds(target: NDArray[Any], seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Folds in which every training part has two labels at least; none where the rows are too few."""
    from sklearn.model_selection import KFold, StratifiedKFold

    n_folds = min(FOLDS, len(target))
    if n_folds < 2:
        return []
    with warnings.catch_warnings():
        # A label of fewer rows than folds is in some of them only.
        warnings.simplefilter("ignore", UserWarning)
        maker: Any = KFold if target.ndim > 1 or _is_numbers(target) else StratifiedKFold
        if maker is StratifiedKFold and np.bincount(target).max() < n_folds:
            maker = KFold
        parts = list(maker(n_folds, shuffle=True, random_state=seed % 2**32).split(np.zeros(len(target)), target))
    return [(train, held) for train, held in parts if len(np.unique(target[train], axis=0)) > 1]


def _right(said: list[Any], truth: NDArray[Any]) -> float:
    if _is_numbers(truth):
        return -float(np.abs(np.array(said) - truth).sum())
    if truth.ndim > 1:
        return float((_indicators(said, truth.shape[1]) == truth).mean(axis=1).sum())
    return float((np.array(said) == truth).sum())


def _indicators(labels: Sequence[Sequence[int]], n_names: int) -> NDArray[np.int64]:
    found = np.zeros((len(labels), n_names), dtype=np.int64)
    for row, codes in enumerate(labels):
        found[row, list(codes)] = 1
    return found


def text_columns(rows: Dataset, columns: Sequence[str]) -> list[list[str]]:
    """The texts of each column; a missing one is empty."""
    return [["" if text is None else str(text) for text in rows[column][:]] for column in columns]
