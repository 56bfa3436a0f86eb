"""Tables of `benchmarks.coverage` on `validate`: intervals, false passes of gates, the alternative annotator test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_tables import Table, coverage_table, share_of
from hf_synthlabels.statistics import BootstrapConfig, Gate, alternative_annotator_test
from hf_synthlabels.statistics.agreement.classification import classification_agreement, confusion_intervals
from hf_synthlabels.statistics.agreement.confusion import score
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.design.sample_size import rows_to_pass
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import wilson

__all__ = ["annotator_test", "clusters", "gate_passes", "gate_power", "hamming", "unequal_classes"]

Counts = NDArray[np.int64]

RESAMPLES = 500

FURTHER = 1_000_000
"""Between the random numbers of one seed and those of the next."""


def confusion(shares: Sequence[float], recall: float) -> NDArray[np.float64]:
    """Cell probabilities of K classes, shape (K, K + 1); errors go to the other classes alike."""
    classes = len(shares)
    cells = np.zeros((classes, classes + 1))
    for k, each in enumerate(shares):
        cells[k, :classes] = each * (1 - recall) / (classes - 1)
        cells[k, k] = each * recall
    return cells


UNEQUAL = (0.9, 0.07, 0.03)
TEN_RARE = (0.73, *[0.03] * 9)


@coverage_table("unequal_classes")
def unequal_classes(worlds: int, seed: int) -> Table:
    """Coverage of macro F1 and kappa, recall .8."""
    head = ("classes", "n", "macro F1", "kappa")
    lines: list[Sequence[object]] = []
    for title, shares in (("0.9, 0.07, 0.03", UNEQUAL), ("0.73 and nine of 0.03", TEN_RARE)):
        cells = confusion(shares, 0.8)
        table = np.rint(1e7 * cells).astype(np.int64)
        truth = {name: float(score(name, table)) for name in ("macro_f1", "kappa")}  # type: ignore[arg-type]
        for n in (100, 250, 1000):
            rng, hits = np.random.default_rng(n + FURTHER * seed), dict.fromkeys(truth, 0)
            for _ in range(worlds):
                counts = rng.multinomial(n, cells.ravel()).reshape(cells.shape)
                intervals = confusion_intervals(counts, tuple(hits), BootstrapConfig(resamples=RESAMPLES))  # type: ignore[arg-type]
                for name, interval in intervals.items():
                    hits[name] += interval.low <= truth[name] <= interval.high
            lines.append([title, f"{n:,}", share_of(hits["macro_f1"], worlds), share_of(hits["kappa"], worlds)])
    return head, lines


@coverage_table("gate_passes")
def gate_passes(worlds: int, seed: int) -> Table:
    """Passes of a gate on labels that are exactly at its threshold (promised: at most .025), n = 250 and 1,000."""
    head = ("score", "n", "false passes")
    lines: list[Sequence[object]] = []
    cells = confusion(UNEQUAL, 0.8)
    table = np.rint(1e7 * cells).astype(np.int64)
    for name in ("accuracy", "macro_f1", "kappa"):
        gate = Gate(name, float(score(name, table)))  # type: ignore[arg-type]
        for n in (250, 1000):
            rng, passes = np.random.default_rng(n + 1 + FURTHER * seed), 0
            for _ in range(worlds):
                counts = rng.multinomial(n, cells.ravel()).reshape(cells.shape)
                intervals = confusion_intervals(counts, bootstrap=BootstrapConfig(resamples=RESAMPLES))
                intervals["accuracy"] = wilson(int(np.trace(counts[:, :-1])), n)
                passes += gate.judge(intervals[name], n).verdict == "pass"  # type: ignore[index]
            lines.append([name, f"{n:,}", share_of(passes, worlds)])
    return head, lines


@coverage_table("gate_power")
def gate_power(worlds: int, seed: int) -> Table:
    """How often a sample of the planned size passes a gate at .8."""
    head = ("true accuracy", "planned rows", "passes")
    lines: list[Sequence[object]] = []
    for accuracy in (0.88, 0.85, 0.83):
        n = rows_to_pass(accuracy, 0.8) or 0
        hits = np.random.default_rng(n + FURTHER * seed).binomial(n, accuracy, size=worlds)
        lines.append([f"{accuracy:g}", f"{n:,}", share_of(sum(wilson(int(h), n).low >= 0.8 for h in hits), worlds)])
    return head, lines


@coverage_table("clusters")
def clusters(worlds: int, seed: int) -> Table:
    """Coverage in clusters of ten rows, accuracy .8, beta-distributed between clusters with correlation .2."""
    head = (
        "rows",
        "clusters",
        "accuracy, by rows",
        "accuracy, by clusters",
        "macro F1, by rows",
        "macro F1, by clusters",
    )
    lines: list[Sequence[object]] = []
    cells = confusion((0.7, 0.3), 0.8)
    values = {"accuracy": 0.8, "macro_f1": float(score("macro_f1", np.rint(1e7 * cells).astype(np.int64)))}
    for number in (15, 25, 50):
        rng, hits = np.random.default_rng(number + FURTHER * seed), np.zeros(4, dtype=np.int64)
        for _ in range(worlds):
            human = (rng.random(10 * number) < 0.3).astype(np.int64)
            right = rng.random(10 * number) < np.repeat(rng.beta(3.2, 0.8, size=number), 10)
            llm = np.where(right, human, 1 - human)
            bootstrap = BootstrapConfig(resamples=RESAMPLES)
            design = SamplingDesign(clusters=np.repeat(np.arange(number), 10))
            by_rows = classification_agreement(human, llm, ("a", "b"), bootstrap).scores
            by_clusters = classification_agreement(human, llm, ("a", "b"), bootstrap, design).scores
            pairs = [(scores[name], value) for name, value in values.items() for scores in (by_rows, by_clusters)]
            for place, (interval, value) in enumerate(pairs):
                hits[place] += interval.low <= value <= interval.high
        lines.append([f"{10 * number:,}", str(number), *(share_of(int(count), worlds) for count in hits)])
    return head, lines


@coverage_table("alternative_annotator")
def annotator_test(worlds: int, seed: int) -> Table:
    """How often a judge that is worse than three agreeing annotators by exactly epsilon passes."""
    head = ("epsilon", "items", "passes")
    lines: list[Sequence[object]] = []
    for epsilon in (0.2, 0.1):
        for items in (15, 20, 29, 30, 50, 100):
            rng, passes = np.random.default_rng(items + FURTHER * seed), 0
            for _ in range(worlds):
                judge = (rng.random(items) < epsilon).astype(int)
                people = np.zeros((items, 3), dtype=int)
                bootstrap = BootstrapConfig(resamples=1)
                passes += alternative_annotator_test(people, judge, epsilon=epsilon, bootstrap=bootstrap).passes
            lines.append([f"{epsilon:g}", str(items), share_of(passes, worlds)])
    return head, lines


@coverage_table("hamming_loss")
def hamming(worlds: int, seed: int) -> Table:
    """Coverage of the Hamming loss of ten names, mostly empty sets, each name wrong in 1.5% of rows."""
    head = ("n", "coverage", "interval of no width")
    lines: list[Sequence[object]] = []
    names = [f"n{k}" for k in range(10)]
    for n in (50, 250):
        rng, hits, none = np.random.default_rng(n + FURTHER * seed), 0, 0
        for _ in range(worlds):
            truth = rng.random((n, 10)) < 0.02
            llm = truth ^ (rng.random((n, 10)) < 0.015)
            sets = [[{names[k] for k in np.flatnonzero(row)} for row in side] for side in (truth, llm)]
            loss = multilabel_agreement(sets[0], sets[1], names, BootstrapConfig(resamples=RESAMPLES)).scores[
                "hamming_loss"
            ]
            hits += loss.low <= 0.015 <= loss.high
            none += loss.high == loss.low
        lines.append([f"{n:,}", share_of(hits, worlds), share_of(none, worlds)])
    return head, lines
