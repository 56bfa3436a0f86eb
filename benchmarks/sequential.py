"""How often does a gate pass wrongly if it is checked after every row, and what do intervals for any time cost?

    python -m benchmarks.sequential                          # 200 simulated samples of each design
    python -m benchmarks.sequential --worlds 2000 --write    # put the tables into docs/results/sequential

In each design the LLM's labels are exactly at the threshold, and the gate is checked after each of 1,000 rows. The
interval of a finished sample is compared with the one of `validate --sequential`. Rows to a verdict are those until the
interval excludes 0.8 for the first time.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_tables import Table, share_of
from benchmarks.documents import put_block, read_csv, table, write_csv
from hf_synthlabels.statistics.agreement.confusion import score
from hf_synthlabels.statistics.design.sample_size import rows_to_fail, rows_to_pass
from hf_synthlabels.statistics.intervals import normal_quantile
from hf_synthlabels.statistics.sequential.asymptotic import SmoothMetric, boundary, score_limits
from hf_synthlabels.statistics.sequential.betting import log_capital

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results" / "sequential"

DOCUMENT = FOLDER.parents[1] / "looking_early.md"

ROWS = 1000
"""Looks of each sample: after every row."""

FIRST = 30
"""First look at the interval of a finished sample: with fewer rows it is too wide to use."""

MAX_ROWS = 3000
"""Rows to a verdict are counted up to here."""

CHUNK = 500

LIMIT = math.log(40)
"""Of the capital, for limits that are wrong in 2.5%."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

Errors = tuple[Mask, Mask, Mask, Mask]
"""Samples in which the lower and the upper limit is on the wrong side of the true value at any look: of intervals of a
finished sample, then of those for any time."""


def confusion(shares: Sequence[float], recalls: Sequence[float]) -> Floats:
    """Cell probabilities, shape (K, K + 1); errors go to the other classes alike."""
    classes = len(shares)
    cells = np.zeros((classes, classes + 1))
    for k, (share, recall) in enumerate(zip(shares, recalls, strict=True)):
        cells[k, :classes] = share * (1 - recall) / (classes - 1)
        cells[k, k] = share * recall
    return cells


def share_errors(right: Floats, weights: Floats, largest: float, truth: float) -> Errors:
    """Errors of a weighted share; `right` and `weights` have the shape (worlds, rows)."""
    sums, squares = weights.cumsum(axis=1), (weights**2).cumsum(axis=1)
    share = (weights * right).cumsum(axis=1) / sums
    # Wilson's limits for the effective number of rows (`share_interval`).
    hits = (weights**2 * right).cumsum(axis=1)
    total = hits * (1 - share) ** 2 + (squares - hits) * share**2
    rows = np.arange(1, right.shape[1] + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(total > 0, share * (1 - share) * sums**2 / total, sums**2 / squares)
    effective = np.minimum(rows, effective)
    z = normal_quantile(0.95)
    center = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(share * (1 - share) / effective + (z / (2 * effective)) ** 2)
    late = rows >= FIRST
    below = log_capital(right, truth, weights / largest).max(axis=1) >= LIMIT
    above = log_capital(1 - right, 1 - truth, weights / largest).max(axis=1) >= LIMIT
    return ((center - half > truth) & late).any(axis=1), ((center + half < truth) & late).any(axis=1), below, above


def equal_rows(accuracy: float) -> Callable[[np.random.Generator, int], Errors]:
    """A random sample."""

    def draw(rng: np.random.Generator, worlds: int) -> Errors:
        right = (rng.random((worlds, ROWS)) < accuracy).astype(np.float64)
        return share_errors(right, np.ones_like(right), 1.0, accuracy)

    return draw


def stratified_rows(rng: np.random.Generator, worlds: int) -> Errors:
    """As many rows of a predicted class of 10% as of the others, in random order; right in 0.4 and in 0.844."""
    stratum = rng.permuted(np.tile(np.arange(ROWS) % 2, (worlds, 1)), axis=1)
    weights, accuracies = np.array([1.8, 0.2]), np.array([0.76 / 0.9, 0.4])
    truth = float(0.9 * accuracies[0] + 0.1 * accuracies[1])
    right = (rng.random((worlds, ROWS)) < accuracies[stratum]).astype(np.float64)
    return share_errors(right, weights[stratum], 1.8, truth)


def uncertain_rows(rng: np.random.Generator, worlds: int) -> Errors:
    """Sampled by confidence: half of the probability is equal, half follows the standard deviation of an error."""
    confidence = np.linspace(0.5, 0.995, 2000)
    doubt = np.sqrt(confidence * (1 - confidence))
    chance = 0.5 + 0.5 * doubt / doubt.mean()
    truth = float(confidence.mean())
    row = rng.choice(len(confidence), size=(worlds, ROWS), p=chance / chance.sum())
    right = (rng.random((worlds, ROWS)) < confidence[row]).astype(np.float64)
    return share_errors(right, 1 / chance[row], float(1 / chance.min()), truth)


def smooth_score(
    metric: SmoothMetric, cells: Floats, weights: Floats | None = None
) -> Callable[[np.random.Generator, int], Errors]:
    """A score of the confusion matrix `cells`.

    With weights, rows of each predicted class are sampled with a probability inverse to its weight.
    """
    size = len(cells)
    truth = float(score(metric, cells * 1e9))
    weight = np.tile(np.append(np.ones(size) if weights is None else weights, 1.0), size)
    chances = cells.ravel() / weight
    weight = weight * chances.sum() / cells.sum()

    def draw(rng: np.random.Generator, worlds: int) -> Errors:
        drawn = rng.choice(cells.size, size=(worlds, ROWS), p=chances / chances.sum())
        counts, every = np.zeros((worlds, cells.size)), np.ones(size, dtype=bool)
        errors = np.zeros((4, worlds), dtype=bool)
        for place in range(ROWS):
            counts[np.arange(worlds), drawn[:, place]] += 1
            weighted, squared = ((counts * weight**power).reshape(worlds, size, size + 1) for power in (1, 2))
            scale = weighted.sum(axis=(1, 2), keepdims=True) / (place + 1)
            weighted, squared = weighted / scale, squared / scale**2
            low, high = score_limits(metric, weighted, squared, boundary(place + 1), every)
            errors[2] |= low > truth
            errors[3] |= high < truth
            if place + 1 >= FIRST:
                low, high = score_limits(metric, weighted, squared, normal_quantile(0.95), every)
                errors[0] |= low > truth
                errors[1] |= high < truth
        return errors[0], errors[1], errors[2], errors[3]

    return draw


BALANCED = confusion((1 / 3,) * 3, (0.8,) * 3)
RARE = confusion((0.9, 0.07, 0.03), (0.95, 0.7, 0.6))
VERY_RARE = confusion((0.98, 0.02), (0.99, 0.6))
TEN = confusion((0.73, *[0.03] * 9), (0.9, *[0.7] * 9))

DESIGNS: dict[str, Callable[[np.random.Generator, int], Errors]] = {
    "accuracy 0.8": equal_rows(0.8),
    "accuracy 0.9": equal_rows(0.9),
    "accuracy 0.97": equal_rows(0.97),
    "accuracy 0.8, stratified equally": stratified_rows,
    "accuracy 0.748, sampled by confidence": uncertain_rows,
    "macro F1, three equal classes": smooth_score("macro_f1", BALANCED),
    "macro F1, classes of 90%, 7%, 3%": smooth_score("macro_f1", RARE),
    "macro F1, classes of 98%, 2%": smooth_score("macro_f1", VERY_RARE),
    "macro F1, 73% and nine classes of 3%": smooth_score("macro_f1", TEN),
    "macro F1, 90%, 7%, 3%, rare ones oversampled": smooth_score("macro_f1", RARE, np.array([1.8, 0.3, 0.3])),
    "kappa, classes of 90%, 7%, 3%": smooth_score("kappa", RARE),
    "weighted F1, classes of 90%, 7%, 3%": smooth_score("weighted_f1", RARE),
}


def false_passes(worlds: int, seed: int) -> Table:
    """Gates checked after every row, at the threshold."""
    head = ("score at its threshold", "finished sample: passes", "--sequential: passes", "fails", "covers at all looks")
    lines: list[Sequence[object]] = []
    for number, (name, draw) in enumerate(DESIGNS.items()):
        parts: list[Errors] = []
        rng = np.random.default_rng((seed, number))
        for start in range(0, worlds, CHUNK):
            parts.append(draw(rng, min(CHUNK, worlds - start)))
        fixed, _, below, above = (np.concatenate([part[side] for part in parts]) for side in range(4))
        counts = (int(fixed.sum()), int(below.sum()), int(above.sum()), int((~(below | above)).sum()))
        lines.append([name, *(share_of(count, worlds) for count in counts)])
    return head, lines


def rows_to_verdict(worlds: int, seed: int) -> Table:
    """Rows until `accuracy>=0.8` is decided, next to a sample size that is planned for the true accuracy."""
    head = ("true accuracy", "verdict", "planned, 80% power", "median", "90%", "decided by 1,000", "by 3,000", "wrong")
    lines: list[Sequence[object]] = []
    for number, accuracy in enumerate((0.7, 0.75, 0.77, 0.83, 0.85, 0.88, 0.92, 0.96)):
        rng = np.random.default_rng((seed, 100 + number))
        good, rows, wrong = accuracy > 0.8, [], 0
        for start in range(0, worlds, CHUNK):
            right = (rng.random((min(CHUNK, worlds - start), MAX_ROWS)) < accuracy).astype(np.float64)
            passed, failed = (
                first_look(log_capital(values, mean) >= LIMIT) for values, mean in ((right, 0.8), (1 - right, 0.2))
            )
            decided, other = (passed, failed) if good else (failed, passed)
            wrong += int((other < decided).sum())
            rows.append(np.minimum(passed, failed))
        needed = np.concatenate(rows)
        planned = (rows_to_pass if good else rows_to_fail)(accuracy, 0.8, 0.95)
        median, late = (np.quantile(needed, share, method="higher") for share in (0.5, 0.9))
        shown = [f"{value:,.0f}" if value <= MAX_ROWS else "more" for value in (median, late)]
        shares = [share_of(int((needed <= most).sum()), worlds) for most in (1000, MAX_ROWS)]
        verdict = "pass" if good else "fail"
        lines.append([f"{accuracy:g}", verdict, f"{planned:,}", *shown, *shares, share_of(wrong, worlds)])
    return head, lines


def first_look(excluded: Mask) -> NDArray[np.int64]:
    """The first look at which the threshold is excluded, or one more than there are."""
    looks: NDArray[np.int64] = np.where(excluded.any(axis=1), excluded.argmax(axis=1) + 1, excluded.shape[1] + 1)
    return looks


TABLES = {"false_passes": false_passes, "rows_to_verdict": rows_to_verdict}


def block(name: str) -> str:
    """A table of the document, from its file."""
    head, rows = read_csv(FOLDER / f"{name}.csv")
    names = [column for column in head if not column.endswith((" low", " high"))]
    lines = []
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        lines.append(
            [
                f"{cells[column]} [{cells[f'{column} low']}, {cells[f'{column} high']}]"
                if f"{column} low" in cells
                else cells[column]
                for column in names
            ]
        )
    return table(names, lines)


def main() -> None:
    """Print the tables; with `--write` put them into the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=200, help="simulated samples of each design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(TABLES), nargs="*", help="tables to compute (default: all)")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {FOLDER}")
    arguments = parser.parse_args()
    for name in arguments.only or TABLES:
        head, lines = TABLES[name](arguments.worlds, arguments.seed)
        print(f"\n{name}\n\n{table(head, lines)}", flush=True)
        if arguments.write:
            write_csv(FOLDER / f"{name}.csv", head, lines)
            put_block(DOCUMENT, name, block(name))


if __name__ == "__main__":
    main()
