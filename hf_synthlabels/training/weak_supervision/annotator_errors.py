"""Estimates of an annotator's errors from human-labeled rows: transition matrix and temperature of soft labels."""

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
from hf_synthlabels.statistics.agreement.confusion import confusion_counts
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.intervals import wilson

Floats = NDArray[np.float64]

PSEUDO_ROWS = 10.0
"""Pseudo-counts per class of the symmetric matrix. On two tasks 10 and 30 came equally close to the full matrices,
closer than 0 and 3, Laplace smoothing and James-Stein shrinkage (docs/results/label_sources.md)."""

FLOOR = 1e-6
"""Minimum probability of a label, because an annotator's 0 is not exact."""
COLDEST, HOTTEST = 0.05, 20.0
"""Bounds: beyond them a soft label is nearly one-hot, or nearly uniform."""


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """T[i, j] = P(LLM label j | human label i), with the counts behind each entry."""

    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    """Shape (names, names); each row sums to 1 and every entry is above 0."""
    counts: NDArray[np.int64]
    """Number of rows with human label i and LLM label j."""
    shares: tuple[tuple[Interval, ...], ...]
    """`shares[i][j]`: the unsmoothed share with its Wilson interval; NaN without rows."""
    n_unanswered: int
    """Human-labeled rows without an LLM label, which are left out."""
    pseudo_rows: float

    @property
    def n(self) -> int:
        """Number of rows behind the estimate."""
        return int(self.counts.sum())

    @property
    def shrinkage(self) -> NDArray[np.float64]:
        """Weight of the symmetric matrix in each row, from 0 to 1, shape (names,)."""
        total = self.counts.sum(axis=1) + self.pseudo_rows
        weight: NDArray[np.float64] = self.pseudo_rows / total
        return weight

    @property
    def separation(self) -> float:
        """The smallest singular value: 1 for perfect labels, near 0 if two classes get the same LLM labels."""
        return float(np.linalg.svd(self.matrix, compute_uv=False)[-1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "names": list(self.names),
            "matrix": self.matrix.tolist(),
            "counts": self.counts.tolist(),
            "shares": [[share.to_dict() for share in row] for row in self.shares],
            "n": self.n,
            "n_unanswered": self.n_unanswered,
            "pseudo_rows": self.pseudo_rows,
            "separation": self.separation,
        }

    def __str__(self) -> str:
        width = max(map(len, self.names))
        head = f"P(LLM label | human label), {self.n} rows, intervals of the unsmoothed shares"
        lines = [
            f"{name:<{width}}  {row.sum():>5} rows  " + "  ".join(f"{p:.3f} {_ends(share)}" for p, share in pairs)
            for name, row, pairs in zip(
                self.names,
                self.counts,
                (zip(values, shares, strict=True) for values, shares in zip(self.matrix, self.shares, strict=True)),
                strict=True,
            )
        ]
        return "\n".join([head, *lines])


def estimate_transition(
    human: Sequence[int] | NDArray[np.int64],
    llm: Sequence[int] | NDArray[np.int64],
    names: Sequence[str],
    *,
    pseudo_rows: float = PSEUDO_ROWS,
    level: float = 0.95,
) -> Transition:
    """Estimate the matrix from rows with both labels.

    T[i] = (counts[i] + m·S[i]) / (n[i] + m), with m pseudo-counts per class. The diagonal of the symmetric matrix S is
    the smoothed agreement, (agreeing + 1) / (n + 2), and its other entries are equal. A class without human-labeled
    rows gets the row of S. The estimate assumes a random sample of rows; selection by the LLM label biases it.

    Args:
        human: label codes, shape (rows,); `MISSING` for an unlabeled row.
        llm: LLM label codes in the same form.
        names: at least two label names.
        pseudo_rows: m, above 0.
        level: confidence level of the intervals.

    Raises:
        ConfigError: `pseudo_rows` or `level` is out of range.
        DataError: the lengths differ, a code is out of range, or no row has both labels.
    """
    if not (np.isfinite(pseudo_rows) and pseudo_rows > 0):
        raise ConfigError(f"`pseudo_rows` is {pseudo_rows!r}. Give a number above 0; 10 is the default.")
    human_codes, llm_codes = np.asarray(human, dtype=np.int64), np.asarray(llm, dtype=np.int64)
    if human_codes.shape != llm_codes.shape or human_codes.ndim != 1:
        raise DataError(f"`human` has shape {human_codes.shape} and `llm` {llm_codes.shape}. Give one code per row.")
    classes = len(names)
    labelled = human_codes != MISSING
    table = confusion_counts(human_codes[labelled], llm_codes[labelled], classes)
    counts = table[:, :classes]
    n = int(counts.sum())
    if classes < 2 or n == 0:
        raise DataError(
            f"`human` and `llm` have {n} rows with both labels, of {classes} names. A transition matrix needs human "
            "labels on rows that the LLM labeled, of two names or more."
        )
    agreed = (np.trace(counts) + 1) / (n + 2)
    symmetric = np.full((classes, classes), (1 - agreed) / (classes - 1))
    np.fill_diagonal(symmetric, agreed)
    support = counts.sum(axis=1)
    matrix = (counts + pseudo_rows * symmetric) / (support + pseudo_rows)[:, None]
    shares = tuple(
        tuple(wilson(int(count), int(total), level) for count in row)
        for row, total in zip(counts, support, strict=True)
    )
    return Transition(tuple(names), matrix, counts, shares, int(table[:, -1].sum()), pseudo_rows)


def _ends(share: Interval) -> str:
    return "[no rows]" if share.n == 0 else f"[{share.low:.3f}, {share.high:.3f}]"


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
