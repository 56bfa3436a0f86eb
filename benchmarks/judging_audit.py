"""Which metric is comparable within tasks (CIT), across tasks (CAT) and blind to format (TFA): judges and baselines.

    HF_SYNTHLABELS_DATA=... python -m benchmarks.judging_audit           # a few minutes, no network
    HF_SYNTHLABELS_DATA=... python -m benchmarks.judging_audit --write   # into docs/results/metric_audit.md

The data are the folders `judge/summeval_damo` and `judge/topical_chat`. It needs the extras `scores` and `embedded`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.documents import Table, machine, put_block, write_tables
from benchmarks.recorded_judgments import (
    FORMATS,
    QUALITIES,
    STYLES,
    Replies,
    Summary,
    dialogues,
    summaries,
    summary_replies,
)
from hf_synthlabels.judging import Audit, AuditOptions, Scorer, judge_bias
from hf_synthlabels.judging.audit.audit import LENGTH, audit_rows
from hf_synthlabels.judging.audit.rows import AuditRows, Codes, draw_clusters
from hf_synthlabels.judging.audit.tfa import tfa
from hf_synthlabels.judging.scorers.model_scorers import EmbeddingSimilarity
from hf_synthlabels.judging.scorers.text import Rouge
from hf_synthlabels.statistics import BootstrapConfig, Interval

__all__ = ["Set", "add", "dialogue_set", "main", "only", "summary", "summary_set"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results" / "metric_audit.md"

Floats = NDArray[np.float64]

DRAWING = BootstrapConfig(level=0.95, resamples=2000, seed=0)
GPT4, GPT35 = "gpt-4-0314", "gpt-3.5-turbo-0301"
ATTRIBUTES = {"nat": "naturalness", "coh": "coherence", "eng": "engagingness"}
"""Of Topical-Chat; groundedness is yes or no, and asks for the fact and not for a reply."""

NAMED = (LENGTH, "rouge1")
"""The baselines that a metric must be better than to pass."""

STATISTICS = ("cit_kendall", "cat_offset", "cat_transfer", "cat_dr2", "cat_cross_excess")
OTHERS = ("cit_spearman", "cit_system_spearman", "cat_within_c", "cat_cross_c", "cat_cross_null")


PARTS = ("seven", "four", "dropped", "tasks", "formats", "styles", "bias")


@dataclass
class Set:
    """Rows of several tasks, and every metric's scores of them."""

    human: list[float] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    systems: list[str] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def rows(self) -> AuditRows:
        """The rows, without scores."""
        nothing = np.full(len(self.human), np.nan)
        tasks, items, systems = (Codes.of(column) for column in (self.tasks, self.items, self.systems))
        return AuditRows(nothing, np.array(self.human), tasks, items, systems=systems)

    def audit(self, name: str, against: Sequence[str]) -> Audit:
        """The audit of one metric, compared with others."""
        rows = self.rows().with_scores(self._column(name))
        return audit_rows(rows, {other: self._column(other) for other in against}, AuditOptions(DRAWING))

    def _column(self, name: str) -> Floats:
        return np.round(np.array(self.metrics[name]), 12).astype(np.float64)


def summary_set(data: Path, of: Sequence[Summary], text_scores: Mapping[str, Sequence[float]]) -> Set:
    """SummEval's four qualities: GPT-4, gpt-3.5 and what depends on the text only, which is the same for all four."""
    out = Set()
    for quality in QUALITIES:
        judges = {
            judge: list((summary_replies(data, judge, quality, "rts", list(of)) - 1) / 4) for judge in (GPT4, GPT35)
        }
        human = [(each.human(quality) - 1) / 4 for each in of]
        places = [each.article for each in of], [each.system for each in of]
        _extend(out, f"SummEval {quality}", human, places, judges | {name: list(s) for name, s in text_scores.items()})
    return out


def dialogue_set(data: Path, scorers: Sequence[Scorer], style: str = "rate_explain") -> Set:
    """Three qualities of Topical-Chat: gpt-3.5, and what compares a reply with what was really said."""
    out = Set()
    for attribute, quality in ATTRIBUTES.items():
        replies = dialogues(data, attribute, style)
        metrics = _text_scores(scorers, replies.texts, [[text] for text in replies.references])
        places = replies.items, replies.systems
        scores = {GPT35: list(replies.scores)} | metrics
        _extend(out, f"Topical-Chat {quality}", list(replies.human), places, scores)
    return out


def add(one: Set, other: Set) -> Set:
    """The rows of both, with the metrics that both have."""
    metrics = {name: one.metrics[name] + other.metrics[name] for name in one.metrics if name in other.metrics}
    return Set(
        one.human + other.human, one.tasks + other.tasks, one.items + other.items, one.systems + other.systems, metrics
    )


def only(of: Set, without: str) -> Set:
    """The rows of all tasks but one."""
    return _chosen(of, [place for place, task in enumerate(of.tasks) if task != without])


def _chosen(of: Set, kept: Sequence[int]) -> Set:
    return Set(
        [of.human[place] for place in kept],
        [of.tasks[place] for place in kept],
        [of.items[place] for place in kept],
        [of.systems[place] for place in kept],
        {name: [column[place] for place in kept] for name, column in of.metrics.items()},
    )


def main() -> None:
    """Audit all metrics, print the tables, and write them where that is asked for."""
    told = _arguments()
    scorers: list[Scorer] = [Rouge("rouge1"), Rouge("rougeL"), EmbeddingSimilarity()]
    of = summaries(told.data)
    if not {"seven", "four", "dropped", "tasks"} & set(told.parts):
        scorers = []
    text_scores = _text_scores(scorers, [each.text for each in of], [list(each.references) for each in of])
    four = summary_set(told.data, of, text_scores)
    seven = add(four, dialogue_set(told.data, scorers))
    blocks: dict[str, Callable[[], dict[str, Table]]] = {
        "seven": lambda: _audits("seven", seven),
        "four": lambda: _audits("four", four),
        "dropped": lambda: _audits("dropped", only(seven, "SummEval fluency"), short=True),
        "tasks": lambda: {"tasks": _tasks(four, seven)},
        "formats": lambda: {"formats": _formats(told.data, of)},
        "styles": lambda: {"styles": _styles(told.data)},
        "bias": lambda: {"bias": _bias(four, seven)},
    }
    for part in told.parts:
        tables = blocks[part]()
        for name, each in tables.items():
            print(f"\n## {name}\n\n{each}", flush=True)
        if told.write:
            write_tables(DOCUMENT, tables)
            if part == "seven":
                put_block(DOCUMENT, "seven", summary(tables["seven"]))
    if told.write:
        text = machine(("numpy", "scipy", "rouge-score", "sentence-transformers"))
        (DOCUMENT.with_suffix("") / "machine.txt").write_text(f"{text}\n", encoding="utf-8")


SHOWN = {
    "metric": "metric",
    "cit_kendall": "tau-b within tasks",
    "cat_offset": "offset",
    "cat_transfer": "transfer",
    "CIT": "within tasks",
    "CAT": "across tasks",
}
"""Columns of the page's table, and how it names them."""


def summary(audits: Table) -> str:
    """The statistics and verdicts of the page, one line for each metric."""
    return str(Table(tuple(SHOWN.values()), audits.columns(*SHOWN).rows))


def _extend(
    out: Set, task: str, human: list[float], places: tuple[list[str], list[str]], metrics: dict[str, list[float]]
) -> None:
    out.human += human
    out.tasks += [task] * len(human)
    out.items += places[0]
    out.systems += places[1]
    for name, scores in metrics.items():
        out.metrics.setdefault(name, []).extend(scores)


def _text_scores(
    scorers: Sequence[Scorer], texts: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, list[float]]:
    found = {scorer.name: scorer.score(texts, references) for scorer in scorers}
    return found | {LENGTH: [float(len(text.split())) for text in texts]}


def _audits(part: str, of: Set, *, short: bool = False) -> dict[str, Table]:
    """One line for each metric: the statistics that decide, and the verdicts against the named baselines."""
    lines, more = [], []
    for name in of.metrics:
        found = of.audit(name, [other for other in NAMED if other != name])
        verdicts = [found.verdicts[each] for each in ("cit", "cat")]
        lines.append([name, *(_shown(found.scores[each]) for each in STATISTICS), *verdicts])
        more.append([name, *(_shown(found.scores[each]) for each in OTHERS), _shown(found.metric.coverage)])
        print(f"{name}: audited", flush=True)
    tables = {part: Table(["metric", *STATISTICS, "CIT", "CAT"], lines)}
    if not short:
        tables[f"{part}_more"] = Table(["metric", *OTHERS, "coverage"], more)
        tables[f"{part}_differences"] = _differences(of)
    return tables


def _differences(of: Set) -> Table:
    """By how much each judge is better than each baseline."""
    lines = []
    for judge in (GPT4, GPT35):
        if judge not in of.metrics:
            continue
        others = [name for name in of.metrics if name != judge]
        found = {(each.baseline, each.statistic): each for each in of.audit(judge, others).comparisons}
        for other in others:
            lines.append([f"{judge} over {other}", *(_better(found[other, name].difference) for name in STATISTICS)])
    return Table(["better by", *STATISTICS], lines)


def _tasks(four: Set, seven: Set) -> Table:
    """Agreement and offset in each task."""
    lines = []
    for of, name in ((four, GPT4), (seven, GPT35), (seven, "rouge1")):
        for task in of.audit(name, []).metric.tasks:
            columns = ("spearman", "kendall", "accuracy", "offset")
            lines.append([f"{name}, {task.name}", task.coverage.n, *(_shown(task.scores[each]) for each in columns)])
    return Table(["metric, task", "rows", "rho", "tau-b", "pairwise accuracy", "offset"], lines)


def _formats(data: Path, of: Sequence[Summary]) -> Table:
    """gpt-3.5's scores of the same summaries in five answer formats, and three experts' scores."""
    lines = []
    for quality in QUALITIES:
        judged = [(summary_replies(data, GPT35, quality, form, list(of)) - 1) / 4 for form in FORMATS]
        human = np.array([(each.human(quality) - 1) / 4 for each in of])
        places = [each.article for each in of], [each.system for each in of]
        experts = [(np.array([each.experts[quality][rater] for each in of]) - 1) / 4 for rater in range(3)]
        lines.append([quality, *_agreement(judged, human, *places), *_beside(judged, experts, human, *places)])
    return Table([*HEAD, "experts' ICC(A,1)", "gpt-3.5 less experts"], lines)


def _styles(data: Path) -> Table:
    """gpt-3.5's scores of the same replies under four prompts."""
    lines = []
    for attribute, quality in (ATTRIBUTES | {"gro": "groundedness"}).items():
        by_style = [dialogues(data, attribute, style) for style in STYLES]
        shared = sorted(set.intersection(*(set(_keys(each)) for each in by_style)))
        columns = []
        for each in by_style:
            place = {key: row for row, key in enumerate(_keys(each))}
            columns.append((each.scores[[place[key] for key in shared]], each.human[[place[key] for key in shared]]))
        items, systems = [key[0] for key in shared], [key[1] for key in shared]
        lines.append([quality, *_agreement([scores for scores, _ in columns], columns[0][1], items, systems)])
    return Table(HEAD, lines)


HEAD = (
    "quality",
    "answers",
    "ICC(A,1)",
    "ICC(C,1)",
    "format's share",
    "flips",
    "rho range",
    "lowest mean",
    "highest mean",
)


def _keys(replies: Replies) -> list[tuple[str, str]]:
    return list(zip(replies.items, replies.systems, strict=True))


def _agreement(judged: Sequence[Floats], human: Floats, items: list[str], systems: list[str]) -> list[object]:
    rows = _by_format(judged, human, items, systems)
    resamples = draw_clusters(rows.clusters, rows.tasks, DRAWING)
    found = tfa(rows, resamples)
    names = ("tfa_icc", "tfa_icc_consistency", "tfa_format_share", "tfa_flip", "tfa_spearman_range")
    means = [float(np.nanmean(scores)) for scores in judged]
    return [
        found.tasks["task"].units,
        *(_shown(resamples.interval(found.overall[name], len(human))) for name in names),
        *(f"{mean:.2f}" for mean in (min(means), max(means))),
    ]


def _beside(
    judged: Sequence[Floats], experts: Sequence[Floats], human: Floats, items: list[str], systems: list[str]
) -> list[str]:
    """Experts' agreement among themselves, and how much more a judge agrees with itself; the same articles drawn."""
    ours, theirs = (_by_format(raters, human, items, systems) for raters in (judged, experts))
    drawn = [(draw_clusters(rows.clusters, rows.tasks, DRAWING), rows) for rows in (ours, theirs)]
    icc, other = (tfa(rows, resamples).overall["tfa_icc"] for resamples, rows in drawn)
    resamples = drawn[0][0]
    return [_shown(resamples.interval(other, len(human))), _better(resamples.interval(icc - other, len(human)))]


def _bias(four: Set, seven: Set) -> Table:
    """What twice the length does to a judge's score, the human score and the task held fixed."""
    lines = []
    for of, name in ((four, GPT4), (four, GPT35), (seven, GPT35)):
        whole = sorted(set(of.tasks)) if of is four else []
        for tasks in (sorted(set(of.tasks)), *([task] for task in whole)):
            part = _chosen(of, [place for place, task in enumerate(of.tasks) if task in tasks])
            lengths = part.metrics[LENGTH]
            found = judge_bias(part.metrics[name], part.human, lengths=lengths, tasks=part.tasks, items=part.items)
            title = tasks[0] if len(tasks) == 1 else f"all {len(tasks)} tasks"
            lines.append([f"{name}, {title}", found.n, found.clusters, _better(found.effects["length"])])
    return Table(["judge, task", "rows", "items", "effect of twice the length"], lines)


def _by_format(raters: Sequence[Floats], human: Floats, items: list[str], systems: list[str]) -> AuditRows:
    k, n = len(raters), len(human)
    return AuditRows(
        np.round(np.concatenate(raters), 12).astype(np.float64),
        np.tile(human, k),
        Codes.of(["task"] * (n * k)),
        Codes.of(items * k),
        Codes.of([form for form in range(k) for _ in range(n)]),
        Codes.of(systems * k),
    )


def _shown(interval: Interval) -> str:
    return "–" if np.isnan(interval.estimate) else str(interval)


def _better(interval: Interval) -> str:
    if np.isnan(interval.estimate):
        return "–"
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with judge/; $HF_SYNTHLABELS_DATA by default")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which tables; all by default")
    parser.add_argument("--write", action="store_true", help="into docs/results/metric_audit.md and its folder")
    told = parser.parse_args()
    folder = told.data or os.environ.get("HF_SYNTHLABELS_DATA")
    if not folder or not (Path(folder) / "judge").is_dir():
        parser.error("there is no folder `judge` in --data or $HF_SYNTHLABELS_DATA")
    told.data = Path(folder) / "judge"
    return told


if __name__ == "__main__":
    main()
