"""Soft labels: smoothing of sample shares, and temperature scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import Interval

Floats = NDArray[np.float64]

FLOOR = 1e-6
"""Minimum probability of a label, because an annotator's 0 is not exact."""
COLDEST, HOTTEST = 0.05, 20.0
"""Bounds: beyond them a soft label is nearly one-hot, or nearly uniform."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature for soft labels, with its likelihood on human-labeled rows."""

    value: Interval
    """Above 1 if the annotator is overconfident; with a profile likelihood interval."""
    nll_before: float
    """Mean negative log probability of the human label, in nats."""
    nll_after: float
    """The same at this temperature, on the rows of the fit."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"value": self.value.to_dict(), "nll_before": self.nll_before, "nll_after": self.nll_after}


def smoothed_shares(shares: Floats, draws: int, alpha: float = 0.5) -> Floats:
    """Posterior label probabilities after k samples, (k·share + α) / (k + α·labels), for a Dirichlet(α) prior.

    Three equal samples give 0.875 with two labels and α = 1/2 (Jeffreys).

    Args:
        shares: share of the samples with each label, shape (rows, labels), each row summing to 1.
        draws: k, the number of samples per row.
        alpha: pseudo-count of each label.

    Raises:
        ConfigError: `draws` is below 1, or `alpha` not a finite number of at least 0.
    """
    if draws < 1:
        raise ConfigError(f"`probs_draws` is {draws!r}. Give the number of samples, at least 1.")
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ConfigError(f"`probs_alpha` is {alpha!r}. Give a number of at least 0; 0.5 is the default.")
    smoothed: Floats = (draws * shares + alpha) / (draws + alpha * shares.shape[1])
    return smoothed


def at_temperature(probs: Floats, temperature: float) -> Floats:
    """Temperature scaling of soft labels: softmax(log p / t).

    Args:
        probs: shape (rows, labels), each row summing to 1.
        temperature: above 0; 1 only raises zeros to 1e-6.

    Raises:
        ConfigError: `temperature` is not a finite number above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"`probs_temperature` is {temperature!r}. Give a number above 0, or 'fit'.")
    scaled: Floats = _log(probs) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    powers: Floats = np.exp(scaled)
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def fit_temperature(probs: Floats, human: Sequence[int] | NDArray[np.int64], *, level: float = 0.95) -> Temperature:
    """The maximum likelihood temperature for the human labels (Guo et al. 2017), from 0.05 to 20.

    Args:
        probs: soft labels of human-labeled rows, shape (rows, labels).
        human: human label codes, shape (rows,).
        level: of the interval, all temperatures whose log-likelihood is within chi2(level)/2 of the maximum.

    Raises:
        DataError: the lengths differ, or there is no row.
    """
    codes = np.asarray(human, dtype=np.int64)
    if codes.ndim != 1 or len(codes) != len(probs) or not len(codes):
        raise DataError(
            f"`probs` has {len(probs)} rows and `human` {len(codes)}. Fitting a temperature requires human "
            "labels on rows with soft labels."
        )
    logs = _log(np.asarray(probs, dtype=np.float64))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        top = scaled.max(axis=1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(normaliser - scaled[np.arange(len(codes)), codes]))

    coldest, hottest = math.log(COLDEST), math.log(HOTTEST)
    # Convex in 1/t, so there is a single minimum between the bounds.
    best = float(optimize.minimize_scalar(loss, bounds=(coldest, hottest), method="bounded").x)
    best = min((best, coldest, hottest), key=loss)
    allowed = loss(best) + float(stats.chi2.ppf(level, 1)) / 2 / len(codes)

    def end(bound: float) -> float:
        if bound == best or loss(bound) <= allowed:
            return math.exp(bound)
        return math.exp(float(optimize.brentq(lambda at: loss(at) - allowed, bound, best)))

    value = Interval(math.exp(best), end(coldest), end(hottest), level, "profile likelihood", len(codes))
    return Temperature(value, loss(0.0), loss(best))


def _log(probs: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(probs, FLOOR))
    return logs
