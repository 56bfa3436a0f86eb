"""Soft labels: shares of draws that know how few the draws were, and a temperature that makes them true."""

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
"""The least probability of a label: an annotator who says 0 is not believed to the letter."""
COLDEST, HOTTEST = 0.05, 20.0
"""Beyond these a soft label is a hard one, or says nothing."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """By what to divide the logarithms of soft labels, and what that is worth on human-labelled rows."""

    value: Interval
    """Above 1 where the annotator is surer than it should be; the interval is that of the profile likelihood."""
    nll_before: float
    """Mean negative log probability of the human label, in nats."""
    nll_after: float
    """The same at this temperature, on the rows that it was fitted on."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"value": self.value.to_dict(), "nll_before": self.nll_before, "nll_after": self.nll_after}


def smoothed_shares(shares: Floats, draws: int, alpha: float = 0.5) -> Floats:
    """The probability of each label after k draws: (k·share + α) / (k + α·labels), of Dirichlet(α) before them.

    Three draws that agree are no proof of certainty: with two labels and α = 1/2 (Jeffreys) they say .875.

    Args:
        shares: share of the draws that gave each label, shape (rows, labels), each row summing to 1.
        draws: k, how many draws a row had.
        alpha: pseudo-draws of each label.

    Raises:
        ConfigError: `draws` is below 1, or `alpha` not a finite number of at least 0.
    """
    if draws < 1:
        raise ConfigError(f"`probs_draws` is {draws!r}. Give how many draws the shares are of, at least 1.")
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ConfigError(f"`probs_alpha` is {alpha!r}. Give a number of at least 0; 0.5 is the default.")
    smoothed: Floats = (draws * shares + alpha) / (draws + alpha * shares.shape[1])
    return smoothed


def at_temperature(probs: Floats, temperature: float) -> Floats:
    """Soft labels with their logarithms divided by a temperature: softmax(log p / t).

    Args:
        probs: shape (rows, labels), each row summing to 1.
        temperature: above 0; 1 changes nothing but zeros, which become 1e-6.

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
    """The temperature at which the human labels are likeliest (Guo et al. 2017), from 0.05 to 20.

    Args:
        probs: soft labels of rows that have a human label, shape (rows, labels).
        human: their human label codes, shape (rows,).
        level: of the interval: the temperatures whose log likelihood is at most chi2(level)/2 below the best.

    Raises:
        DataError: the lengths differ, or there is no row.
    """
    truth = np.asarray(human, dtype=np.int64)
    if truth.ndim != 1 or len(truth) != len(probs) or not len(truth):
        raise DataError(
            f"`probs` has {len(probs)} rows and `human` {len(truth)}. A temperature needs human labels on rows that "
            "have soft labels."
        )
    logs = _log(np.asarray(probs, dtype=np.float64))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        top = scaled.max(axis=1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(normaliser - scaled[np.arange(len(truth)), truth]))

    coldest, hottest = math.log(COLDEST), math.log(HOTTEST)
    # Convex in 1/t, so that there is one minimum between the bounds.
    best = float(optimize.minimize_scalar(loss, bounds=(coldest, hottest), method="bounded").x)
    best = min((best, coldest, hottest), key=loss)
    allowed = loss(best) + float(stats.chi2.ppf(level, 1)) / 2 / len(truth)

    def end(bound: float) -> float:
        if bound == best or loss(bound) <= allowed:
            return math.exp(bound)
        return math.exp(float(optimize.brentq(lambda at: loss(at) - allowed, bound, best)))

    value = Interval(math.exp(best), end(coldest), end(hottest), level, "profile likelihood", len(truth))
    return Temperature(value, loss(0.0), loss(best))


def _log(probs: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(probs, FLOOR))
    return logs
