"""Many annotators on the same rows: corrected tests, agreement among them, and how much the best one flatters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.statistics import cohen_kappa, krippendorff_alpha
from hf_synthlabels.statistics.comparison.pooling import holm

Floats = NDArray[np.float64]

NOMINAL = ("text-classification", "text-pair", "multi-label")
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree with each other, whatever the human labels say."""

    alpha: float
    """Krippendorff's alpha of all annotators; rows without a label are missing ratings."""
    lowest: float
    """Cohen's kappa of the two that agree least."""
    median: float
    highest: float
    pairs: int
    least_alike: tuple[str, str]
    most_alike: tuple[str, str]

    def __str__(self) -> str:
        return (
            f"Krippendorff's alpha {self.alpha:.3f}; Cohen's kappa of {self.pairs:,} pairs from {self.lowest:.3f} "
            f"({' and '.join(self.least_alike)}) to {self.highest:.3f} ({' and '.join(self.most_alike)}), median "
            f"{self.median:.3f}"
        )


def corrected_p_values(credits: Sequence[Floats]) -> list[float]:
    """Two-sided p-values of each annotator against the first on the same rows, by Holm's step-down procedure.

    Credits of 0 and 1 are compared by McNemar's exact test, others by a paired t-test.

    Args:
        credits: of each annotator, shape (rows,).
    """
    first, *others = credits
    return list(holm([_p_value(other, first) for other in others]))


def _p_value(a: Floats, b: Floats) -> float:
    differences = (a - b)[~np.isnan(a - b)]
    differing = differences[differences != 0]
    if not len(differing):
        return 1.0
    if np.isin(differing, (-1.0, 1.0)).all():
        return float(stats.binomtest(int((differing > 0).sum()), len(differing)).pvalue)
    p_value = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return 1.0 if math.isnan(p_value) else p_value


def optimism_of_best(credits: Sequence[Floats], seed: int = 0) -> float:
    """How much too high the mean credit of the best annotator is, because it was picked on these rows.

    In each bootstrap resample the best annotator is picked on the drawn rows and scored on the others (the bootstrap
    bias correction of Tsamardinos, Greasidou and Borboudakis 2018).

    Args:
        credits: of each annotator, shape (rows,).
        seed: of the resamples.
    """
    table = np.nan_to_num(np.column_stack(credits))
    rows, draw = len(table), np.random.default_rng(seed)
    honest = []
    for _ in range(RESAMPLES):
        weights = draw.multinomial(rows, np.full(rows, 1 / rows)).astype(np.float64)
        left_out = weights == 0
        if left_out.any():
            honest.append(float(table[left_out, int((weights @ table).argmax())].mean()))
    best = float(table.mean(axis=0).max())
    return max(0.0, best - float(np.mean(honest))) if honest else 0.0


def agreement_of(labels: Mapping[str, Sequence[Any]], kind: str) -> Agreement | None:
    """Agreement among annotators; None for kinds of label that are not one category or number per row.

    Args:
        labels: of each annotator, None where it gave none.
        kind: of label.
    """
    if len(labels) < 2 or kind not in (*NOMINAL, "text-scale"):
        return None
    scale = kind == "text-scale"
    named = {
        name: [str(sorted(value)) if isinstance(value, list | tuple) else value for value in values]
        for name, values in labels.items()
    }
    kappas = {
        pair: cohen_kappa(named[pair[0]], named[pair[1]], "quadratic" if scale else None)
        for pair in itertools.combinations(named, 2)
    }
    known = {pair: kappa for pair, kappa in kappas.items() if not math.isnan(kappa)}
    if not known:
        return None
    alpha = krippendorff_alpha(list(zip(*named.values(), strict=True)), "interval" if scale else "nominal")
    low, high = min(known, key=lambda pair: known[pair]), max(known, key=lambda pair: known[pair])
    median = float(np.median(list(known.values())))
    return Agreement(alpha, known[low], median, known[high], len(known), low, high)
