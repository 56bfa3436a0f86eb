"""How often routing misses its target, and how many labels it keeps: in simulated tables and on recorded LLM labels.

    python -m benchmarks.routing --output docs/results/routing
    python -m benchmarks.routing --worlds 50

The tables of real labels need the folder that HF_SYNTHLABELS_DATA names; without it they are skipped.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.design.human_sample import draw_sample
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.routing.routing_target import RoutingTarget
from hf_synthlabels.statistics.routing.threshold_tests import equal_probability_rows, fixed_sequence, start_levels
from hf_synthlabels.statistics.routing.thresholds import RoutingRows, check_thresholds, confidence_thresholds
from hf_synthlabels.statistics.sequential.betting import lower_bound

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROWS = 2_000
RISK = 0.05
POPULATION = 400_000
"""Rows from which the true share at a threshold is computed."""

LABELED = (50, 100, 250, 1000)
BETTING_WORLDS = 200
"""Worlds in which bounds by betting are computed, too; they take long."""


@dataclass(frozen=True)
class World:
    """Confidences of LLM labels, and the probability that a label is right given its confidence."""

    name: str
    confidence: Callable[[np.random.Generator, int], Floats]
    right: Callable[[Floats], Floats]


def stated(rng: np.random.Generator, n: int) -> Floats:
    """Confidences from 0.5 to 1, most of them high."""
    values: Floats = 0.5 + 0.5 * rng.beta(5, 1, n)
    return values


def in_words(rng: np.random.Generator, n: int) -> Floats:
    """Five levels of confidence."""
    values: Floats = np.round(stated(rng, n), 1)
    return values


WORLDS = (
    World("calibrated", stated, lambda c: c),
    World("calibrated, five levels", in_words, lambda c: c),
    World("overconfident", stated, lambda c: 0.5 + 0.44 * ((c - 0.5) / 0.5) ** 3),
    World("useless, accuracy 0.899", stated, lambda c: np.full(len(c), 0.899)),
    World("useless, accuracy 0.95", stated, lambda c: np.full(len(c), 0.95)),
    World("misleading", stated, lambda c: 1.0 - 0.16 * ((c - 0.5) / 0.5) ** 4),
)

RARE = 0.05
"""Share of the rows to which the LLM gives the class of a precision or a recall."""

TARGETS = (
    RoutingTarget("accuracy", 0.9),
    RoutingTarget("precision", 0.9, "positive"),
    RoutingTarget("recall", 0.9, "positive"),
)


@dataclass(frozen=True)
class Labels:
    """Rows of a table with two classes."""

    confidence: Floats
    llm: Bools
    human: Bools
    wrong: Floats
    """Probability that the LLM label is wrong."""

    def expected_share(self, target: RoutingTarget, threshold: float) -> float:
        """The share that a target is about, in expectation over the human labels."""
        kept = self.confidence >= threshold
        if target.metric == "recall":
            of_class = np.where(self.llm, 1 - self.wrong, self.wrong).sum()
            return 1 - float(self.wrong[kept & ~self.llm].sum() / of_class)
        kept = kept & self.llm if target.metric == "precision" else kept
        return 1 - float(self.wrong[kept].mean())

    def largest_share(self, target: RoutingTarget) -> float:
        """The largest share of rows that can be kept with the target."""
        rows = self.routing_rows(target, np.ones(len(self.llm), dtype=bool))
        thresholds = confidence_thresholds(rows.confidence[rows.covered])
        kept = [
            float(rows.kept(each).mean()) for each in thresholds if self.expected_share(target, each) >= target.value
        ]
        return max(kept, default=0.0)

    def routing_rows(self, target: RoutingTarget, labeled: Bools) -> RoutingRows:
        """The rows as a target sees them."""
        right = self.llm == self.human
        if target.metric == "accuracy":
            return RoutingRows(self.confidence, np.ones(len(right), dtype=bool), labeled, right)
        if target.metric == "precision":
            return RoutingRows(self.confidence, self.llm, labeled & self.llm, right)
        return RoutingRows(self.confidence, ~self.llm, labeled & self.human, right, counts_routed=True)


def draw_labels(world: World, prevalence: float, rng: np.random.Generator, n: int) -> Labels:
    """The LLM gives the class to a share of the rows, and is right with the probability of the confidence.

    With a rare class, the LLM is wrong in fewer of the rows of the frequent class.
    """
    confidence = world.confidence(rng, n)
    llm = rng.random(n) < prevalence
    wrong = 1 - world.right(confidence)
    if prevalence != 0.5:
        wrong = np.where(llm, wrong, wrong * 2 * prevalence)
    return Labels(confidence, llm, llm ^ (rng.random(n) < wrong), wrong)


def labeled_rows(labels: Labels, n: int, design: str, seed: int) -> tuple[Bools, Floats]:
    """The human-labeled rows, and their inclusion probabilities."""
    if design == "random":
        chosen = np.random.default_rng(seed).permutation(len(labels.llm))[:n]
        labeled = np.isin(np.arange(len(labels.llm)), chosen)
        return labeled, np.ones(len(labeled))
    options: dict[str, Any] = {"design": "stratified", "allocation": "equal"}
    if design == "confidence":
        options = {"design": "confidence", "confidence": labels.confidence}
    sample = draw_sample(labels.llm.astype(int).tolist(), n, seed=seed, **options)
    probabilities = np.array([np.nan if value is None else value for value in sample.probabilities])
    return ~np.isnan(probabilities), np.where(np.isnan(probabilities), 1.0, probabilities)


def true_share(rows: RoutingRows, threshold: float) -> float:
    """The share that a target is about, if all rows count."""
    right, n = rows.outcomes(threshold)
    return right / n if n else 1.0


def best_share(rows: RoutingRows, target: RoutingTarget) -> float:
    """The largest share of rows that can be kept with the target, if all labels are known."""
    kept = (
        rows.kept(threshold).mean()
        for threshold in confidence_thresholds(rows.confidence[rows.covered])
        if true_share(rows, threshold) >= target.value
    )
    return float(max(kept, default=0.0))


def betting_share(labels: Labels, target: RoutingTarget, labeled: Bools, probabilities: Floats) -> float:
    """The share of rows that is kept if weighted shares are bounded by betting, for the same thresholds and starts."""
    rows = labels.routing_rows(target, labeled)
    right = labels.llm == labels.human
    thresholds = confidence_thresholds(rows.confidence[rows.covered])
    used = [rows.counted & rows.kept(threshold) for threshold in thresholds]

    def rejects(chosen: Bools, level: float, outcomes: Floats) -> bool:
        bound = lower_bound(outcomes, level, weights=1 / probabilities[chosen]) if chosen.any() else 0.0
        return bound >= target.value

    levels = start_levels(np.array([rejects(each, RISK / 3, np.ones(each.sum())) for each in used]), RISK)
    p_values = np.ones(len(used))
    available = 0.0
    for place, chosen in enumerate(used):
        available += levels[place]
        if available and rejects(chosen, available, right[chosen].astype(float)):
            p_values[place] = 0.0
        else:
            available = 0.0
    rejected = np.flatnonzero(fixed_sequence(p_values, levels)[0])
    return float(rows.kept(thresholds[rejected[-1]]).mean()) if len(rejected) else 0.0


def cells() -> Iterator[tuple[RoutingTarget, World, str, int]]:
    """Target, world, sampling design and number of human labels."""
    accuracy, precision, recall = TARGETS
    some = (WORLDS[0], WORLDS[2], WORLDS[3])
    for world in WORLDS:
        yield from ((accuracy, world, "random", n) for n in LABELED)
    for design in ("stratified, equal", "confidence"):
        yield from ((accuracy, world, design, n) for world in some for n in LABELED[1:])
    for design, sizes in (("random", LABELED[2:]), ("stratified, equal", LABELED[1:])):
        yield from ((precision, world, design, n) for world in some for n in sizes)
    yield from ((recall, world, "random", n) for world in some for n in LABELED[2:])


def simulate(worlds: int) -> Iterator[dict[str, object]]:
    """One line for each cell."""
    known: dict[tuple[str, str], Labels] = {}
    for target, world, design, n in cells():
        prevalence = 0.5 if target.metric == "accuracy" else RARE
        key = (target.metric, world.name)
        if key not in known:
            known[key] = draw_labels(world, prevalence, np.random.default_rng(0), POPULATION)
        line = simulate_cell(world, prevalence, target, design, n, worlds, known[key])
        yield line | {"largest share": round(known[key].largest_share(target), 3)}


def simulate_cell(
    world: World,
    prevalence: float,
    target: RoutingTarget,
    design: str,
    n: int,
    worlds: int,
    population: Labels,
) -> dict[str, object]:
    """How often a target is missed, and the share of rows that is kept, over some worlds."""
    missed = missed_table = nothing = 0
    kept, by_betting = [], []
    for seed in range(worlds):
        rng = np.random.default_rng([seed, n, 7])
        labels = draw_labels(world, prevalence, rng, ROWS)
        labeled, probabilities = labeled_rows(labels, n, design, seed)
        rows = labels.routing_rows(target, labeled)
        if design != "random":
            used = equal_probability_rows(probabilities, rows.counted, seed)
            rows = RoutingRows(rows.confidence, rows.covered, used, rows.correct, rows.counts_routed)
        selected = check_thresholds(rows, target.value, RISK).selected if rows.covered.any() else None
        if design != "random" and target.metric == "accuracy" and seed < BETTING_WORLDS:
            by_betting.append(betting_share(labels, target, labeled, probabilities))
        kept.append(0.0 if selected is None else selected.kept / ROWS)
        if selected is None:
            nothing += 1
            continue
        whole = labels.routing_rows(target, np.ones(ROWS, dtype=bool))
        missed_table += true_share(whole, selected.threshold) < target.value
        missed += population.expected_share(target, selected.threshold) < target.value
    interval = wilson(missed, worlds)
    return {
        "target": str(target),
        "confidence": world.name,
        "design": design,
        "human labels": n,
        "worlds": worlds,
        "missed": round(missed / worlds, 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
        "missed in the table": round(missed_table / worlds, 4),
        "kept nothing": round(nothing / worlds, 4),
        "share kept": round(float(np.mean(kept)), 4),
        "share kept by betting": round(float(np.mean(by_betting)), 4) if by_betting else "",
    }


def recorded(folder: Path) -> Iterator[tuple[str, list[Any], list[Any], Floats, tuple[float, ...], int]]:
    """Recorded labels: name, human and LLM labels, confidences, targets, and human labels to use."""
    rows = read_lines(folder / "uiuc_llm_annotations" / "global_warming.jsonl")
    confidence = [row["conf:gpt-4o"] for row in rows]
    name = "global warming, gpt-4o, stated confidence"
    yield name, *columns(rows, "llm:gpt-4o"), as_floats(confidence), (0.8, 0.85, 0.9), 250
    rows = read_lines(folder / "media_bias_babe" / "babe_train_dev.jsonl")
    name = "media bias, gpt-4, agreement of 12 other LLMs"
    yield name, *columns(rows, "llm:gpt_4"), agreement(rows, "llm:gpt_4"), (0.8, 0.85, 0.9), 250
    for task, targets in (("semeval_stance", (0.7, 0.8, 0.9)), ("wiki_politeness", (0.6, 0.7, 0.8))):
        rows = read_lines(folder / "css_ziems" / f"{task}.jsonl")
        name = f"{task}, ChatGPT, agreement of other LLMs"
        yield name, *columns(rows, "llm:chatgpt"), agreement(rows, "llm:chatgpt"), targets, 150


def read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def columns(rows: Sequence[dict[str, Any]], llm: str) -> tuple[list[Any], list[Any]]:
    return [row["label"] for row in rows], [row[llm] for row in rows]


def as_floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values])


def agreement(rows: Sequence[dict[str, Any]], llm: str) -> Floats:
    """The share of the other LLMs that gave the same label."""
    others = [name for name in rows[0] if name.startswith("llm:") and name != llm]
    return np.array([np.mean([row[name] == row[llm] for name in others]) for row in rows])


def on_recorded_labels(folder: Path, draws: int) -> Iterator[dict[str, object]]:
    """One line for each data set and target, over random choices of the human-labeled rows."""
    for name, human, llm, confidence, targets, n in recorded(folder):
        answered = np.array([label is not None for label in llm])
        right = np.array([a == b for a, b in zip(human, llm, strict=True)])
        for target in targets:
            kept, unused, missed = [], [], 0
            for seed in range(draws):
                chosen = np.random.default_rng(seed).permutation(len(right))[:n]
                labeled = np.isin(np.arange(len(right)), chosen)
                rows = RoutingRows(confidence, answered, labeled & answered, right)
                selected = check_thresholds(rows, target, RISK).selected
                keep = np.zeros(len(right), dtype=bool) if selected is None else rows.kept(selected.threshold)
                kept.append(float(keep.mean()))
                if keep.any():
                    unused.append(float(right[keep & ~labeled].mean()))
                    missed += bool(right[keep].mean() < target)
            interval = wilson(missed, draws)
            whole = RoutingRows(confidence, answered, answered, right)
            yield {
                "data": name,
                "rows": len(right),
                "accuracy": round(float(right.mean()), 3),
                "human labels": n,
                "target": target,
                "draws": draws,
                "kept nothing": draws - len(unused),
                "share kept": round(float(np.mean(kept)), 3),
                "largest share": round(best_share(whole, RoutingTarget("accuracy", target)), 3),
                "accuracy of kept rows not used": round(float(np.mean(unused)), 3) if unused else "",
                "lowest": round(min(unused), 3) if unused else "",
                "draws that missed": missed,
                "low": round(interval.low, 4),
                "high": round(interval.high, 4),
            }


def write(lines: Iterator[dict[str, object]], path: Path | None) -> None:
    """Print lines as they come, and write them as CSV."""
    collected = []
    for line in lines:
        print(json.dumps(line), flush=True)
        collected.append(line)
    if path is not None and collected:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(collected[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(collected)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def percent(share: str) -> str:
    return f"{100 * float(share):.1f}%"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for the page."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def world_table(cells: Sequence[dict[str, str]]) -> str:
    """For each confidence: how often the target is missed, and the share of rows that is kept."""
    chosen = [cell for cell in cells if cell["target"].startswith("accuracy") and cell["design"] == "random"]
    lines = []
    for name in dict.fromkeys(cell["confidence"] for cell in chosen):
        own = [cell for cell in chosen if cell["confidence"] == name]
        missed = [f"{percent(cell['missed'])} / {percent(cell['share kept'])}" for cell in own]
        lines.append([name, percent(own[0]["largest share"]), *missed])
    return markdown(("confidence", "largest share", *(f"n = {n:,}" for n in LABELED)), lines)


def design_table(cells: Sequence[dict[str, str]]) -> str:
    """Unequal inclusion probabilities, and targets about one class: the most misses, and the share kept."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for cell in cells:
        if cell["design"] != "random" or not cell["target"].startswith("accuracy"):
            groups.setdefault(tuple(cell[name] for name in ("target", "design", "human labels")), []).append(cell)
    lines = []
    for key, own in groups.items():
        worst = max(own, key=lambda cell: float(cell["missed"]))
        first = next(cell for cell in own if cell["confidence"] == "calibrated")
        limits = f"{percent(worst['missed'])} [{percent(worst['low'])}, {percent(worst['high'])}]"
        betting = percent(first["share kept by betting"]) if first["share kept by betting"] else ""
        lines.append([*key, limits, percent(first["largest share"]), percent(first["share kept"]), betting])
    head = ("target", "sampling design", "n", "most missed", "largest share", "share kept", "share kept by betting")
    return markdown(head, lines)


def recorded_table(cells: Sequence[dict[str, str]]) -> str:
    """Recorded labels: what is kept, and the accuracy of the kept rows without a human label."""
    lines = []
    for cell in cells:
        draws = int(cell["draws"])
        unused = cell["accuracy of kept rows not used"]
        missed = f"{int(cell['draws that missed']):,} of {draws:,} [{percent(cell['low'])}, {percent(cell['high'])}]"
        lines.append(
            [
                *(cell[name] for name in ("data", "rows", "accuracy", "human labels", "target")),
                *(percent(cell["largest share"]), percent(cell["share kept"])),
                percent(str(int(cell["kept nothing"]) / draws)),
                f"{unused} (lowest {cell['lowest']})" if unused else "",
                missed,
            ]
        )
    head = ("labels", "rows", "accuracy", "n", "target", "largest share", "share kept", "kept nothing")
    return markdown((*head, "accuracy of kept rows without a human label", "draws that missed"), lines)


def page_tables(folder: Path) -> tuple[str, str, str]:
    """The tables of the page, from the files of a run."""
    cells = read_table(folder / "simulation.csv")
    return world_table(cells), design_table(cells), recorded_table(read_table(folder / "recorded.csv"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="folder for simulation.csv and recorded.csv")
    parser.add_argument("--only", choices=("simulation", "recorded"))
    parser.add_argument("--tables", type=Path, help="print the tables of the page from the files of this folder")
    arguments = parser.parse_args()
    if arguments.tables is not None:
        print("\n\n".join(page_tables(arguments.tables)))
        return
    data = os.environ.get("HF_SYNTHLABELS_DATA")
    if arguments.only != "simulation":
        if data is None:
            print("HF_SYNTHLABELS_DATA is not set: recorded labels are skipped")
        else:
            output = arguments.output and arguments.output / "recorded.csv"
            write(on_recorded_labels(Path(data), arguments.draws), output)
    if arguments.only != "recorded":
        write(simulate(arguments.worlds), arguments.output and arguments.output / "simulation.csv")


if __name__ == "__main__":
    main()
