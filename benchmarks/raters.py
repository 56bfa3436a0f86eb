"""Do intervals of the rater model and bounds for missing labels cover the true value? Simulated raters and LLMs.

    python -m benchmarks.raters                       # all tables, 200 simulated studies each
    python -m benchmarks.raters --worlds 2000 --write # into docs/results/raters/
    python -m benchmarks.raters --pandalm FOLDER      # 999 pairs of answers with three annotators each

Studies are simulated together: each is a vector of weights of the possible rows of votes.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.coverage_tables import Table, share_of
from benchmarks.documents import table, write_csv
from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.estimation.analyses import group_means
from hf_synthlabels.statistics.estimation.estimands import Quantity
from hf_synthlabels.statistics.estimation.estimators import ppi
from hf_synthlabels.statistics.estimation.label_rows import Inference, label_rows
from hf_synthlabels.statistics.missing_labels.bounds import share_bounds
from hf_synthlabels.statistics.missing_labels.estimate_bounds import BoundedQuantity, quantity_bounds
from hf_synthlabels.statistics.raters.dawid_skene import Fit, Model, Patterns, fit_raters, llm_accuracy, vote_patterns
from hf_synthlabels.statistics.raters.rater_model import REPLICATE_TOLERANCE
from hf_synthlabels.statistics.raters.rater_report import RaterReport, rater_report
from hf_synthlabels.statistics.raters.reliability import class_agreement, nominal_alpha
from hf_synthlabels.statistics.raters.row_means import effective_interval
from hf_synthlabels.statistics.raters.votes import Votes

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results" / "raters"

RESAMPLES = 40
"""Of the bootstrap in each study; the package uses 200."""

TOGETHER = 40
"""Studies that are fitted at once."""

SIZES = (50, 250, 1000)

CLASSES = {
    "two, balanced": (0.5, 0.5),
    "two, 0.9 and 0.1": (0.9, 0.1),
    "three, 0.6, 0.3, 0.1": (0.6, 0.3, 0.1),
}

DESIGNS = [
    (title, shares, raters) for title, shares in CLASSES.items() for raters in ((2, 3, 5) if len(shares) == 2 else (3,))
]
"""Classes and numbers of raters."""

RATER_ACCURACY = 0.85
LLM_ACCURACY = 0.8


def error_matrix(accuracy: float, size: int) -> Floats:
    """Errors to all other classes alike."""
    return (1 - accuracy) / (size - 1) * np.ones((size, size)) + (accuracy - (1 - accuracy) / (size - 1)) * np.eye(size)


def possible_rows(shares: Sequence[float], raters: int, hard: float) -> tuple[Ints, Ints, Floats]:
    """All rows of votes, their LLM labels, and their probabilities.

    Args:
        shares: of the true classes.
        raters: votes of a row.
        hard: share of rows on which raters and LLM err more often, so that errors are not independent; the mean
            accuracies stay the same.
    """
    size = len(shares)
    rows = np.array(list(itertools.product(range(size), repeat=raters + 1)))
    probabilities = np.zeros(len(rows))
    gap = 0.0 if not hard else 0.25
    for weight, shift in ((1 - hard, gap * hard), (hard, -gap * (1 - hard))):
        if not weight:
            continue
        human, llm = (error_matrix(accuracy + shift, size) for accuracy in (RATER_ACCURACY, LLM_ACCURACY))
        for truth, share in enumerate(shares):
            likely = llm[truth, rows[:, -1]] * human[truth][rows[:, :-1]].prod(axis=1)
            probabilities += weight * share * likely
    return rows[:, :-1], rows[:, -1], probabilities


def studies(
    patterns: Patterns, llm: Ints, probabilities: Floats, model: Model, n: int, worlds: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Estimates of rater and LLM accuracy in each study, with the variances of a bootstrap."""
    for start in range(0, worlds, TOGETHER):
        counts = rng.multinomial(n, probabilities, size=min(TOGETHER, worlds - start)).astype(np.float64)
        fit = fit_raters(patterns, counts, model)
        accuracy = llm_accuracy(patterns, llm, fit.posteriors, counts)
        resampled = np.concatenate([rng.multinomial(n, each / n, size=RESAMPLES) for each in counts]).astype(np.float64)
        shares, matrices = (np.repeat(part, RESAMPLES, axis=0) for part in (fit.shares, fit.matrices))
        starts = Fit(shares, matrices, fit.posteriors, fit.converged)
        refit = fit_raters(patterns, resampled, model, starts, REPLICATE_TOLERANCE)
        shape = (len(counts), RESAMPLES)
        again = llm_accuracy(patterns, llm, refit.posteriors, resampled).reshape(shape)
        variances = refit.accuracies[:, 0].reshape(shape).var(axis=1, ddof=1), again.var(axis=1, ddof=1)
        yield fit.accuracies[:, 0], variances[0], accuracy, variances[1]


def rater_coverage(worlds: int, seed: int, *, hard: float = 0.0) -> Table:
    """Coverage of a rater's accuracy, of the LLM's corrected accuracy, and of that against the majority."""
    lines: list[Sequence[object]] = []
    for title, shares, raters in DESIGNS:
        if hard and (raters != 3 or len(shares) != 2):
            continue
        rows, llm, probabilities = possible_rows(shares, raters, hard)
        model: Model = "one-coin" if raters == 2 else "raters"
        names = tuple(map(str, range(raters)))
        votes = Votes("votes", rows, names, tuple(map(str, range(len(shares)))))
        patterns = vote_patterns(votes, model, llm)
        order = np.empty(len(rows), dtype=np.int64)
        order[patterns.of_row] = np.arange(len(rows))
        for n in SIZES[-1:] if hard else SIZES:
            rng = np.random.default_rng([seed, n, raters, len(shares)])
            hits, widths, sums = np.zeros(2), 0.0, np.zeros(2)
            drawn = studies(patterns, llm[order], probabilities[order], model, n, worlds, rng)
            for rater, rater_variance, corrected, variance in drawn:
                for a, va, b, vb in zip(rater, rater_variance, corrected, variance, strict=True):
                    own = effective_interval(float(a), float(va), n, n, 0.95, "")
                    both = effective_interval(float(b), float(vb), n, n, 0.95, "")
                    hits[0] += own.low <= RATER_ACCURACY <= own.high
                    hits[1] += both.low <= LLM_ACCURACY <= both.high
                    widths += both.high - both.low
                    sums += (a, b)
            known = votes.majority >= 0
            agree = float(probabilities[known & (votes.majority == llm)].sum() / probabilities[known].sum())
            lines.append(
                [
                    title,
                    raters,
                    f"{n:,}",
                    share_of(int(hits[0]), worlds),
                    share_of(int(hits[1]), worlds),
                    f"{widths / worlds:.3f}",
                    f"{sums[0] / worlds - RATER_ACCURACY:+.3f}",
                    f"{sums[1] / worlds - LLM_ACCURACY:+.3f}",
                    f"{agree - LLM_ACCURACY:+.3f}",
                ]
            )
    head = ("classes", "raters", "n", "rater's accuracy", "LLM's accuracy, corrected", "width")
    return (*head, "bias of rater's", "bias of corrected", "bias against the majority"), lines


def agreement_coverage(worlds: int, seed: int) -> Table:
    """Coverage of Krippendorff's alpha, and of agreement with the majority of the other raters."""
    lines: list[Sequence[object]] = []
    for title, shares, raters in DESIGNS:
        rows, llm, probabilities = possible_rows(shares, raters, 0.0)
        counts = np.stack([(rows == code).sum(axis=1) for code in range(len(shares))], axis=1)
        many = 1_000_000
        population = np.rint(probabilities * many).astype(np.int64)
        whole = SamplingDesign(weights=np.maximum(population, 1e-9).astype(np.float64))
        means = counts.T @ probabilities / raters
        apart = raters / (raters - 1) * (1 - ((counts / raters) ** 2).sum(axis=1))
        truth = [1 - float(probabilities @ apart) / (1 - float(means @ means))]
        last = class_agreement(counts, llm, whole)[-1]
        truth += [last.raters.estimate, last.llm.estimate, last.difference.estimate]
        for n in SIZES:
            rng, hits = np.random.default_rng([seed, n, raters, len(shares), 1]), np.zeros(4)
            for drawn in rng.multinomial(n, probabilities, size=worlds):
                place = np.repeat(np.arange(len(rows)), drawn)
                line = class_agreement(counts[place], llm[place])[-1]
                intervals = (nominal_alpha(counts[place]), line.raters, line.llm, line.difference)
                hits += [each.low <= value <= each.high for each, value in zip(intervals, truth, strict=True)]
            lines.append([title, raters, f"{n:,}", *(share_of(int(each), worlds) for each in hits)])
    return ("classes", "raters", "n", "alpha", "a rater", "the LLM", "LLM - rater"), lines


MISSING = {
    "at random": (0.2, 0.2),
    "wrong rows only": (0.0, 0.6),
    "right rows only": (0.25, 0.0),
    "wrong rows more often": (0.1, 0.4),
}
"""Probability of a missing label of rows that are right and that are wrong."""


def accuracy_bounds(worlds: int, seed: int) -> Table:
    """Coverage of the accuracy in all rows when LLM labels are missing: bounds, and the estimate at random."""
    lines: list[Sequence[object]] = []
    for accuracy, (title, (right, wrong)) in itertools.product((0.8, 0.95), MISSING.items()):
        for n in SIZES:
            rng, hits, width = np.random.default_rng([seed, n, int(100 * accuracy)]), np.zeros(2), 0.0
            for _ in range(worlds):
                correct = rng.random(n) < accuracy
                known = rng.random(n) >= np.where(correct, right, wrong)
                bounds = share_bounds(correct, known, None)
                hits[0] += bounds.interval_low <= accuracy <= bounds.interval_high
                hits[1] += bounds.at_random.low <= accuracy <= bounds.at_random.high
                width += bounds.interval_high - bounds.interval_low
            shares = (share_of(int(each), worlds) for each in hits)
            lines.append([f"{accuracy:g}", title, f"{n:,}", *shares, f"{width / worlds:.3f}"])
    return ("accuracy", "missing", "n", "bounds", "at random", "width of bounds"), lines


def prevalence_bounds(worlds: int, seed: int) -> Table:
    """Coverage of a class's share when sampled rows have no human label: bounds by PPI++, and PPI++ at random."""
    lines: list[Sequence[object]] = []
    for share, (title, (common, rare)) in itertools.product((0.5, 0.1), NONRESPONSE.items()):
        for n in SIZES[:2]:
            rng, hits, width = np.random.default_rng([seed, n, int(100 * share)]), np.zeros(2), 0.0
            rows = 5 * n
            for _ in range(worlds):
                truth = rng.random(rows) < share
                llm = np.where(rng.random(rows) < 0.85, truth, ~truth).astype(np.float64)
                sampled = np.arange(rows) < n
                known = sampled & (rng.random(rows) >= np.where(truth, rare, common))
                human = np.where(known, truth, np.nan)
                every = np.ones(rows, dtype=np.bool_)
                quantity = BoundedQuantity("class", ESTIMAND, human, llm, every, ~every)
                labels = label_rows(human[:, None], llm[:, None], Inference())
                at_random = ppi(ESTIMAND, labels, Inference())[0].interval
                bounds = quantity_bounds(quantity, ppi, sampled, (0.0, 1.0), Inference(), at_random)
                hits[0] += bounds.interval_low <= share <= bounds.interval_high
                hits[1] += at_random.low <= share <= at_random.high
                width += bounds.interval_high - bounds.interval_low
            shares = (share_of(int(each), worlds) for each in hits)
            lines.append([f"{share:g}", title, f"{n:,}", *shares, f"{width / worlds:.3f}"])
    return ("share", "no human label", "n", "bounds", "at random", "width of bounds"), lines


NONRESPONSE = {"at random": (0.2, 0.2), "the class only": (0.0, 0.5), "other rows only": (0.3, 0.0)}
"""Probability of a missing human label of rows outside and inside the class."""

ESTIMAND = group_means(Quantity("rare", (1.0,), 0, 1, share=True))

TABLES: dict[str, Callable[[int, int], Table]] = {
    "rater_model": rater_coverage,
    "dependent_errors": functools.partial(rater_coverage, hard=0.3),
    "agreement": agreement_coverage,
    "accuracy_bounds": accuracy_bounds,
    "prevalence_bounds": prevalence_bounds,
}


def judged_pairs(folder: Path) -> dict[str, RaterReport]:
    """PandaLM's test set: three annotators chose one of two answers, and two models judged them."""
    rows = json.loads((folder / "testset-v1.json").read_text(encoding="utf-8"))
    codes = np.array([[int(row[f"annotator{place}"]) for place in (1, 2, 3)] for row in rows])
    votes = Votes("annotators", codes, ("annotator 1", "annotator 2", "annotator 3"), ("tie", "first", "second"))
    reports = {}
    for name, (file, column) in PANDALM.items():
        verdicts = {row["idx"]: row[column] for row in json.loads((folder / file).read_text(encoding="utf-8"))}
        labels = [verdicts.get(row["idx"]) for row in rows]
        llm = np.array([int(str(label)) if str(label) in ("0", "1", "2") else -1 for label in labels])
        reports[name] = rater_report(votes, "text-classification", llm)
    return reports


PANDALM = {
    "GPT-3.5": ("gpt-3.5-turbo-testset-v1.json", "gpt_result"),
    "PandaLM-7B": ("pandalm-7b-testset-v1.json", "pandalm_result"),
}


def main() -> None:
    """Print tables, or write them into docs/results/raters."""
    parser = argparse.ArgumentParser(description="Count how often intervals of several raters cover the true value.")
    parser.add_argument("tables", nargs="*", help=f"which: {', '.join(TABLES)}; by default all")
    parser.add_argument("--worlds", type=int, default=200, help="simulated studies of each line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write CSV files into {FOLDER.name}")
    parser.add_argument("--pandalm", type=Path, help="folder with the test set of PandaLM: print its report instead")
    arguments = parser.parse_args()
    if arguments.pandalm is not None:
        for name, report in judged_pairs(arguments.pandalm).items():
            print(f"{name}\n\n{report.text(100)}\n")
        return
    for name in arguments.tables or TABLES:
        head, rows = TABLES[name](arguments.worlds, arguments.seed)
        print(f"{name}\n{table(head, rows)}\n", flush=True)
        if arguments.write:
            write_csv(FOLDER / f"{name}.csv", [*head, "simulated studies"], [[*row, arguments.worlds] for row in rows])


if __name__ == "__main__":
    main()
