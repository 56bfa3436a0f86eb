"""Do the intervals on a confidence cover the true value, and how biased are plain and debiased calibration errors?

    python -m benchmarks.confidence                          # 100 simulated samples of each design
    python -m benchmarks.confidence --worlds 2000 --write    # put the tables into docs/results/confidence
    python -m benchmarks.confidence --data FOLDER --write    # gpt-4o's stated confidences instead of simulated ones

FOLDER has `uiuc_llm_annotations/global_warming.jsonl`: sentences with a human stance, gpt-4o's label and its stated
confidence (github.com/uiuc-kang-lab/llm-annotations). Without the file nothing is measured.

In each design confidences are drawn, and a label is right with a probability that depends on its confidence alone. So
the true values are known: for the bins and the calibration error given the confidences of the sample, for the Brier
score, AUROC and AURC from a million rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_tables import Table, share_of
from benchmarks.documents import table, write_csv
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, row_intervals
from hf_synthlabels.statistics.confidence.calibration_error import calibration_error
from hf_synthlabels.statistics.confidence.confidence_report import confidence_report
from hf_synthlabels.statistics.confidence.ranking import area_under_risk_curve, auroc, brier_of_counts
from hf_synthlabels.statistics.confidence.recalibration import METHODS, recalibrate
from hf_synthlabels.statistics.confidence.reliability_table import (
    ConfidentRows,
    automatic_bins,
    bin_codes,
    contributions,
    reliability_table,
)
from hf_synthlabels.statistics.intervals import Interval

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results" / "confidence"

SIZES = (50, 200, 1000)

RESAMPLES = 100
"""Enough for the standard deviation of the replicates, which these intervals use."""

LARGE = 1_000_000

Floats = NDArray[np.float64]

Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
"""Confidences of some rows, and the probabilities that their labels are right."""


def balanced(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Calibrated, 75% right."""
    confidence = 0.5 + 0.5 * rng.beta(2, 2, n)
    return confidence, confidence


def overconfident(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Confidence 0.15 too high, 74% right."""
    confidence = 0.5 + 0.5 * rng.beta(4, 1.2, n)
    return confidence, confidence - 0.15


def rare_errors(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Calibrated, 95% right."""
    confidence = 1 - rng.beta(1, 19, n)
    return confidence, confidence


def rare_overconfident(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Errors three times as frequent as stated, 95% right."""
    confidence = 1 - rng.beta(1, 60, n)
    return confidence, np.maximum(0.0, 1 - 3 * (1 - confidence))


def four_values(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Four stated confidences, 0.1 too high, 82% right."""
    confidence = rng.choice([0.8, 0.9, 0.95, 1.0], n, p=[0.2, 0.3, 0.3, 0.2])
    return confidence, confidence - 0.1


def useless(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Confidence without relation to being right, 80% right."""
    return 0.5 + 0.5 * rng.beta(4, 1.2, n), np.full(n, 0.8)


DESIGNS: dict[str, Draw] = {
    "calibrated, 75% right": balanced,
    "overconfident, 74% right": overconfident,
    "calibrated, 95% right": rare_errors,
    "overconfident, 95% right": rare_overconfident,
    "four values, 82% right": four_values,
    "useless, 80% right": useless,
}


@dataclass(frozen=True)
class Truth:
    """True values of a design."""

    brier: float
    auroc: float
    aurc: float


def truth_of(draw: Draw) -> Truth:
    """The true values, from many rows."""
    rng = np.random.default_rng(0)
    confidence, right = draw(rng, LARGE)
    rows = ConfidentRows(confidence, rng.random(LARGE) < right)
    cells = np.column_stack([confidence, right])
    aurc = float(area_under_risk_curve(np.ones((1, LARGE)), cells)[0])
    return Truth(float((confidence**2 - 2 * confidence * right + right).mean()), auroc(rows).estimate, aurc)


def covers(interval: Interval, value: float) -> bool:
    """Whether the interval covers the value, up to rounding."""
    return interval.low - 1e-9 <= value <= interval.high + 1e-9


@dataclass
class Counts:
    """Covered intervals, all intervals, and errors of the estimates."""

    hits: dict[str, list[bool]]
    errors: dict[str, list[float]]


def simulate(draw: Draw, n: int, worlds: int, seed: int) -> Counts:
    """Samples of a design with their intervals."""
    truth = truth_of(draw)
    names = ("accuracy of a bin", "Brier score", "calibration error", "AUROC", "AURC")
    counts = Counts({name: [] for name in names}, {"plain ECE": [], "debiased": []})
    for world in range(worlds):
        rng = np.random.default_rng([seed, n, world])
        confidence, right = draw(rng, n)
        rows = ConfidentRows(confidence, rng.random(n) < right)
        codes = bin_codes(confidence, np.ones(n), automatic_bins(n))
        sizes = np.bincount(codes)
        true_bins = np.bincount(codes, weights=right) / sizes
        gaps = true_bins - np.bincount(codes, weights=confidence) / sizes
        true_error = float(np.sqrt(sizes @ gaps**2 / n))
        error = calibration_error(rows, bootstrap=BootstrapConfig(resamples=1))
        scores = row_intervals(
            contributions(rows),
            {"brier": brier_of_counts, "aurc": area_under_risk_curve},
            BootstrapConfig(resamples=RESAMPLES, seed=world),
            n,
        )
        counts.hits["accuracy of a bin"] += [
            covers(each.accuracy, value) for each, value in zip(reliability_table(rows), true_bins, strict=True)
        ]
        counts.hits["Brier score"].append(covers(scores["brier"], truth.brier))
        counts.hits["calibration error"].append(covers(error.debiased, true_error))
        if 0 < rows.correct.sum() < n:
            counts.hits["AUROC"].append(covers(auroc(rows), truth.auroc))
        counts.hits["AURC"].append(covers(scores["aurc"], truth.aurc))
        counts.errors["plain ECE"].append(error.ece - float(sizes @ np.abs(gaps) / n))
        counts.errors["debiased"].append(error.debiased.estimate - true_error)
    return counts


def tables(worlds: int, seed: int) -> dict[str, Table]:
    """Coverage of the intervals, and bias of the calibration errors."""
    coverage: list[Sequence[object]] = []
    bias: list[Sequence[object]] = []
    head: tuple[str, ...] = ()
    for name, draw in DESIGNS.items():
        for n in SIZES:
            counts = simulate(draw, n, worlds, seed)
            head = tuple(counts.hits)
            coverage.append([name, n, *(share_of(sum(each), len(each)) for each in counts.hits.values())])
            bias.append([name, n, *(mean_of(each) for each in counts.errors.values())])
            print(*coverage[-1], "| bias", *bias[-1][2:], flush=True)
    return {
        "coverage": (("confidence", "rows", *head), coverage),
        "bias": (("confidence", "rows", "plain ECE", "debiased calibration error"), bias),
    }


def recorded(folder: Path) -> dict[str, Table]:
    """The confidence of recorded labels, before and after recalibration; nothing without the data."""
    path = folder / "uiuc_llm_annotations" / "global_warming.jsonl"
    if not path.is_file():
        print(f"{path} is missing: nothing is measured.")
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line["llm:gpt-4o"] is not None and line["conf:gpt-4o"] is not None]
    rows = ConfidentRows(
        np.array([line["conf:gpt-4o"] for line in kept], dtype=np.float64),
        np.array([line["llm:gpt-4o"] == line["label"] for line in kept]),
    )
    report = confidence_report(rows)
    print(report)
    results = {method: recalibrate(rows, method) for method in METHODS}
    before = next(iter(results.values())).before
    scores: list[Sequence[object]] = [
        [name, len(kept), score, *(each.after[name] for each in results.values())] for name, score in before.items()
    ]
    bins: list[Sequence[object]] = [
        [each.range_text, each.n, f"{each.confidence:.3f}", each.accuracy] for each in report.bins
    ]
    return {
        "gpt4o": (("score", "rows", "stated", *results), scores),
        "gpt4o_bins": (("confidence", "rows", "mean confidence", "accuracy"), bins),
    }


def mean_of(values: list[float]) -> str:
    """A mean with its normal 95% interval."""
    mean, half = float(np.mean(values)), 1.96 * float(np.std(values)) / len(values) ** 0.5
    return f"{mean:.4f} [{mean - half:.4f}, {mean + half:.4f}]"


def main() -> None:
    """Print the tables, or write them as CSV files."""
    parser = argparse.ArgumentParser(description="Simulate samples with confidences.")
    parser.add_argument("--worlds", type=int, default=100, help="simulated samples of each design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write the tables into {FOLDER.name}")
    parser.add_argument("--data", type=Path, help="folder of recorded labels, instead of simulated samples")
    arguments = parser.parse_args()
    if arguments.data is None:
        results = tables(arguments.worlds, arguments.seed)
        results = {
            name: ((*head, "simulated samples"), [[*row, arguments.worlds] for row in rows])
            for name, (head, rows) in results.items()
        }
    else:
        results = recorded(arguments.data)
    for name, (head, rows) in results.items():
        print(f"\n{name}\n{table(head, rows)}")
        if arguments.write:
            write_csv(FOLDER / f"{name}.csv", head, rows)


if __name__ == "__main__":
    main()
