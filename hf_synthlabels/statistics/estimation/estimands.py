"""Estimands: quantities of the labels as equations that the true value solves.

A mean, a share, an F1, a difference of groups and the coefficients of a regression are each the root of a sum over
rows, sum_i w_i m(theta; label_i) = 0 (an M-estimator; Huber 1964). So each estimator is a choice of weights and of
labels: the LLM's labels with equal weights, the human ones with inverse probabilities, or both together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Mask

Family = Literal["linear", "logistic"]

Term = tuple[Floats, Floats]
"""Weights of the rows, shape (N,), and their labels, shape (N, q); a weight may be negative."""

MAX_ITERATIONS = 100

MAX_LOGIT_COEFFICIENT = 1e4
"""Bound of a logistic coefficient of a standardized predictor, beyond which the classes are separated."""

MAX_CONDITION = 1e13
"""Condition number of the slope, in the predictors' own units, from which on it counts as singular."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A reported value: a weighted sum of parameters."""

    name: str
    weights: tuple[float, ...]
    low: float = -math.inf
    """Lower bound of its values."""
    high: float = math.inf
    parts: tuple[Mask, ...] = ()
    """The groups of rows behind it, such as the two of a difference, shape (N,) each; empty for all rows."""
    share: bool = False
    """Whether it is a share of its rows, so that its interval is a score interval."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios of sums, one for each parameter: means, shares, means of groups, F1.

    The equation of one is over(label) - theta x under(label), so that its sandwich variance is the delta method's on
    the two sums.
    """

    quantities: tuple[Quantity, ...]
    over: Callable[[Floats], Floats]
    """Labels to numerators, (N, k)."""
    under: Callable[[Floats], Floats]
    """Labels to denominators, (N, k)."""
    size: int
    """Number of parameters k."""
    label_free: bool = True
    """Whether the slope is the same for any labels, so that all rows determine it."""

    @property
    def linear(self) -> bool:
        """Whether the moments are linear in the parameters, so that one Newton step reaches the root."""
        return True

    def moments(self, theta: Floats, labels: Floats) -> Floats:
        """Numerator less theta x denominator of each row, shape (N, k)."""
        return self.over(labels) - theta * self.under(labels)

    def slope(self, theta: Floats, labels: Floats, weights: Floats) -> Floats:  # noqa: ARG002
        """The derivative of the weighted sum of moments, shape (k, k)."""
        return -np.diag(weights @ self.under(labels))


@dataclass(frozen=True, slots=True)
class Regression:
    """Least squares or logistic regression, with labels as the outcome, as predictors, or both."""

    quantities: tuple[Quantity, ...]
    predictors: Callable[[Floats], Floats]
    """Labels to the design matrix, shape (N, k)."""
    outcome: Callable[[Floats], Floats]
    """Labels to the outcome, shape (N,)."""
    size: int
    """Number of coefficients k."""
    family: Family = "linear"
    label_free: bool = True
    """Whether no predictor depends on labels, so that they do not change the slope."""

    @property
    def linear(self) -> bool:
        """Whether it is least squares."""
        return self.family == "linear"

    def moments(self, theta: Floats, labels: Floats) -> Floats:
        """X x (y - expected y) of each row, shape (N, k)."""
        x = self.predictors(labels)
        scores: Floats = x * (self.outcome(labels) - self._mean(x @ theta))[:, None]
        return scores

    def slope(self, theta: Floats, labels: Floats, weights: Floats) -> Floats:
        """-X' W X, for logistic regression with p (1 - p) in W; shape (k, k)."""
        x = self.predictors(labels)
        if self.family == "logistic":
            expected = self._mean(x @ theta)
            weights = weights * expected * (1 - expected)
        return -(x * weights[:, None]).T @ x

    def _mean(self, score: Floats) -> Floats:
        return score if self.family == "linear" else 0.5 * (1 + np.tanh(0.5 * score))


Estimand = Ratios | Regression


def solve(estimand: Estimand, terms: Sequence[Term], start: Floats | None = None) -> Floats:
    """The root of the weighted moments of all terms, by Newton's method.

    Args:
        estimand: gives the moments.
        terms: weights and labels whose moments are added.
        start: of the search; by default 0.

    Returns:
        The parameters, shape (k,); nan where there is no root, such as a group without a row.
    """
    theta = np.zeros(estimand.size) if start is None or np.isnan(start).any() else start.copy()
    total = _total(estimand, terms, theta)
    if estimand.linear:
        # The second step removes the rounding error of the first. Magnitudes are unbounded: the root is exact.
        theta = theta - inverse(slope_of(estimand, terms, theta)) @ total
        return theta - inverse(slope_of(estimand, terms, theta)) @ _total(estimand, terms, theta)
    undefined = np.full(estimand.size, math.nan)
    for _ in range(MAX_ITERATIONS):
        step = inverse(slope_of(estimand, terms, theta)) @ total
        if np.isnan(step).any():
            return undefined
        # A full step may overshoot: halve it until the equations come nearer to zero.
        for _ in range(30):
            candidate = theta - step
            left = _total(estimand, terms, candidate)
            if np.abs(left).max() <= np.abs(total).max() or np.abs(step).max() < 1e-9:
                break
            step = step / 2
        theta, total = candidate, left
        if np.abs(theta).max() > MAX_LOGIT_COEFFICIENT:
            return undefined
        if np.abs(step).max() <= 1e-13 * (1 + np.abs(theta).max()) or not np.abs(total).max():
            break
    # Where the classes are separated, the equations vanish at infinity and the slope vanishes with them.
    converged = np.abs(step).max() <= 1e-9 * (1 + np.abs(theta).max())
    return theta if converged and not np.isnan(inverse(slope_of(estimand, terms, theta))).any() else undefined


def slope_of(estimand: Estimand, terms: Sequence[Term], theta: Floats) -> Floats:
    """The derivative of the weighted moments of all terms, shape (k, k)."""
    slope: Floats = np.sum([estimand.slope(theta, labels, weights) for weights, labels in terms], axis=0)
    return slope


def inverse(slope: Floats) -> Floats:
    """The inverse; nan where there is none, as for two equal predictors or a group without a row."""
    scale = np.sqrt(np.abs(np.diag(slope)))
    if not np.isfinite(slope).all() or not scale.all():
        return np.full(slope.shape, math.nan)
    # In the predictors' own units, so that a column in thousands does not look collinear.
    even = slope / np.outer(scale, scale)
    if np.linalg.cond(even) > MAX_CONDITION:
        return np.full(slope.shape, math.nan)
    inverted: Floats = np.linalg.inv(even) / np.outer(scale, scale)
    return inverted


def _total(estimand: Estimand, terms: Sequence[Term], theta: Floats) -> Floats:
    total: Floats = np.sum([weights @ estimand.moments(theta, labels) for weights, labels in terms], axis=0)
    return total
