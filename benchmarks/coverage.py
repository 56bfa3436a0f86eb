"""Do 95% intervals cover the true value in 95 of 100 simulated studies? One table for each kind of interval.

    python -m benchmarks.coverage                        # all tables, 100 simulated studies each
    python -m benchmarks.coverage pooled groups          # some
    python -m benchmarks.coverage --worlds 1000 --write  # put them into docs/results/coverage.md

A table is a function of the number of simulated studies and of a seed that returns a heading and rows. To add one,
decorate it with `@coverage_table("name")`; for the page, add a line to `SUMMARY`. Each share has its Wilson interval.
The tables are CSV files next to the page, which shows the lowest and the highest coverage of each.
The tables on `validate` are in `coverage_validation.py`, those on students in `coverage_arms.py`, and those on
regressions in `coverage_formulas.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import benchmarks.coverage_arms
import benchmarks.coverage_formulas
import benchmarks.coverage_validation  # noqa: F401 - they register their tables
from benchmarks.coverage_tables import TABLES, Table, coverage_table, share_of
from benchmarks.documents import put_block, read_csv, table, write_csv
from hf_synthlabels.statistics import BootstrapConfig, Inference, Interval, draw_sample
from hf_synthlabels.statistics.comparison.pooling import pool_tasks
from hf_synthlabels.statistics.estimation.analyses import estimate_difference, estimate_prevalence
from hf_synthlabels.statistics.estimation.estimates import QuantityEstimate

__all__ = ["covered", "main", "summary"]

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "results" / "coverage.md"
FOLDER = DOCUMENT.with_suffix("")

STUDIES_PER_WORLD = {"pooled": 4}
"""Tables whose cells rest on several simulated studies for each one that is requested."""

Bools = NDArray[np.bool_]

WAYS = ("classical", "ppi", "dsl")

CORRECTED = ("PPI++", "DSL")
SUMMARY: tuple[tuple[str, str, Sequence[str]], ...] = (
    ("shares, LLM with few errors", "no_error", CORRECTED),
    ("shares of rare classes", "rare", CORRECTED),
    ("shares of groups, 12 to 60 labels", "groups", CORRECTED),
    ("shares, samples on top of samples", "topped_up", CORRECTED),
    ("regressions, LLM labels as outcome and predictor", "formulas", CORRECTED),
    ("means over 5 to 14 tasks", "pooled", ("SD 0.03, within 0.01", "SD 0.03, within 0.03", "SD 0.17, within 0.03")),
    ("two students, 1 seed", "seeds", ("1 seed",)),
    ("two students, 5 seeds", "seeds", ("5 seeds",)),
    ("`validate`, unequal classes", "unequal_classes", ("macro F1", "kappa")),
    ("`validate`, clustered rows", "clusters", ("accuracy, by clusters", "macro F1, by clusters")),
    ("Hamming loss of sparse sets", "hamming_loss", ("coverage",)),
)
"""The lines of the page's table: what is estimated, the file, and the columns whose coverage counts."""


def covered(intervals: Sequence[Interval], truth: float | Sequence[float]) -> str:
    """The share of intervals that cover the true value, with its own interval."""
    values = np.broadcast_to(np.asarray(truth, dtype=np.float64), len(intervals))
    hits = sum(each.low <= value <= each.high for each, value in zip(intervals, values, strict=True))
    return share_of(int(hits), len(intervals))


def main() -> None:
    """Print tables, or write them into the document."""
    parser = argparse.ArgumentParser(description="Count how often intervals cover the true value.")
    parser.add_argument("tables", nargs="*", help=f"which: {', '.join(TABLES)}; by default all")
    parser.add_argument("--worlds", type=int, default=100, help="simulated studies of each line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write the tables as CSV, and {DOCUMENT.name}")
    arguments = parser.parse_args()
    for name in arguments.tables or TABLES:
        head, rows = TABLES[name](arguments.worlds, arguments.seed)
        print(f"{name}\n{table(head, rows)}\n", flush=True)
        if arguments.write:
            studies = arguments.worlds * STUDIES_PER_WORLD.get(name, 1)
            write_csv(FOLDER / f"{name}.csv", [*head, "simulated studies"], [[*row, studies] for row in rows])
    if arguments.write:
        put_block(DOCUMENT, "summary", summary(FOLDER))


def summary(folder: Path) -> str:
    """The lowest and the highest coverage of the tables in a folder."""
    lines = []
    for title, name, columns in SUMMARY:
        head, rows = read_csv(folder / f"{name}.csv")
        places = [head.index(column) for column in columns]
        shares = sorted((float(row[at]), row[at + 1], row[at + 2]) for row in rows for at in places if row[at + 1])
        lowest, highest = (f"{share:.3f} [{low}, {high}]" for share, low, high in (shares[0], shares[-1]))
        lines.append((title, len(shares), lowest, highest))
    return table(("intervals of", "designs", "lowest coverage", "highest coverage"), lines)


def by_way(found: Sequence[QuantityEstimate], truth: float | Sequence[float]) -> list[str]:
    """The coverage of the three corrected estimates."""
    return [covered([getattr(each, way) for each in found], truth) for way in WAYS]


def mean_width(found: Sequence[QuantityEstimate], way: str) -> str:
    """The mean width of one estimate's intervals."""
    return f"{np.mean([getattr(each, way).high - getattr(each, way).low for each in found]):.3f}"


def names_of(values: Bools, drawn: Bools | None = None) -> list[Any]:
    """`yes` and `no`, None in rows that were not drawn."""
    shown = np.ones(len(values), dtype=np.bool_) if drawn is None else drawn
    return [("yes" if value else "no") if mine else None for value, mine in zip(values, shown, strict=True)]


@coverage_table("no_error")
def few_errors(worlds: int, seed: int) -> Table:
    """Shares where the LLM errs in one direction and the labeled rows show few errors or none."""
    rows: list[Sequence[object]] = []
    for rate in (0.02, 0.04, 0.08):
        found = []
        for world in range(worlds):
            rng = np.random.default_rng([seed, world, int(100 * rate)])
            truth = rng.random(2000) < 0.5
            said = truth | (rng.random(2000) < rate)
            found.append(_share(truth, said, np.arange(2000) < 50))
        rows.append([f"{rate:.0%} of `no` are called `yes`", *by_way(found, 0.5), mean_width(found, "ppi")])
    return ("LLM's errors", "human labels", "PPI++", "DSL", "width, PPI++"), rows


@coverage_table("rare")
def rare_classes(worlds: int, seed: int) -> Table:
    """Shares of rare classes, 100 human labels of 2,000 rows."""
    rows: list[Sequence[object]] = []
    for share, recall in ((0.056, 0.7), (0.056, 0.95), (0.02, 0.95)):
        found = []
        for world in range(worlds):
            rng = np.random.default_rng([seed, world, int(1000 * share), int(100 * recall)])
            truth = rng.random(2000) < share
            said = np.where(truth, rng.random(2000) < recall, rng.random(2000) < 0.03)
            found.append(_share(truth, said, np.arange(2000) < 100))
        name = f"share {share:g}, LLM's recall {recall:g}"
        rows.append([name, *by_way(found, share), mean_width(found, "ppi")])
    return ("class", "human labels", "PPI++", "DSL", "width, PPI++"), rows


@coverage_table("groups")
def small_groups(worlds: int, seed: int) -> Table:
    """A large group and groups with few labels: `yes` in 90% of the small group, 40% of the large."""
    rows: list[Sequence[object]] = []
    for size in (60, 120, 300):
        found: list[QuantityEstimate] = []
        differences: list[QuantityEstimate] = []
        labels = []
        for world in range(worlds):
            rng = np.random.default_rng([seed, world, size])
            small = np.arange(2000) < size
            truth = rng.random(2000) < np.where(small, 0.9, 0.4)
            said = truth ^ (rng.random(2000) < 0.1)
            drawn = np.zeros(2000, dtype=np.bool_)
            drawn[rng.permutation(2000)[:400]] = True
            groups = np.where(small, "small", "big").tolist()
            answer = estimate_difference(names_of(truth, drawn), names_of(said), groups, positive="yes", inference=ONCE)
            labels.append(answer["small"].n)
            if not answer["small"].too_few:
                found.append(answer["small"])
                differences.append(answer["small - big"])
        of = f"about {np.mean(labels):.0f} labels"
        few = f"{1 - len(found) / worlds:.0%}"
        rows.append([f"small, {of}", *by_way(found, 0.9), few])
        rows.append([f"small - big, {of}", *by_way(differences, 0.5), few])
    return ("group", "human labels", "PPI++", "DSL", "too few"), rows


@coverage_table("topped_up")
def topped_up(worlds: int, seed: int) -> Table:
    """The share of complaints among 1,200 rows, from two samples one on top of the other (finite population)."""
    rng = np.random.default_rng(11)
    said = rng.random(1200) < 0.3
    truth = said ^ (rng.random(1200) >= 0.85)
    sure = np.round(np.clip(rng.beta(6, 1.5, 1200), 0.5, 1), 2)
    equal: dict[str, Any] = {"design": "stratified", "allocation": "equal"}
    random: dict[str, Any] = {"design": "random"}
    doubtful: dict[str, Any] = {"design": "confidence"}
    rows: list[Sequence[object]] = []
    for name, steps in (
        ("stratified, equal 100 + random 100", ((equal, 100), (random, 100))),
        ("stratified, equal 150 + confidence 50", ((equal, 150), (doubtful, 50))),
        ("confidence 100 + random 100", ((doubtful, 100), (random, 100))),
        ("random 100 + stratified, equal 100", ((random, 100), (equal, 100))),
    ):
        found = []
        for world in range(worlds):
            sample: Any = None
            for place, (step, n) in enumerate(steps):
                before = None if sample is None else sample.probabilities
                number = 10 * (seed + world) + place
                sample = draw_sample(names_of(said), n, confidence=sure, earlier=before, seed=number, **step)
            chances = np.array(sample.probabilities, dtype=np.float64)
            how = Inference(probabilities=np.nan_to_num(chances, nan=1.0), splits=1, finite=True)
            found.append(_share(truth, said, ~np.isnan(chances), how))
        bias = np.mean([each.classical.estimate for each in found]) - truth.mean()
        rows.append([name, *by_way(found, float(truth.mean())), f"{bias:+.3f}"])
    return ("sample", "human labels", "PPI++", "DSL", "bias, human labels"), rows


@coverage_table("pooled")
def pooled_tasks(worlds: int, seed: int) -> Table:
    """The mean over tasks like these: the between-task SD and the standard error within tasks are given."""
    rows: list[Sequence[object]] = []
    for tasks in (2, 3, 5, 8, 14):
        line: list[object] = [tasks]
        for between, within in ((0.03, 0.01), (0.03, 0.03), (0.17, 0.03)):
            rng = np.random.default_rng([seed, tasks, int(100 * between), int(100 * within)])
            points = rng.normal(-0.02, between, (4 * worlds, tasks)) + rng.normal(0, within, (4 * worlds, tasks))
            none = [np.zeros(1)] * tasks
            found = [pool_tasks(each.tolist(), none, BootstrapConfig(resamples=1)).random_tasks for each in points]
            line.append("no interval" if np.isnan(found[0].low) else covered(found, -0.02))
        rows.append(line)
    return ("tasks", "SD 0.03, within 0.01", "SD 0.03, within 0.03", "SD 0.17, within 0.03"), rows


ONCE = Inference(splits=1)


def _share(truth: Bools, said: Bools, drawn: Bools, how: Inference = ONCE) -> QuantityEstimate:
    return estimate_prevalence(names_of(truth, drawn), names_of(said), inference=how)["yes"]


if __name__ == "__main__":
    main()
