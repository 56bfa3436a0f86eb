"""Coverage of a judge's corrected mean: repeated samples of 100 of SummEval's 1,200 human labels.

    HF_SYNTHLABELS_DATA=... python -m benchmarks.judging_coverage           # two minutes, no network
    HF_SYNTHLABELS_DATA=... python -m benchmarks.judging_coverage --write   # into docs/results/ppi_coverage.md

The data is the folder `judge/summeval_damo`: recorded judgments of three judges and of three experts. All
1,200 summaries have human labels, so the truth is known: the mean of all. Each draw shows the estimator 100 of them.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.documents import Table, machine, put_block, table, write_tables
from benchmarks.recorded_judgments import QUALITIES, Summary, summaries, summary_replies, summary_texts
from hf_synthlabels.statistics import (
    BootstrapConfig,
    alternative_annotator_test,
    judge_agreement,
    ppi_difference,
    ppi_mean,
)
from hf_synthlabels.statistics.agreement.icc import icc_bootstrap
from hf_synthlabels.statistics.design.sample_size import plan_labels
from hf_synthlabels.statistics.estimation.ppi import PPIMethod
from hf_synthlabels.statistics.intervals import wilson

__all__ = ["Judged", "RunStats", "authors_reading", "coverage", "judged_summaries", "main", "summary"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results" / "ppi_coverage.md"

Floats = NDArray[np.float64]

JUDGES = ("gpt-4-0314", "gpt-3.5-turbo-0301", "llama-2-70b-chat-hf")
FORM = "rts"
"""Reason, then score: the one answer format in which all three judges were asked."""

LABELS = 100
FEW = (10, 20, 30, 49)
RESAMPLES = 500

# The numbers of gpt-4-0314 to be reproduced; they are of the replies as their recorders' own script reads them.
KNOWN = {"coherence": 0.448, "consistency": 0.556, "fluency": 0.498, "relevance": 0.427}


@dataclass(frozen=True, slots=True)
class Judged:
    """One judge on one quality of all summaries."""

    judge: str
    quality: str
    human: Floats
    """The mean of three experts, from 1 to 5."""
    scores: Floats
    """From 1 to 5; nan where the reply says none."""


@dataclass
class RunStats:
    """What many draws gave."""

    draws: int = 0
    held: int = 0
    held_alone: int = 0
    width: float = 0.0
    width_alone: float = 0.0
    lam: float = 0.0
    effective: float = 0.0

    def mean(self, name: str) -> float:
        """A sum as a mean over draws."""
        return float(getattr(self, name)) / self.draws


def main() -> None:
    """Draw, count, and print."""
    told = _arguments()
    folder = os.environ.get("HF_SYNTHLABELS_DATA")
    if not folder:
        raise SystemExit("HF_SYNTHLABELS_DATA is not set: name the folder that has judge/summeval_damo in it")
    data = Path(folder) / "judge"
    rows = summaries(data)
    judged = list(judged_summaries(data, rows))
    parts = {
        "reading": _reading(data, rows, judged),
        "coverage": _coverage(judged, told.draws),
        "new": _new_rows(judged, told.draws),
        "few": _few_labels(judged, told.draws),
        "differences": _differences(rows, judged, told.draws),
        "articles": _whole_articles(rows, judged, told.draws),
        "plan": _plans(judged, told.draws),
        "agreement": _agreement(judged, rows),
        "annotators": _annotators(rows, judged),
    }
    print("\n\n".join(map(str, parts.values())))
    if told.write:
        write_tables(DOCUMENT, parts)
        (DOCUMENT.with_suffix("") / "machine.txt").write_text(f"{machine(('numpy', 'scipy'))}\n", encoding="utf-8")
        put_block(DOCUMENT, "summary", summary(parts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Count how often intervals cover the true value.")
    parser.add_argument("--draws", type=int, default=1000, help="of human labels, for each judge and quality")
    parser.add_argument("--write", action="store_true", help="into docs/results/ppi_coverage.md and its folder")
    return parser.parse_args()


def judged_summaries(data: Path, rows: list[Summary]) -> Iterator[Judged]:
    """Every judge on every quality."""
    for judge in JUDGES:
        for quality in QUALITIES:
            human = np.array([row.human(quality) for row in rows])
            yield Judged(judge, quality, human, summary_replies(data, judge, quality, FORM, rows))


def coverage(
    human: Floats,
    scores: Floats,
    labels: int,
    draws: int,
    *,
    new_rows: bool = False,
    method: PPIMethod = "auto",
    seed: int = 0,
) -> RunStats:
    """How often intervals from so many labels hold the mean of all.

    Args:
        human: all labels.
        scores: the judge's.
        labels: how many of them the estimator sees.
        draws: how often.
        new_rows: whether each replicate samples all its rows with replacement, as if they came from the same source;
            otherwise the rows stay and only the choice of the labeled ones varies.
        method: of the interval.
        seed: of the draws; the same draws meet every judge and method.
    """
    rng = np.random.default_rng(seed)
    size, truth, tally = len(human), float(human.mean()), RunStats(draws)
    for draw in range(draws):
        rows = rng.integers(size, size=size) if new_rows else rng.permutation(size)
        seen = human[rows]
        seen[labels:] = np.nan
        found = ppi_mean(seen, scores[rows], method=method, bootstrap=BootstrapConfig(resamples=RESAMPLES, seed=draw))
        tally.held += found.interval.low <= truth <= found.interval.high
        tally.held_alone += found.classical.low <= truth <= found.classical.high
        tally.width += found.interval.high - found.interval.low
        tally.width_alone += found.classical.high - found.classical.low
        tally.lam += found.lam[0]
        tally.effective += found.effective_n
    return tally


def authors_reading(reply: str) -> float:
    """What the script of those who recorded the replies takes for the score, -1 for none.

    The first rule that finds something decides: what stands behind `score:`; the first number behind `score` or
    `scoring` in a sentence; the same for a word; the last digit. So `2/5` and `2.5` without the word `score` are read
    as 5, and `has scored 15 penalties` as 1. (DAMO-NLP-SG/LLM_summeval, utils.py.)
    """
    words = {word: number for number, word in enumerate(("one", "two", "three", "four", "five"), start=1)}
    names, text = "|".join(words), reply.lower()
    for pattern in (rf"score:\s*([1-5](?:\.\d)?|{names})", r"scor(?:e|ing)[^.]+?([1-5](?:\.[1-5])?)"):
        if found := re.search(pattern, text):
            return float(words.get(found[1], 0) or found[1])
    if found := re.search(rf"scor(?:e|ing)[^.]*?\s({names})[\s.,]", text):
        return float(words[found[1]])
    digits = re.findall(r"[1-5](?:\.\d(?=\s))?", text)
    return float(digits[-1]) if digits else -1.0


def _reading(data: Path, rows: list[Summary], judged: list[Judged]) -> Table:
    lines = []
    for each in judged:
        if each.judge != JUDGES[0]:
            continue
        theirs = np.array([authors_reading(text) for text in summary_texts(data, each.judge, each.quality, FORM, rows)])
        scored = ~np.isnan(each.scores)
        lines.append(
            [
                each.quality,
                f"{KNOWN[each.quality]:.3f}",
                f"{stats.spearmanr(each.human, theirs).statistic:.4f}",
                f"{stats.spearmanr(each.human[scored], each.scores[scored]).statistic:.4f}",
                int((scored & (theirs != each.scores)).sum()),
                int((~scored).sum()),
            ]
        )
    head = (
        "quality",
        "known rho of gpt-4-0314",
        "rho, script of the recorders",
        "rho, this package",
        "replies read otherwise",
        "unscored",
    )
    return Table(head, lines)


def _coverage(judged: list[Judged], draws: int) -> Table:
    lines = []
    for each in judged:
        tally = coverage(each.human, each.scores, LABELS, draws)
        judge_mean, scored = float(np.nanmean(each.scores)), ~np.isnan(each.scores)
        lines.append(
            [
                f"{each.judge}, {each.quality}",
                f"{each.human.mean():.3f}",
                f"{judge_mean - each.human.mean():+.3f}",
                f"{np.corrcoef(each.human[scored], each.scores[scored])[0, 1]:.2f}",
                _share(tally.held, draws),
                _share(tally.held_alone, draws),
                f"{tally.mean('width'):.3f}",
                f"{tally.mean('width_alone'):.3f}",
                f"{tally.width / tally.width_alone:.2f}",
                f"{tally.mean('lam'):.2f}",
                f"{tally.mean('effective'):.0f}",
            ]
        )
    head = (
        *("judge, quality", "human mean", "judge error", "r", "PPI++", "classical"),
        *("PPI++ width", "classical width", "ratio of widths", "mean lam", "effective labels"),
    )
    return Table(head, lines)


def _new_rows(judged: list[Judged], draws: int) -> Table:
    lines = []
    for each in judged:
        tally = coverage(each.human, each.scores, LABELS, draws, new_rows=True)
        lines.append([f"{each.judge}, {each.quality}", _share(tally.held, draws), _share(tally.held_alone, draws)])
    return Table(("judge, quality", "PPI++", "classical"), lines)


def _few_labels(judged: list[Judged], draws: int) -> Table:
    lines = []
    for each in judged:
        if each.judge != JUDGES[0]:
            continue
        for labels in FEW:
            both = [coverage(each.human, each.scores, labels, draws, method=m) for m in ("bootstrap", "student")]
            lines.append(
                [
                    f"{each.quality}, {labels} labels",
                    *(_share(tally.held, draws) for tally in both),
                    _share(both[0].held_alone, draws),
                    *(f"{tally.width / tally.width_alone:.2f}" for tally in both),
                ]
            )
    widths = ("bootstrap width / classical", "student width / classical")
    return Table(("gpt-4-0314", "bootstrap", "student", "classical", *widths), lines)


def _differences(rows: list[Summary], judged: list[Judged], draws: int) -> Table:
    """Two systems on the same articles, 50 of 100 with human labels; pairs and articles are sampled repeatedly."""
    articles, systems = sorted({row.article for row in rows}), sorted({row.system for row in rows})
    place = {(row.article, row.system): k for k, row in enumerate(rows)}
    grid = np.array([[place[article, system] for system in systems] for article in articles])
    lines = []
    for each in judged:
        human, scores = each.human[grid], each.scores[grid]
        rng, tally = np.random.default_rng(2), RunStats(draws)
        for _ in range(draws):
            a, b = rng.choice(len(systems), size=2, replace=False)
            drawn = rng.integers(len(articles), size=len(articles))
            seen = human[drawn][:, [a, b]]
            seen[50:] = np.nan
            found = ppi_difference(seen[:, 0], scores[drawn, a], seen[:, 1], scores[drawn, b], paired=True)
            truth = float((human[:, a] - human[:, b]).mean())
            tally.held += found.interval.low <= truth <= found.interval.high
            tally.held_alone += found.classical.low <= truth <= found.classical.high
            tally.width += found.interval.high - found.interval.low
            tally.width_alone += found.classical.high - found.classical.low
        lines.append(
            [
                f"{each.judge}, {each.quality}",
                _share(tally.held, draws),
                _share(tally.held_alone, draws),
                f"{tally.width / tally.width_alone:.2f}",
            ]
        )
    return Table(("judge, quality", "PPI++", "classical", "ratio of widths"), lines)


def _whole_articles(rows: list[Summary], judged: list[Judged], draws: int) -> Table:
    """All twelve summaries of 30 articles labeled, of 100 articles, sampled repeatedly."""
    articles, systems = sorted({row.article for row in rows}), sorted({row.system for row in rows})
    place = {(row.article, row.system): k for k, row in enumerate(rows)}
    grid = np.array([[place[article, system] for system in systems] for article in articles])
    clusters = np.repeat(np.arange(len(articles)), len(systems))
    lines = []
    for each in judged:
        if each.judge != JUDGES[0]:
            continue
        rng, truth = np.random.default_rng(3), float(each.human.mean())
        held, widths = np.zeros(3), np.zeros(2)
        for _ in range(draws):
            drawn = grid[rng.integers(len(articles), size=len(articles))].ravel()
            seen = each.human[drawn]
            seen[30 * len(systems) :] = np.nan
            alone = ppi_mean(seen, each.scores[drawn])
            together = ppi_mean(seen, each.scores[drawn], clusters=clusters)
            for k, found in enumerate((alone.interval, together.interval, together.classical)):
                held[k] += found.low <= truth <= found.high
            widths += [together.interval.high - together.interval.low, together.classical.high - together.classical.low]
        lines.append([each.quality, *(_share(int(count), draws) for count in held), f"{widths[0] / widths[1]:.2f}"])
    return Table(("gpt-4-0314", "PPI++, without clusters", "PPI++", "classical", "ratio of widths"), lines)


def _plans(judged: list[Judged], draws: int) -> Table:
    """How many labels a plan asks for that shall do what 100 do alone, and how wide intervals from so many are."""
    lines = []
    for each in judged:
        size = len(each.human)
        wished = 2 * float(stats.t.ppf(0.975, LABELS - 1) * each.human.std(ddof=1)) / np.sqrt(LABELS)
        plan = plan_labels(each.human, each.scores, wished)
        rng, asked = np.random.default_rng(1), []
        for _ in range(200):
            pilot = np.where(rng.permutation(size) < LABELS, each.human, np.nan)
            # The target is a share of the spread, not the spread, which differs from pilot to pilot.
            asked.append(plan_labels(pilot, each.scores, wished * np.nanstd(pilot, ddof=1) / each.human.std(ddof=1)))
        with_judge = [one.with_judge for one in asked if one.with_judge is not None]
        tally = coverage(each.human, each.scores, plan.with_judge or size, max(1, draws // 5), method="student")
        lines.append(
            [
                f"{each.judge}, {each.quality}",
                f"{wished:.3f}",
                plan.human_only or "-",
                plan.with_judge or "-",
                f"{tally.mean('width'):.3f}",
                *(f"{np.quantile(with_judge, level):.0f}" for level in (0.05, 0.95)),
            ]
        )
    head = (
        *("judge, quality", "target width", "labels without judge", "labels with judge", "width with judge"),
        *(f"labels with judge, {level}% of pilot plans" for level in (5, 95)),
    )
    return Table(head, lines)


def _agreement(judged: list[Judged], rows: list[Summary]) -> Table:
    lines = []
    articles = np.array([row.article for row in rows])
    for each in judged:
        found = judge_agreement(each.human, each.scores, scale="interval", clusters=articles)
        lines.append(
            [f"{each.judge}, {each.quality}", *(str(found[name]) for name in ("spearman", "kendall", "pearson", "icc"))]
        )
    return Table(("judge, quality", "rho", "tau-b", "r", "ICC(A,1)"), lines)


def _annotators(rows: list[Summary], judged: list[Judged]) -> Table:
    lines = []
    articles = np.array([row.article for row in rows])
    for each in judged:
        experts = np.array([row.experts[each.quality] for row in rows])
        found = alternative_annotator_test(experts, each.scores, kind="graded")
        lines.append(
            [
                f"{each.judge}, {each.quality}",
                str(icc_bootstrap(experts, clusters=articles)),
                str(found.advantage),
                ", ".join(f"{one.p_value:.3f}" for one in found.annotators),
                f"{sum(one.judge_wins for one in found.annotators)} of {len(found.annotators)}",
                "yes" if found.passes else "no",
            ]
        )
    head = ("judge, quality", "experts' ICC(A,1)", "mean advantage", "adjusted p", "experts beaten", "may replace one")
    return Table(head, lines)


DESIGNS = (
    ("100 labels of 1,200 rows", "coverage", "PPI++"),
    ("the same, rows drawn again", "new", "PPI++"),
    ("difference of two systems, 50 of 100 articles", "differences", "PPI++"),
    ("30 of 100 articles, with `clusters`", "articles", "PPI++"),
    ("the same, without `clusters`", "articles", "PPI++, without clusters"),
    ("10 to 49 labels, bootstrap", "few", "bootstrap"),
    ("10 to 49 labels, Student's t", "few", "student"),
)


def summary(tables: Mapping[str, Table]) -> str:
    """The lowest and the highest coverage of each design."""
    lines = []
    for title, name, column in DESIGNS:
        by_column = [[str(row[0]) for row in tables[name].columns(each).rows] for each in (column, "classical")]
        ends = [(min(shares), max(shares)) for shares in by_column]
        lines.append((title, len(by_column[0]), *ends[0], " to ".join(share.split()[0] for share in ends[1])))
    head = ("design", "cases", "PPI++, lowest coverage", "PPI++, highest coverage", "human labels alone")
    return table(head, lines)


def _share(count: int, draws: int) -> str:
    return f"{count / draws:.3f} [{wilson(count, draws).low:.3f}, {wilson(count, draws).high:.3f}]"


if __name__ == "__main__":
    main()
