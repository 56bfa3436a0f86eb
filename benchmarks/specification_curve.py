"""Does a conclusion survive another variant, and what does choosing a variant on the human labels do to it?

    python -m benchmarks.specification_curve                                 # simulations, 200 worlds each
    python -m benchmarks.specification_curve --worlds 2000 --write           # into docs/results/robustness/
    HF_SYNTHLABELS_DATA=... python -m benchmarks.specification_curve --data  # labels of many prompts and models

Two simulations choose one of several variants on human-labeled rows. In `gate`, every variant has exactly the accuracy
of the threshold, so each pass is false. In `claim`, the prevalence is exactly the value of the conclusion, so each
claim that it differs is false. Both compare the same rows, tune and holdout rows, and a Bonferroni correction.

The recorded labels are `media_bias_babe/babe_all_runs.parquet`, `media_bias_babe/babe_train_dev.jsonl` and two tasks of
`css_ziems`. Every row has a human label, so the conclusion of all human labels is known.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.coverage_tables import share_of
from benchmarks.documents import Table, put_block, write_tables
from hf_synthlabels.statistics import Inference, Interval
from hf_synthlabels.statistics.estimation.estimands import Quantity, Ratios
from hf_synthlabels.statistics.estimation.estimators import classical, naive, ppi
from hf_synthlabels.statistics.estimation.label_rows import LabelRows, label_rows
from hf_synthlabels.statistics.intervals import bounded_mean, normal_quantile
from hf_synthlabels.statistics.robustness.quantity_curve import verdict

__all__ = ["CONCLUSIONS", "claims", "gates", "main", "recorded", "wilson_low"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results" / "robustness.md"
SHOWN_LABELS = "250"
FIGURE = ROOT / "docs" / "images" / "specification-curve.svg"

VARIANTS = 8
ROWS = 2000
LABELS = (50, 100, 250, 1000)
LEVEL = 0.95
SAMPLES = 200
"""Human samples that are drawn from recorded data."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def wilson_low(correct: Any, n: int, level: float) -> Floats:
    """The lower Wilson limit of shares."""
    z = normal_quantile(level)
    share = np.asarray(correct, dtype=np.float64) / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low: Floats = center - half
    return low


def gates(worlds: int, seed: int = 0) -> Table:
    """How often the best of several variants passes a gate at its own true accuracy."""
    rng = np.random.default_rng(seed)
    together = 1 - (1 - LEVEL) / VARIANTS
    rows = []
    for accuracy in (0.8, 0.95):
        for n in LABELS:
            correct = _correct(worlds, n, accuracy, rng)
            first, rest = correct[:, : n // 2], correct[:, n // 2 :]
            counts, everything = rest.sum(axis=1), correct.sum(axis=1)
            best, tuned = everything.argmax(axis=1), first.sum(axis=1).argmax(axis=1)
            each = np.arange(worlds)
            passes = {
                "one variant, fixed before": wilson_low(everything[:, 0], n, LEVEL),
                "best of 8, same rows": wilson_low(everything[each, best], n, LEVEL),
                "best of 8, half to tune, half holdout": wilson_low(counts[each, tuned], n - n // 2, LEVEL),
                "best of 8, same rows, Bonferroni": wilson_low(everything[each, best], n, together),
            }
            shares = [share_of(int((low >= accuracy).sum()), worlds) for low in passes.values()]
            rows.append((accuracy, n, *shares, worlds))
    return Table(("true accuracy and threshold", "human labels", *passes, "worlds"), rows)


def _correct(worlds: int, n: int, accuracy: float, rng: np.random.Generator) -> Bools:
    """Whether each variant labels each row correctly; difficult rows are difficult for all, shape (worlds, n, k)."""
    difficulty = rng.standard_normal((worlds, n, 1)).astype(np.float32)
    own = rng.standard_normal((worlds, n, VARIANTS), dtype=np.float32)
    bound = float(stats.norm.ppf(accuracy))
    correct: Bools = (difficulty + own) / np.float32(2**0.5) < bound
    return correct


SHARE = Ratios((Quantity("share", (1.0,), 0, 1, share=True),), lambda labels: labels, np.ones_like, 1)

CLAIMS = (
    "uncorrected, one variant",
    "uncorrected, most significant of 8",
    "PPI++, one variant",
    "PPI++, best accuracy of 8, same rows",
    "PPI++, most significant of 8, same rows",
    "PPI++, most significant of 8, half to tune, half holdout",
    "PPI++, most significant of 8, Bonferroni",
)


def claims(worlds: int, seed: int = 0) -> Table:
    """How often a claim about a prevalence is made although the value is the true one."""
    rows = []
    for prevalence in (0.5, 0.1):
        for n in LABELS:
            made, widths = np.zeros(len(CLAIMS)), np.zeros(len(CLAIMS))
            for world in range(worlds):
                rng = np.random.default_rng([seed, world, n, int(100 * prevalence)])
                intervals = _world(prevalence, n, rng)
                made += [verdict(each, prevalence) in ("above", "below") for each in intervals]
                widths += [each.high - each.low for each in intervals]
            shares = [share_of(int(count), worlds) for count in made]
            rows.append((prevalence, n, *shares, *(f"{width / worlds:.3f}" for width in widths), worlds))
    names = (*CLAIMS, *(f"width: {name}" for name in CLAIMS))
    return Table(("true prevalence", "human labels", *names, "worlds"), rows)


def _world(prevalence: float, n: int, rng: np.random.Generator) -> list[Interval]:
    """The interval that each way of choosing reports, in the order of `CLAIMS`."""
    truth = rng.random(ROWS) < prevalence
    difficulty = rng.standard_normal((ROWS, 1))
    own = rng.standard_normal((ROWS, VARIANTS))
    # Sensitivity and specificity differ by variant, so that uncorrected shares are wrong by different amounts.
    rates = rng.uniform(0.7, 0.97, size=(2, VARIANTS))
    bounds = np.where(truth[:, None], stats.norm.ppf(rates[0]), stats.norm.ppf(rates[1]))
    labels = np.where((difficulty + own) / 2**0.5 < bounds, truth[:, None], ~truth[:, None]).astype(np.float64)
    together = 1 - (1 - LEVEL) / VARIANTS
    human = truth.astype(np.float64)
    human[n:] = np.nan
    everything = [label_rows(human[:, None], labels[:, [k]], Inference()) for k in range(VARIANTS)]
    uncorrected = [naive(SHARE, each, Inference())[0].interval for each in everything]
    corrected = [_ppi(each, LEVEL) for each in everything]
    accurate = int((labels[:n] == human[:n, None]).sum(axis=0).argmax())
    tune, holdout = human.copy(), human.copy()
    tune[n // 2 :], holdout[: n // 2] = np.nan, np.nan
    tuned = [_ppi(label_rows(tune[:, None], labels[:, [k]], Inference()), LEVEL) for k in range(VARIANTS)]
    chosen = _most_significant(tuned, prevalence)
    best = _most_significant(corrected, prevalence)
    return [
        uncorrected[0],
        uncorrected[_most_significant(uncorrected, prevalence)],
        corrected[0],
        corrected[accurate],
        corrected[best],
        _ppi(label_rows(holdout[:, None], labels[:, [chosen]], Inference()), LEVEL),
        _ppi(everything[best], together),
    ]


def _ppi(rows: LabelRows, level: float) -> Interval:
    return ppi(SHARE, rows, Inference(level=level))[0].interval


def _most_significant(intervals: Sequence[Interval], value: float) -> int:
    """The interval farthest from a value, in its own half widths."""
    distances = [max(value - each.high, each.low - value) / max(1e-9, each.high - each.low) for each in intervals]
    return int(np.argmax(distances))


@dataclass(frozen=True)
class Recorded:
    """Human labels of all rows, and the labels of many variants."""

    human: Floats
    """Shape (rows,)."""
    llm: Floats
    """Shape (rows, variants); nan where a variant gave none."""
    names: Sequence[str]
    group: Bools | None = None
    """Whether each row is in the second group of a difference; None for a share."""


@dataclass(frozen=True)
class ConclusionCase:
    """A conclusion that recorded labels can be tested on."""

    what: str
    data: str
    null: float
    labels: int
    """Human labels of each sample."""


CONCLUSIONS = (
    ConclusionCase("share of biased sentences against 0.5", "BABE", 0.5, 300),
    ConclusionCase("biased: Breitbart minus Alternet against 0", "BABE, two outlets", 0.0, 300),
    ConclusionCase("share of misinformation against 0.5", "Ziems, mrf", 0.5, 150),
    ConclusionCase("left: with minus without question mark against 0", "Ziems, media_ideology", 0.0, 150),
)


def _read(case: ConclusionCase, folder: Path) -> Recorded:
    if case.data.startswith("BABE"):
        import pandas as pd

        runs = pd.read_parquet(folder / "media_bias_babe" / "babe_all_runs.parquet")
        names = [name for name in runs.columns if "|" in name]
        human = runs["label"].to_numpy(dtype=np.float64)
        llm = runs[names].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        if case.data == "BABE":
            return Recorded(human, llm, names)
        lines = (folder / "media_bias_babe" / "babe_train_dev.jsonl").read_text(encoding="utf-8").splitlines()
        outlets = {row["uuid"]: row["outlet"] for row in map(json.loads, lines)}
        outlet = np.array([outlets.get(key) for key in runs["uuid"]], dtype=object)
        kept = (outlet == "Alternet") | (outlet == "Breitbart")
        return Recorded(human[kept], llm[kept], names, np.asarray(outlet[kept] == "Breitbart"))
    task, positive = ("mrf", "misinformation") if "mrf" in case.data else ("media_ideology", "left")
    text = (folder / "css_ziems" / f"{task}.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    names = [name for name in rows[0] if name.startswith("llm:")]
    llm = np.array(
        [[np.nan if row.get(name) is None else float(row[name] == positive) for name in names] for row in rows]
    )
    human = np.array([float(row["label"] == positive) for row in rows])
    group = np.array(["?" in row["text"] for row in rows]) if task == "media_ideology" else None
    return Recorded(human, llm, names, group)


def _estimand(group: Bools | None) -> Ratios:
    if group is None:
        return SHARE
    under = np.column_stack([~group, group]).astype(np.float64)
    quantity = Quantity("difference", (-1.0, 1.0), -1, 1, (~group, group))
    return Ratios((quantity,), lambda labels: under * labels, lambda _: under, 2)


def recorded(folder: Path, samples: int = SAMPLES, cases: Sequence[ConclusionCase] = CONCLUSIONS) -> Table:
    """Verdicts of every variant, uncorrected and corrected with samples of human labels."""
    rows = []
    for case in cases:
        data = _read(case, folder)
        estimand = _estimand(data.group)
        whole = [label_rows(data.human[:, None], data.llm[:, [k]], Inference()) for k in range(len(data.names))]
        true = classical(estimand, whole[0], Inference())[0].interval
        answer = verdict(true, case.null)
        uncorrected = Counter(verdict(naive(estimand, each, Inference())[0].interval, case.null) for each in whole)
        drawn = [Counter(verdicts) for verdicts in _sampled(case, data, estimand, samples)]
        contradictory = sum({"above", "below"} <= each.keys() for each in drawn)
        rows.append(
            (
                case.what, case.data, len(data.names), f"{true}", answer,
                *(f"{uncorrected[name]}" for name in ("above", "below", "inconclusive")),
                share_of(_wrong(uncorrected, answer), len(data.names)), case.labels, samples,
                str(bounded_mean([_wrong(each, answer) / each.total() for each in drawn], 0, 1)),
                str(bounded_mean([each[answer] / each.total() for each in drawn], 0, 1)),
                share_of(contradictory, samples),
            )
        )  # fmt: skip
    head = (
        "conclusion", "data", "variants", "all human labels", "their verdict", "uncorrected above",
        "uncorrected below", "uncorrected inconclusive", "uncorrected wrong", "human labels", "samples",
        "PPI++ wrong", "PPI++ same verdict", "samples in which PPI++ verdicts of variants contradict",
    )  # fmt: skip
    return Table(head, rows)


def _sampled(case: ConclusionCase, data: Recorded, estimand: Ratios, samples: int) -> Iterator[list[str]]:
    """The corrected verdicts of all variants in samples of human labels."""
    for seed in range(samples):
        rng = np.random.default_rng(seed)
        human = np.full(len(data.human), np.nan)
        drawn = rng.permutation(len(human))[: case.labels]
        human[drawn] = data.human[drawn]
        yield [
            verdict(
                ppi(estimand, label_rows(human[:, None], data.llm[:, [k]], Inference()), Inference())[0].interval,
                case.null,
            )
            for k in range(len(data.names))
        ]


def _wrong(counts: Counter[Any], answer: str) -> int:
    """Verdicts in the other direction; any direction is wrong where all human labels have none."""
    return sum(counts[name] for name in ("above", "below") if name != answer)


def _draw(folder: Path) -> None:
    """The specification curve of the first conclusion, with one sample of human labels."""
    from datasets import Dataset

    from hf_synthlabels.publishing.report.adapters.specification_page import specification_sections
    from hf_synthlabels.publishing.report.figures import draw
    from hf_synthlabels.statistics.exhibits import Specifications
    from hf_synthlabels.statistics.robustness.specification_curve import Conclusion, specification_curve
    from hf_synthlabels.statistics.robustness.variants import read_variants

    data = _read(CONCLUSIONS[0], folder)
    names = {0.0: "not_biased", 1.0: "biased"}
    columns = {name: [names.get(value) for value in data.llm[:, k].tolist()] for k, name in enumerate(data.names)}
    human = np.full(len(data.human), None, dtype=object)
    drawn = np.random.default_rng(0).permutation(len(human))[: CONCLUSIONS[0].labels]
    human[drawn] = [names[value] for value in data.human[drawn].tolist()]
    table = Dataset.from_dict({"label": human.tolist(), **columns})
    variants = read_variants(table.column_names, ["{prompt}|{model}"])
    report = specification_curve(table, variants, conclusion=Conclusion(quantities=["biased"], null=0.5))
    (figure,) = [
        each for section in specification_sections(report) for each in section.exhibits
        if isinstance(each, Specifications)
    ]  # fmt: skip
    FIGURE.write_text(draw(figure).svg, encoding="utf-8")
    print(f"written: {FIGURE}\n{report}")


def main() -> None:
    """Print the tables, or write them as CSV with the blocks of the page."""
    parser = argparse.ArgumentParser(description="Test what choosing a variant does to gates and conclusions.")
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="human samples of recorded data")
    parser.add_argument("--data", action="store_true", help="recorded labels instead of simulations")
    parser.add_argument("--write", action="store_true", help=f"write CSV files and the tables of {DOCUMENT.name}")
    arguments = parser.parse_args()
    tables: dict[str, Table] = {}
    if arguments.data:
        folder = Path(os.environ.get("HF_SYNTHLABELS_DATA", ""))
        if not (folder / "media_bias_babe").is_dir():
            print("skipped: HF_SYNTHLABELS_DATA has no folder media_bias_babe")
            return
        tables["conclusions"] = recorded(folder, arguments.samples)
    else:
        tables["gate"] = gates(arguments.worlds)
        tables["claim"] = claims(arguments.worlds)
    for name, each in tables.items():
        print(f"{name}\n{each}\n", flush=True)
        if arguments.write:
            put_block(DOCUMENT, name, str(shown(name, each)))
    if arguments.write:
        write_tables(DOCUMENT, tables)
        if arguments.data:
            _draw(folder)


def shown(name: str, table: Table) -> Table:
    """The part of a table that fits on the page; the CSV file has all of it."""
    if name in ("gate", "claim"):
        hidden = ("worlds", "human labels", "uncorrected, most significant of 8")
        names = [str(column) for column in table.head if column not in hidden and not str(column).startswith("width")]
        return Table(table.head, [row for row in table.rows if str(row[1]) == SHOWN_LABELS]).columns(*names)
    return table.columns(
        "conclusion", "variants", "all human labels", "uncorrected above", "uncorrected below", "uncorrected wrong",
        "PPI++ wrong",
    )  # fmt: skip


if __name__ == "__main__":
    main()
