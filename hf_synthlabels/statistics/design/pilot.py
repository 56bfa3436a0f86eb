"""Pilots: LLM labels with the human labels of some rows, or with an assumed accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.classification import confusion_intervals
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, encode
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.sample_size import (
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
)
from hf_synthlabels.statistics.validation.gate import Gate

ASSUMED_ACCURACY = 0.8
"""Accuracy of an LLM without a pilot."""

PILOT = 10
"""Human labels from which on the accuracy is taken from them."""

PSEUDO_ROWS = 1000
"""Rows of an assumed confusion matrix."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """LLM labels, with the human labels of a pilot or an assumed accuracy."""

    names: Sequence[str]
    codes: Ints
    truth: Ints | None
    """None where the accuracy is assumed."""
    accuracy: float
    size: int

    @classmethod
    def read(
        cls,
        llm: Sequence[str | None],
        human: Sequence[str | None] | None,
        names: Sequence[str] | None,
        accuracy: float | None,
    ) -> Self:
        """Read the labels; fewer than `PILOT` human labels do not count. Args are those of `plan_sample`."""
        names = list(names or sorted({label for column in (llm, human or ()) for label in column if label is not None}))
        codes = encode(llm, names, field="llm")
        if not (codes != MISSING).any():
            raise DataError(f"`llm` has no label in any of {len(llm):,} rows: annotate first.")
        if accuracy is not None and not 0 < accuracy <= 1:
            raise ConfigError(f"`accuracy` is {accuracy!r}: give the accuracy of the LLM, such as 0.8.")
        truth = None if human is None else encode(human, names, field="human")
        size = 0 if truth is None else int((truth != MISSING).sum())
        if truth is None or size < PILOT or accuracy is not None:
            return cls(names, codes, None, ASSUMED_ACCURACY if accuracy is None else accuracy, 0)
        both = (truth != MISSING) & (codes != MISSING)
        # A pilot without an error does not show that the LLM makes none.
        return cls(names, codes, truth, float(((truth == codes)[both].sum() + 1) / (both.sum() + 2)), size)

    def class_probabilities(self) -> Floats:
        """The probability of each class for each row given its LLM label, shape (N, K)."""
        labels = self.codes[self.codes != MISSING]
        shares = np.bincount(labels, minlength=len(self.names)) / len(labels)
        table = np.vstack([_assumed(shares, self.accuracy), shares])
        if self.truth is not None:
            known = self.truth != MISSING
            counts = np.zeros((len(self.names) + 1, len(self.names)))
            np.add.at(counts, (self.codes[known], self.truth[known]), 1)
            # Two pseudo-rows keep a rare label from being certain.
            table = (counts + 2 * table) / (counts.sum(axis=1, keepdims=True) + 2)
        probabilities: Floats = table[self.codes]
        return probabilities

    def confusion_counts(self) -> tuple[Ints, Ints]:
        """Confusion counts of the pilot, or expected ones, shape (K, K + 1), and the LLM labels behind them."""
        classes = len(self.names)
        if self.truth is not None:
            known = self.truth != MISSING
            table = np.zeros((classes, classes + 1))
            np.add.at(table, (self.truth[known], self.codes[known]), 1)
            return table.astype(np.int64), self.codes[known]
        columns = np.where(self.codes == MISSING, classes, self.codes)
        shares = np.bincount(columns, minlength=classes + 1) / len(self.codes)
        labeled = shares[:-1] / max(1e-12, shares[:-1].sum())
        table = np.vstack([_assumed(labeled, self.accuracy), labeled])
        return np.rint(PSEUDO_ROWS * (shares[:, None] * table).T).astype(np.int64), self.codes

    def rows_needed(self, gate: Gate, level: float) -> tuple[float, int | None, int | None]:
        """The expected score, and the rows to pass and to fail with it."""
        counts, scored = self.confusion_counts()
        proportions: dict[str, Any] = {
            "accuracy": float(np.trace(counts[:, :-1]) / counts.sum()),
            "accuracy_answered": self.accuracy,
            "coverage": float((scored != MISSING).mean()),
        }
        if gate.metric in proportions:
            share = proportions[gate.metric]
            return share, rows_to_pass(share, gate.threshold, level), rows_to_fail(share, gate.threshold, level)
        metric: Any = gate.metric
        interval = confusion_intervals(counts, (metric,), BootstrapConfig(level))[metric]
        rows = int(counts.sum())
        to_pass = scaled_rows_to_pass(interval, gate.threshold, rows)
        return interval.estimate, to_pass, scaled_rows_to_fail(interval, gate.threshold, rows)


def _assumed(shares: Floats, accuracy: float) -> Floats:
    """The probability of each class given the LLM label, shape (K, K), where only the accuracy is known.

    A part of the rows is labeled correctly and the others at random with the LLM's own shares. So a class is as
    frequent as the LLM says, and rare labels are less precise than frequent ones.
    """
    by_chance = float(shares @ shares)
    if accuracy <= by_chance or by_chance >= 1:
        # No such mixture has this accuracy: errors are spread evenly over the other classes.
        table = np.full((len(shares), len(shares)), (1 - accuracy) / max(1, len(shares) - 1))
        np.fill_diagonal(table, accuracy)
        return table
    known = (accuracy - by_chance) / (1 - by_chance)
    mixed: Floats = known * np.eye(len(shares)) + (1 - known) * shares[None, :]
    return mixed
