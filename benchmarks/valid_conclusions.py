"""Do conclusions from LLM labels hold what their intervals promise? A few human labels of recorded data, drawn again.

    HF_SYNTHLABELS_DATA=... python -m benchmarks.valid_conclusions           # three minutes on one thread, no network
    HF_SYNTHLABELS_DATA=... python -m benchmarks.valid_conclusions --write   # into docs/results/valid_conclusions.md

The data is `uiuc_llm_annotations/global_warming.jsonl` and `media_bias_babe/babe_train_dev.jsonl`: each row has a human
label, so the truth is known, and each draw hides all human labels but some. Rows are drawn again too, with replacement,
as many as there are: what is asked for is the population that rows like these come from.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.documents import Table, machine, put_block, write_tables
from hf_synthlabels.statistics import EstimateReport, Inference, draw_sample
from hf_synthlabels.statistics.design.human_sample import Design
from hf_synthlabels.statistics.estimation.analyses import (
    estimate_difference,
    estimate_f1,
    estimate_mean,
)
from hf_synthlabels.statistics.estimation.estimates import QuantityEstimate
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula

__all__ = ["QUESTIONS", "Question", "RunStats", "main", "tally"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results" / "valid_conclusions.md"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LABELS = 250
SPLITS = 5
WAYS = ("naive", "classical", "ppi", "dsl")


@dataclass(frozen=True)
class Source:
    """One data set with human and LLM labels."""

    human: Floats
    """1 for the class that is asked for, 0 for others."""
    llm: Floats
    words: Floats
    """Length of each text, in tens of words."""
    group: NDArray[np.bool_]
    """Whether the text holds a digit: something to compare by."""
    confidence: Floats | None = None

    def of(self, rows: Ints) -> Source:
        """The same with other rows."""
        confidence = None if self.confidence is None else self.confidence[rows]
        return Source(self.human[rows], self.llm[rows], self.words[rows], self.group[rows], confidence)


@dataclass(frozen=True)
class Question:
    """An estimand on a data set, and its sampling design."""

    what: str
    data: str
    ask: Callable[[Source, Floats, Inference], EstimateReport]
    name: str
    """Of the number in the answer."""
    design: Design = "random"
    allocation: Any = "proportional"
    cheap: bool = True


@dataclass
class RunStats:
    """What many draws gave, by way."""

    truth: float
    draws: int = 0
    held: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    width: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WAYS, 0.0))
    off: float = 0.0
    """What the LLM's estimate is off by, summed."""
    worth: dict[str, list[float]] = field(default_factory=lambda: {"ppi": [], "dsl": []})
    lam: float = 0.0

    def add(self, found: QuantityEstimate) -> None:
        """Count one draw."""
        self.draws += 1
        for way in WAYS:
            interval = getattr(found, way)
            self.held[way] += interval.low <= self.truth <= interval.high
            self.width[way] += interval.high - interval.low
        self.off += found.naive.estimate - self.truth
        self.lam += found.lam
        self.worth["ppi"].append(found.effective_ppi)
        self.worth["dsl"].append(found.effective_dsl)


def _share(data: Source, human: Floats, how: Inference) -> EstimateReport:
    return estimate_mean(human, data.llm, how)


def _regression(data: Source, human: Floats, how: Inference) -> EstimateReport:
    columns = {"tens of words": data.words, "digits": data.group.astype(float)}
    labels = {"label": (data.llm, human)}
    return estimate_formula("label ~ `tens of words` + digits", columns, labels, family="logistic", inference=how)


def _linear(data: Source, human: Floats, how: Inference) -> EstimateReport:
    columns = {"tens of words": data.words, "digits": data.group.astype(float)}
    return estimate_formula("label ~ `tens of words` + digits", columns, {"label": (data.llm, human)}, inference=how)


def _as_predictor(data: Source, human: Floats, how: Inference) -> EstimateReport:
    return estimate_formula("words ~ label", {"words": data.words}, {"label": (data.llm, human)}, inference=how)


def _difference(data: Source, human: Floats, how: Inference) -> EstimateReport:
    return estimate_difference(human, data.llm, np.where(data.group, "digits", "none").tolist(), inference=how)


def _f1(data: Source, human: Floats, how: Inference) -> EstimateReport:
    names = [None if math.isnan(value) else str(int(value)) for value in human]
    return estimate_f1(names, [str(int(value)) for value in data.llm], names=["0", "1"], inference=how)


WARMING = "global_warming, gpt-4o"
BABE_4 = "media_bias_babe, gpt-4"
BABE_3 = "media_bias_babe, gpt-3.5"
SHORT = {WARMING: "warming", BABE_4: "BABE, gpt-4", BABE_3: "BABE, gpt-3.5"}
"""How the page names the data."""

QUESTIONS = (
    Question("prevalence", WARMING, _share, "mean"),
    Question("prevalence, stratified, equal", WARMING, _share, "mean", "stratified", "equal"),
    Question("prevalence, by confidence", WARMING, _share, "mean", "confidence"),
    Question("prevalence", BABE_4, _share, "mean"),
    Question("prevalence", BABE_3, _share, "mean"),
    Question("difference, texts with digits", BABE_3, _difference, "none - digits", cheap=False),
    Question("F1 of the LLM's `biased`", BABE_4, _f1, "1", cheap=False),
    Question("logistic regression: words", BABE_3, _regression, "tens of words", cheap=False),
    Question("logistic regression: digits", BABE_3, _regression, "digits", cheap=False),
    Question("logistic, by confidence: words", WARMING, _regression, "tens of words", "confidence", cheap=False),
    Question("linear regression: words", WARMING, _linear, "tens of words", cheap=False),
    Question("words on the label", BABE_4, _as_predictor, "label", cheap=False),
)


def main() -> None:
    """Draw, count, and print."""
    told = _arguments()
    folder = os.environ.get("HF_SYNTHLABELS_DATA")
    if not folder:
        raise SystemExit("HF_SYNTHLABELS_DATA is not set: name the folder that has uiuc_llm_annotations in it")
    sources = read_sources(Path(folder))
    began = time.process_time()
    lines, widths = [], []
    for question, found in zip(QUESTIONS, tallies(QUESTIONS, sources, told.draws), strict=True):
        lines.append(_held(question, found))
        widths.append(_gains(question, found))
        print(" | ".join(map(str, lines[-1])), flush=True)
    seconds = time.process_time() - began
    fixed = [
        _held(question, tally(question, sources[question.data], told.draws, again=False)) for question in QUESTIONS[:5]
    ]
    cost = f"{told.draws:,} draws of each question; the first table took {seconds:.0f} s of processor time."
    tables = {"coverage": Table(HELD, lines), "gains": Table(GAINS, widths), "fixed": Table(HELD, fixed)}
    print("\n\n".join(map(str, tables.values())), _verdict(lines), sep="\n\n")
    if told.write:
        write_tables(DOCUMENT, tables)
        (DOCUMENT.with_suffix("") / "machine.txt").write_text(
            f"{machine(('numpy', 'scipy'))} {cost}\n", encoding="utf-8"
        )
        put_block(DOCUMENT, "coverage", f"{_shown(lines)}\n\n{_verdict(lines)}")


HELD = (
    *("question", "data", "true value", "LLM error"),
    *("LLM labels alone", "human labels alone", "PPI++", "DSL"),
)
GAINS = (
    *("question", "data", "width: LLM alone", "width: human alone", "width: PPI++", "width: DSL"),
    *("mean lam", "effective labels: PPI++", "effective labels: DSL"),
)


def _shown(lines: Sequence[Sequence[str]]) -> Table:
    """The questions with a simple random sample; DSL, whose coverage is like that of PPI++, is left to the CSV."""
    random = [line for line, question in zip(lines, QUESTIONS, strict=True) if question.design == "random"]
    rows = [(f"{what} ({SHORT[data]})", *rest) for what, data, *rest in random]
    return Table((f"{HELD[0]} ({HELD[1]})", *HELD[2:]), rows).columns("question (data)", *HELD[2:7])


def _held(question: Question, found: RunStats) -> list[str]:
    return [
        question.what,
        question.data,
        f"{found.truth:.3f}",
        f"{found.off / found.draws:+.3f}",
        *(_rate(found.held[way], found.draws) for way in WAYS),
    ]


def _gains(question: Question, found: RunStats) -> list[str]:
    return [
        question.what,
        question.data,
        *(f"{found.width[way] / found.draws:.3f}" for way in WAYS),
        f"{found.lam / found.draws:.2f}",
        *(f"{np.nanmedian(found.worth[way]):.0f}" for way in ("ppi", "dsl")),
    ]


def _verdict(lines: Sequence[Sequence[str]]) -> str:
    shares = [[float(line[column].split()[0]) for line in lines] for column in (5, 6, 7)]
    inside = [sum(0.93 <= share <= 0.97 for share in column) for column in shares]
    named = zip(("human labels alone", "PPI++", "DSL"), inside, shares, strict=True)
    counts = ", ".join(f"{count} with {name} ({min(c):.3f} to {max(c):.3f})" for name, count, c in named)
    return f"Designs with a coverage of 93% to 97%, of {len(lines)}: {counts}."


def _rate(count: int, draws: int) -> str:
    interval = wilson(count, draws)
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Count how often intervals cover the true value.")
    parser.add_argument("--draws", type=int, default=1000, help="of rows and human labels, for each question")
    parser.add_argument("--write", action="store_true", help="into docs/results/valid_conclusions.md and its folder")
    return parser.parse_args()


def tallies(questions: Sequence[Question], sources: dict[str, Source], draws: int) -> list[RunStats]:
    """A tally of each question; those that differ in the number alone share their draws."""
    found: dict[Any, dict[str, RunStats]] = {}
    for question in questions:
        key = (question.data, question.ask, question.design, question.allocation)
        if key not in found:
            names = [q.name for q in questions if (q.data, q.ask, q.design, q.allocation) == key]
            found[key] = _tally(question, names, sources[question.data], draws, again=True)
    return [found[q.data, q.ask, q.design, q.allocation][q.name] for q in questions]


def tally(question: Question, source: Source, draws: int, *, again: bool = True, seed: int = 0) -> RunStats:
    """How often intervals cover the true value.

    Args:
        question: the estimand.
        source: of which data.
        draws: how often.
        again: whether rows are drawn again, too, or only which of them have a human label.
        seed: of the drawing.
    """
    return _tally(question, [question.name], source, draws, again=again, seed=seed)[question.name]


def _tally(
    question: Question, names: Sequence[str], source: Source, draws: int, *, again: bool, seed: int = 0
) -> dict[str, RunStats]:
    truth = question.ask(source, source.human, Inference(splits=1))
    found = {name: RunStats(truth[name].classical.estimate) for name in names}
    rows = len(source.human)
    rng = np.random.default_rng(seed)
    for draw in range(draws):
        data = source.of(rng.integers(rows, size=rows)) if again else source
        sample = draw_sample(
            data.llm.tolist(),
            LABELS,
            design=question.design,
            confidence=data.confidence,
            allocation=question.allocation,
            seed=draw,
        )
        chances = np.array(sample.probabilities, dtype=np.float64)
        human = np.where(np.isnan(chances), np.nan, data.human)
        how = Inference(probabilities=chances, features=data.confidence, splits=SPLITS, seed=draw)
        answer = question.ask(data, human, how)
        for name in names:
            found[name].add(answer[name])
    return found


def read_sources(folder: Path) -> dict[str, Source]:
    """The data by name."""
    warming = _lines(folder / "uiuc_llm_annotations" / "global_warming.jsonl")
    babe = _lines(folder / "media_bias_babe" / "babe_train_dev.jsonl")
    found = {WARMING: _source(warming, "llm:gpt-4o", 1, "conf:gpt-4o")}
    for name, column in ((BABE_4, "llm:gpt_4"), (BABE_3, "llm:gpt_3_5")):
        found[name] = _source([row for row in babe if row[column] is not None], column, "biased")
    return found


def _source(rows: list[dict[str, Any]], column: str, positive: Any, confidence: str | None = None) -> Source:
    return Source(
        np.array([float(row["label"] == positive) for row in rows]),
        np.array([float(row[column] == positive) for row in rows]),
        np.array([len(row["text"].split()) / 10 for row in rows]),
        np.array([any(letter.isdigit() for letter in row["text"]) for row in rows]),
        None if confidence is None else np.array([float(row[confidence]) for row in rows]),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
