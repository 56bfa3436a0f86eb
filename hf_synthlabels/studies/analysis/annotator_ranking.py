"""Annotators on the same human-labeled rows: corrected tests, agreement among them, and optimism of the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.statistics import Interval, ValidationReport, cohen_kappa, krippendorff_alpha
from hf_synthlabels.statistics.comparison.paired import mean_difference
from hf_synthlabels.statistics.comparison.pooling import holm
from hf_synthlabels.studies.label_comparison import recorded_agreement
from hf_synthlabels.studies.runs import TaskRuns

Floats = NDArray[np.float64]

NOMINAL = ("text-classification", "text-pair", "multi-label")
RESAMPLES = 1000
COST = ("answers", "prompt_tokens", "completion_tokens", "usd")


@dataclass(frozen=True, slots=True)
class RankedAnnotator:
    """Labels of one annotator on the test rows of a task."""

    name: str
    """Its source, with the prompt if there are several."""
    report: ValidationReport
    credit: float
    """Mean credit of its labels, see `statistics.ROW_SCORES`."""
    difference: Interval | None
    """Its mean credit minus that of the first annotator, on the same rows; None for the first."""
    p_value: float | None
    """Of the difference, corrected by Holm's procedure for all annotators of the task."""
    cost: Mapping[str, Any]
    """Stored answers, tokens and US dollars that its labels took, in whichever run."""

    def place(self, level: float) -> str:
        """Whether it differs from the first annotator, all annotators being tested at once."""
        if self.difference is None or self.p_value is None or self.p_value >= 1 - level:
            return "does not differ significantly from"
        return "is better than" if self.difference.estimate > 0 else "is worse than"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Annotators of a task that were scored on the same rows."""

    annotators: tuple[RankedAnnotator, ...]
    """In the order of the study file; the first is the baseline."""
    agreement: Agreement | None
    optimism: float
    """How much too high the best annotator's mean credit is, because it was picked on these rows."""

    @property
    def ranked(self) -> tuple[RankedAnnotator, ...]:
        """The best first, by mean credit."""
        return tuple(sorted(self.annotators, key=lambda each: -each.credit))


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


def rank_annotators(task: TaskRuns, level: float) -> Ranking | None:
    """Compare the annotators of a task; None where fewer than two have recorded credits."""
    credits = {
        name: np.array(each["test"]["credit"], dtype=np.float64)
        for name, each in task.annotators.items()
        if each.get("test", {}).get("credit")
    }
    if len(credits) < 2:
        return None
    first, *_ = credits.values()
    p_values = [None, *corrected_p_values(list(credits.values()))]
    annotators = []
    for (name, credit), p_value in zip(credits.items(), p_values, strict=True):
        report = recorded_agreement(task, name, "test")
        assert report is not None
        difference = None if p_value is None else mean_difference(credit, first, level=level)
        cost = {part: task.annotators[name]["test"].get(part) for part in COST}
        annotators.append(RankedAnnotator(name, report, float(np.nanmean(credit)), difference, p_value, cost))
    labels = {name: task.llm_labels[name] for name in credits}
    return Ranking(tuple(annotators), annotator_agreement(labels, task.kind), optimism_of_best(list(credits.values())))


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


def annotator_agreement(labels: Mapping[str, Sequence[Any]], kind: str) -> Agreement | None:
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
