"""Rogan-Gladen: the share of positive answers, from a judge's verdicts, its sensitivity and its specificity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Numbers, check_lengths, number_column
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, normal_quantile, wilson

METHOD = "Rogan-Gladen: Lang and Reiczigel"


@dataclass(frozen=True, slots=True)
class RoganGladen:
    """A share of yes that is corrected for the judge's errors."""

    interval: Interval
    """Its `n` is the number of judged rows in the test set; nan with a `reason`."""
    raw: Interval
    """The judge's own share of yes, uncorrected."""
    sensitivity: Interval
    """q1: of the rows that are yes by human labels, those that are yes by the judge."""
    specificity: Interval
    """q0: of the rows that are no by human labels, those that are no by the judge."""
    n_unscored: int
    """Rows of either set without a verdict; they are left out."""
    reason: str | None = None
    """Why the interval is nan."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; nan becomes None."""
        return fields_as_json(self)


def rogan_gladen(verdicts: Numbers, human: Numbers, judge: Numbers, *, level: float = 0.95) -> RoganGladen:
    """The share of yes by human labels in a test set, from a judge's verdicts and a calibration set.

    theta = (p + q0 - 1) / (q0 + q1 - 1) (Rogan & Gladen 1978) with the judge's share of yes p in the test set, its
    specificity q0 and sensitivity q1 in the calibration set, cut to 0 and 1. The interval (Lang & Reiczigel 2014, as
    Lee et al. 2025, arXiv 2511.21140, give it for judges) adds z^2 pseudo-rows to the test set and two to each human
    class, and includes the variance of all three samples. Its limits always enclose the estimate.

    The judge must have the same sensitivity and specificity in both sets; the share of yes may differ. If the
    calibration set is a random part of the test set, `ppi_mean` is narrower. The sets must not overlap.

    Args:
        verdicts: of the judge in the test set, shape (rows,): 1 or True for yes, 0 or False for no, None for unscored.
        human: labels in the calibration set, shape (calibration rows,): 1 or 0.
        judge: verdicts in the calibration set.
        level: confidence level.

    Returns:
        The corrected share. It is nan, with the reason, if the judge is no better than chance (q0 + q1 <= 1), or the
        test set or a class of the calibration set is empty.

    Raises:
        DataError: a value is neither 0 nor 1, `human` is missing somewhere, or `human` and `judge` differ in length.
        ConfigError: `level` is not between 0 and 1.
    """
    test, truth, judged = _binary(verdicts, "verdicts"), _binary(human, "human"), _binary(judge, "judge")
    check_lengths(human=truth, judge=judged)
    if missing := int(np.isnan(truth).sum()):
        raise DataError(f"`human` is missing in {missing:,} rows: give a calibration set of labeled rows only.")
    unscored = int(np.isnan(test).sum() + np.isnan(judged).sum())
    test, truth, judged = test[~np.isnan(test)], truth[~np.isnan(judged)], judged[~np.isnan(judged)]
    raw = wilson(int(test.sum()), len(test), level)
    sensitivity = wilson(int(judged[truth == 1].sum()), int((truth == 1).sum()), level)
    specificity = wilson(int((1 - judged[truth == 0]).sum()), int((truth == 0).sum()), level)
    reason = _reason(raw, sensitivity, specificity)
    if reason is None:
        interval = _corrected(raw, sensitivity, specificity, level)
    else:
        interval = Interval.undefined(level, METHOD, raw.n)
    return RoganGladen(interval, raw, sensitivity, specificity, unscored, reason)


def _binary(values: Numbers, field: str) -> Floats:
    column = number_column(values, field)
    if wrong := int((~np.isin(column, (0, 1)) & ~np.isnan(column)).sum()):
        raise DataError(f"`{field}` is neither 0 nor 1 in {wrong:,} rows: give yes and no as 1 and 0.")
    return column


def _reason(raw: Interval, sensitivity: Interval, specificity: Interval) -> str | None:
    """Why there is no corrected share."""
    if raw.n == 0:
        return "no row of the test set has a verdict"
    for share, word in ((sensitivity, "yes"), (specificity, "no")):
        if share.n == 0:
            return f"the calibration set has no row to which humans say {word} and which the judge has answered"
    if sensitivity.estimate + specificity.estimate <= 1:
        return (
            f"the judge is no better than chance: sensitivity {sensitivity.estimate:.3f} + specificity "
            f"{specificity.estimate:.3f} is not above 1"
        )
    return None


def _corrected(raw: Interval, sensitivity: Interval, specificity: Interval, level: float) -> Interval:
    p, q0, q1 = raw.estimate, specificity.estimate, sensitivity.estimate
    estimate = min(1.0, max(0.0, (p + q0 - 1) / (q0 + q1 - 1)))
    z = normal_quantile(level)
    n, m0, m1 = raw.n + z * z, specificity.n + 2, sensitivity.n + 2
    p = (raw.n * p + z * z / 2) / n
    q0, q1 = (specificity.n * q0 + 1) / m0, (sensitivity.n * q1 + 1) / m1
    # The pseudo-rows bring a judge nearer to chance; q0 + q1 > 1 of the counts does not leave it.
    skill = q0 + q1 - 1
    if skill <= 0:
        return Interval(estimate, 0.0, 1.0, level, METHOD, raw.n)
    share = (p + q0 - 1) / skill
    spread0, spread1 = q0 * (1 - q0) / m0, q1 * (1 - q1) / m1
    shift = 2 * z * z * (share * spread1 - (1 - share) * spread0)
    error = math.sqrt(p * (1 - p) / n + (1 - share) ** 2 * spread0 + share**2 * spread1) / skill
    low, high = (min(1.0, max(0.0, share + shift + side * z * error)) for side in (-1, 1))
    return Interval(estimate, min(low, estimate), max(high, estimate), level, METHOD, raw.n)
