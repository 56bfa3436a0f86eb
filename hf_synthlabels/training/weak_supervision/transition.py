"""Transition: how an annotator's labels come out of the human ones, estimated from a few rows that have both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.confusion import confusion_counts
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.intervals import wilson

PSEUDO_ROWS = 10.0
"""How many rows per class the symmetric matrix is worth. Of 0, 3, 10 and 30, Laplace's rule and that of James and Stein
this came nearest, all in all, to the matrices of all rows of two tasks (docs/results/label_sources.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """T[i, j] = P(LLM says j | a human says i): the estimate, and what is known of each entry."""

    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    """Shape (names, names); each row sums to 1 and every entry is above 0."""
    counts: NDArray[np.int64]
    """Rows that a human gave name i and the LLM name j."""
    shares: tuple[tuple[Interval, ...], ...]
    """`shares[i][j]`: the share that was counted, without smoothing, with its Wilson interval; nan without a row."""
    n_unanswered: int
    """Human-labelled rows without an LLM label, which are left out."""
    pseudo_rows: float

    @property
    def n(self) -> int:
        """The rows that the estimate rests on."""
        return int(self.counts.sum())

    @property
    def shrinkage(self) -> NDArray[np.float64]:
        """How much of each row of the matrix is the symmetric one, from 0 to 1, shape (names,)."""
        total = self.counts.sum(axis=1) + self.pseudo_rows
        weight: NDArray[np.float64] = self.pseudo_rows / total
        return weight

    @property
    def separation(self) -> float:
        """The smallest singular value: 1 for perfect labels, near 0 where two classes get the same LLM labels."""
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
        head = f"P(LLM label | human label), {self.n} rows, intervals of the counted shares"
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
    """Estimate the matrix from rows that both have labelled.

    T[i] = (counts[i] + m·S[i]) / (n[i] + m): m pseudo-rows for each class, shared out as the symmetric matrix S has
    it, whose diagonal is the share of rows on which both agree, (agreeing + 1) / (n + 2), and whose other entries are
    all alike. So m / (n[i] + m) of a row is S: all of it for a class that no human-labelled row has. The estimate is
    that of a random sample of human-labelled rows; one that was chosen by the LLM's labels gives another matrix.

    Args:
        human: label codes, shape (rows,); `MISSING` for a row without one.
        llm: those of the LLM.
        names: label names, two at least.
        pseudo_rows: m, above 0.
        level: of the intervals.

    Raises:
        ConfigError: `pseudo_rows` is not above 0, or `level` not between 0 and 1.
        DataError: the lengths differ, a code is out of range, or no row has both labels.
    """
    if not (np.isfinite(pseudo_rows) and pseudo_rows > 0):
        raise ConfigError(f"`pseudo_rows` is {pseudo_rows!r}. Give a number above 0; 10 is the default.")
    truth, said = np.asarray(human, dtype=np.int64), np.asarray(llm, dtype=np.int64)
    if truth.shape != said.shape or truth.ndim != 1:
        raise DataError(f"`human` has shape {truth.shape} and `llm` {said.shape}. Give one code per row.")
    classes = len(names)
    labelled = truth != MISSING
    table = confusion_counts(truth[labelled], said[labelled], classes)
    counts = table[:, :classes]
    n = int(counts.sum())
    if classes < 2 or n == 0:
        raise DataError(
            f"`human` and `llm` have {n} rows with both labels, of {classes} names. A transition matrix needs human "
            "labels on rows that the LLM labelled, of two names or more."
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
