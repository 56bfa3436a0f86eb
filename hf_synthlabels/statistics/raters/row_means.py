"""Means of row values under a sampling design: shares, differences and ratios, with intervals that never collapse."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, score_interval


def row_weights(design: SamplingDesign | None, rows: int) -> Floats:
    """The weights of rows with the sum 1."""
    raw = np.ones(rows) if design is None or design.weights is None else design.weights
    weights: Floats = raw / raw.sum()
    return weights


def variance_of_mean(values: Floats, design: SamplingDesign | None) -> float:
    """The linearized variance of a weighted mean of row values (Hajek 1971)."""
    weights = row_weights(design, len(values))
    return (design or SamplingDesign()).variance_of_total(weights * (values - weights @ values))


def bounded_row_mean(values: Floats, design: SamplingDesign | None, level: float) -> Interval:
    """The mean of values from 0 to 1, with the interval of Agresti & Coull (1998) for the effective number of rows.

    z^2 pseudo-rows are added, half of them at each end, so that equal values do not give an interval of width 0.
    Weights and clusters reduce the number of rows by their design effect.
    """
    n, method = len(values), _method("Agresti-Coull, of a mean", design, len(values))
    if not n:
        return Interval.undefined(level, method)
    weights = row_weights(design, n)
    mean, square = float(weights @ values), float(weights @ values**2)
    effective, pseudo = _effective_rows(values, design), normal_quantile(level) ** 2
    center = (mean * effective + pseudo / 2) / (effective + pseudo)
    variance = max(0.0, (square * effective + pseudo / 2) / (effective + pseudo) - center**2)
    half = _quantile(design, n, level) * math.sqrt(variance / (effective + pseudo))
    return Interval(mean, min(mean, max(0.0, center - half)), max(mean, min(1.0, center + half)), level, method, n)


def row_difference(values: Floats, design: SamplingDesign | None, level: float) -> Interval:
    """The mean of paired differences from -1 to 1, with Agresti & Min's pseudo-rows (2005): half a row at each end."""
    n, method = len(values), _method("paired, Agresti-Min", design, len(values))
    if not n:
        return Interval.undefined(level, method)
    weights = row_weights(design, n)
    mean, square = float(weights @ values), float(weights @ values**2)
    effective = _effective_rows(values, design)
    center = mean * effective / (effective + 2)
    variance = max(0.0, (square * effective + 1) / (effective + 2) - center**2)
    half = _quantile(design, n, level) * math.sqrt(variance / (effective + 2))
    return Interval(mean, min(mean, max(-1.0, center - half)), max(mean, min(1.0, center + half)), level, method, n)


def row_mean(values: Floats, design: SamplingDesign | None, level: float) -> Interval:
    """The mean of numbers without bounds, with Student's interval."""
    n, method = len(values), _method("t", design, len(values))
    if not n:
        return Interval.undefined(level, method)
    mean = float(row_weights(design, n) @ values)
    if n < 2:
        return Interval(mean, math.nan, math.nan, level, method, n)
    half = _student(design, n, level) * math.sqrt(variance_of_mean(values, design))
    return Interval(mean, mean - half, mean + half, level, method, n)


def row_ratio(over: Floats, under: Floats, design: SamplingDesign | None, level: float) -> Interval:
    """The ratio of two means of the same rows, by the delta method on its logarithm; undefined where a mean is 0."""
    n, method = len(over), _method("t, of the log ratio", design, len(over))
    weights = row_weights(design, n) if n else np.zeros(0)
    top, bottom = float(weights @ over), float(weights @ under)
    if n < 2 or top <= 0 or bottom <= 0:
        return Interval.undefined(level, method, n)
    error = math.sqrt(variance_of_mean(over / top - under / bottom, design))
    factor = math.exp(_student(design, n, level) * error)
    return Interval(top / bottom, top / bottom / factor, top / bottom * factor, level, method, n)


def effective_interval(share: float, variance: float, most: float, n: int, level: float, method: str) -> Interval:
    """Wilson's interval for the rows of a simple random sample with the same variance, p (1 - p) / variance.

    Args:
        share: the estimate.
        variance: its variance.
        most: rows to use at most, and where the estimate is 0 or 1 or does not vary.
        n: rows to report.
        level: confidence level.
        method: its name.
    """
    if math.isnan(share):
        return Interval.undefined(level, method, n)
    spread = share * (1 - share)
    rows = min(most, spread / variance) if variance > 0 and spread > 0 else most
    return Interval(share, *score_interval(share, rows, normal_quantile(level)), level, method, n)


def _effective_rows(values: Floats, design: SamplingDesign | None) -> float:
    """The rows divided by the design effect, which is at least 1."""
    n = len(values)
    if design is None or design.is_random or n < 2:
        return float(n)
    simple = variance_of_mean(values, None)
    if simple > 1e-12:
        return n / max(1.0, variance_of_mean(values, design) / simple)
    unit, stratum = design.units(n)
    sizes = np.bincount(unit, weights=row_weights(design, n), minlength=len(stratum))
    return float(1 / (sizes @ sizes))


def _quantile(design: SamplingDesign | None, n: int, level: float) -> float:
    """The normal quantile, wider for few clusters."""
    return normal_quantile(level) * (1.0 if design is None else design.widening(n, level))


def _student(design: SamplingDesign | None, n: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, (design or SamplingDesign()).degrees_of_freedom(n)))


def _method(name: str, design: SamplingDesign | None, n: int) -> str:
    return name if design is None or not n else design.method_name(name, n)
