"""Recalibration: confidences corrected by human labels, and tested on rows that the correction did not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from scipy import optimize, special

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, number_column
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, row_intervals
from hf_synthlabels.statistics.confidence.calibration_error import calibration_error
from hf_synthlabels.statistics.confidence.ranking import auroc, brier_of_counts
from hf_synthlabels.statistics.confidence.reliability_table import ConfidentRows, contributions
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.estimation.calibration import fold_numbers
from hf_synthlabels.statistics.exhibits import align, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, normal_quantile

Method = Literal["isotonic", "temperature"]

METHODS: dict[Method, str] = {"isotonic": "isotonic regression", "temperature": "temperature scaling"}

CERTAIN = 0.999
"""Confidences beyond this, and below 1 less this, count as it: no temperature changes the odds of 1."""

MAX_LOG_TEMPERATURE = 5.0

MIN_ISOTONIC = 200
"""Rows below which isotonic regression follows noise."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """The log-odds of the confidence divided by a number (Guo et al. 2017): above 1 confidences come closer to 0.5."""

    temperature: float

    def __call__(self, confidence: Any) -> Floats:
        """The recalibrated confidence of each row; nan stays nan."""
        odds = special.logit(np.clip(number_column(confidence, "confidence"), 1 - CERTAIN, CERTAIN))
        recalibrated: Floats = special.expit(odds / self.temperature)
        return recalibrated

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)


@dataclass(frozen=True, slots=True)
class Steps:
    """Accuracies that never fall as the confidence rises: linear between the given confidences."""

    confidences: tuple[float, ...]
    """Ascending."""
    accuracies: tuple[float, ...]

    def __call__(self, confidence: Any) -> Floats:
        """The recalibrated confidence of each row; nan stays nan."""
        values = number_column(confidence, "confidence")
        recalibrated: Floats = np.interp(values, self.confidences, self.accuracies)
        return recalibrated

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)


Fit = Temperature | Steps


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Confidences before and after recalibration; each row was recalibrated by the labels of other rows."""

    method: Method
    n: int
    folds: int
    seed: int
    fit: Fit
    """From all rows: call it with confidences of new rows."""
    before: Mapping[str, Interval]
    after: Mapping[str, Interval]
    difference: Interval
    """Brier score after minus before."""
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The method, and the rows that it was tested on."""
        chosen = f", temperature {self.fit.temperature:.3g}" if isinstance(self.fit, Temperature) else ""
        return (
            f"recalibration by {METHODS[self.method]}{chosen}: each of {self.n:,} rows by the labels of the other "
            f"{self.folds - 1} of {self.folds} parts (seed {self.seed})"
        )

    @property
    def difference_text(self) -> str:
        """The difference of the Brier scores."""
        return f"Brier score after minus before: {self.difference} of {self.n:,} rows ({self.difference.method})"

    def text(self, width: int | None = None) -> str:
        """The scores before and after for a terminal of `width` characters."""
        rows = [("score", "before", "after")]
        rows += [(name, str(score), str(self.after[name])) for name, score in self.before.items()]
        parts = [wrap(self.heading, width), align(rows, width=width), wrap(self.difference_text, width)]
        return "\n\n".join([*parts, *(wrap(note, width) for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        fit: Fit
        if values["method"] == "temperature":
            fit = Temperature(values["fit"]["temperature"])
        else:
            fit = Steps(tuple(values["fit"]["confidences"]), tuple(values["fit"]["accuracies"]))
        scores = {
            name: {score: Interval.from_dict(each) for score, each in values[name].items()}
            for name in ("before", "after")
        }
        more = {"difference": Interval.from_dict(values["difference"]), "notes": tuple(values["notes"])}
        return cls(**{**values, **scores, **more, "fit": fit})


def recalibrate(
    rows: ConfidentRows, method: Method = "isotonic", *, folds: int = 5, bootstrap: BootstrapConfig | None = None
) -> Recalibration:
    """Recalibrate confidences by the human labels, and test the result by cross-fitting.

    The rows are divided into parts at random; clusters stay together. Each part is recalibrated by a fit to the other
    parts, so the scores after are those of rows that the fit did not see.

    Args:
        rows: labels with a confidence, and whether they are right.
        method: `isotonic` for pooled adjacent violators (Zadrozny & Elkan 2002), which need some hundred rows, or
            `temperature` for one number that divides the log-odds.
        folds: parts, at least 2.
        bootstrap: level, resamples and seed; the seed also divides the rows.

    Raises:
        ConfigError: `method` is unknown, or `folds` is less than 2.
        DataError: there are fewer rows than parts, or fewer than two clusters.
    """
    if method not in METHODS:
        raise ConfigError(f"`recalibrate` is {method!r}: give one of {', '.join(METHODS)}.")
    if folds < 2:
        raise ConfigError(f"`folds` is {folds!r}: give at least 2; 5 is usual.")
    if len(rows) < folds:
        raise DataError(f"`recalibrate` has {len(rows):,} rows for {folds} parts: label at least {folds} rows by hand.")
    bootstrap = bootstrap or BootstrapConfig()
    design = rows.design or SamplingDesign()
    parts = fold_numbers(np.ones(len(rows), dtype=np.bool_), design.clusters, folds, bootstrap.seed)
    recalibrated = _cross_fitted(rows, method, parts)
    after = ConfidentRows(recalibrated, rows.correct, rows.design)
    few = f"{len(rows):,} rows are few for isotonic regression: compare with temperature scaling."
    return Recalibration(
        method=method,
        n=len(rows),
        folds=int(parts.max()) + 1,
        seed=bootstrap.seed,
        fit=fit_recalibration(rows, method),
        before=_scores(rows, bootstrap),
        after=_scores(after, bootstrap),
        difference=_difference(rows, after, bootstrap.level),
        notes=(few,) if method == "isotonic" and len(rows) < MIN_ISOTONIC else (),
    )


def fit_recalibration(rows: ConfidentRows, method: Method) -> Fit:
    """The recalibration of all rows, for confidences of rows without a human label."""
    weights = rows.weights
    if method == "isotonic":
        values, place = np.unique(rows.confidence, return_inverse=True)
        mass = np.bincount(place, weights=weights)
        means = np.bincount(place, weights=weights * rows.correct) / mass
        fitted = optimize.isotonic_regression(means, weights=mass).x
        return Steps(tuple(values.tolist()), tuple(np.clip(fitted, 0.0, 1.0).tolist()))
    odds = special.logit(np.clip(rows.confidence, 1 - CERTAIN, CERTAIN))
    signed = np.where(rows.correct, odds, -odds)

    def loss(log_temperature: float) -> float:
        return float(weights @ np.logaddexp(0.0, -signed / np.exp(log_temperature)))

    best = optimize.minimize_scalar(loss, bounds=(-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE), method="bounded")
    return Temperature(float(np.exp(best.x)))


def _cross_fitted(rows: ConfidentRows, method: Method, parts: Ints) -> Floats:
    """The confidence of each row by a fit to the other parts."""
    recalibrated = np.empty(len(rows))
    for part in range(int(parts.max()) + 1):
        own = parts == part
        recalibrated[own] = fit_recalibration(rows.take(~own), method)(rows.confidence[own])
    return recalibrated


def _scores(rows: ConfidentRows, bootstrap: BootstrapConfig) -> dict[str, Interval]:
    return {
        "Brier score": row_intervals(contributions(rows), {"": brier_of_counts}, bootstrap, len(rows))[""],
        "calibration error": calibration_error(rows, bootstrap=bootstrap).debiased,
        "AUROC of being right": auroc(rows, bootstrap.level),
    }


def _difference(before: ConfidentRows, after: ConfidentRows, level: float) -> Interval:
    """The mean difference of squared errors, with a normal interval of its linearized variance."""
    weights, n = before.weights, len(before)
    squares = [(rows.confidence - rows.correct) ** 2 for rows in (before, after)]
    values = squares[1] - squares[0]
    mean = float(weights @ values / weights.sum())
    design = before.design or SamplingDesign()
    variance = design.variance_of_total(weights * (values - mean)) / weights.sum() ** 2
    half = normal_quantile(level) * float(np.sqrt(variance)) * design.widening(n, level)
    return Interval(mean, mean - half, mean + half, level, design.method_name("normal, paired", n), n)
