"""Which scorers mind the format of an answer: gold answers of three tasks, right and wrong, said in six formats.

    HF_SYNTHLABELS_DATA=... python -m benchmarks.perturbed_formats           # ten minutes, no network
    HF_SYNTHLABELS_DATA=... python -m benchmarks.perturbed_formats --write   # into docs/results/perturbed_formats/

The data are the folders `wnut17`, `rte` and `sst2`, each with `dev.jsonl`. It needs the extras `scores`, `embedded`,
`train` and, with --write, `report`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.documents import Table, machine, write_tables
from benchmarks.perturbations import FORMATS, REFERENCE_FORMAT, Kind, PerturbedRow, Source, perturbed_rows
from hf_synthlabels.clients.local.model_files import PACKAGED_ENCODER
from hf_synthlabels.judging import Scorer, bleu_accuracy
from hf_synthlabels.judging.audit.pairs import Side, pair_sums
from hf_synthlabels.judging.audit.rows import AuditRows, Replicates, Resamples, cluster_sums, draw_clusters
from hf_synthlabels.judging.audit.tfa import tfa
from hf_synthlabels.judging.scorers.model_scorers import BertScore, EmbeddingSimilarity
from hf_synthlabels.judging.scorers.text import Bleu, ExactMatch, Rouge
from hf_synthlabels.labels import LabelSchema, from_bio, parse, token_offsets
from hf_synthlabels.publishing.report.figures import draw
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.exhibits import Intervals

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results" / "perturbed_formats.md"
FOLDER = DOCUMENT.with_suffix("")
FIGURE = ROOT / "docs" / "images" / "perturbed-formats.svg"

DRAWING = BootstrapConfig(level=0.95, resamples=2000, seed=0)
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True)
class Task:
    """Gold answers, said in every format."""

    name: str
    rows: list[PerturbedRow]
    labels: tuple[str, ...]
    """The names that an answer can be; none where answers are entities."""

    @property
    def human(self) -> list[float]:
        return [float(row.right) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Length:
    """The characters of an answer, as a share of the longest one's: what a scorer must beat."""

    name: str = "length"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],  # noqa: ARG002
        inputs: Sequence[str] | None = None,  # noqa: ARG002
    ) -> list[float]:
        lengths = [len(each or "") for each in predictions]
        return [each / max(lengths) for each in lengths]


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Whether the label that this package's parser reads from an answer is the gold one: it knows the task's labels."""

    labels: tuple[str, ...]
    name: str = "label parser"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002
    ) -> list[float]:
        schema = LabelSchema.from_labels(self.labels)
        read = {text: parse(schema, text).label for text in dict.fromkeys(predictions) if text is not None}
        return [
            math.nan if text is None else float(read[text] in golds)
            for text, golds in zip(predictions, references, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Found:
    """What one scorer makes of one task."""

    scores: Mapping[str, Interval]
    threshold: float
    """The scorer that separates right from wrong answers best if both are in the reference format."""
    means: Mapping[str, tuple[float, float]]
    """By format, of right and of wrong answers."""


def main() -> None:
    """Score all, print the tables, and write them where that is asked for."""
    told = _arguments()
    tasks = read_tasks(told.data)
    found: dict[str, dict[str, Found]] = {}
    for task in tasks:
        found[task.name] = {}
        for scorer in scorers(task):
            scores = scorer.score([row.prediction for row in task.rows], [[row.reference] for row in task.rows])
            found[task.name][scorer.name] = measured(task, scores)
            print(f"{task.name}: {scorer.name} done", flush=True)
    tables = {
        "rows": _rows_table(tasks),
        "statistics": _statistics_table(found),
        "formats": _formats_table(found),
        "thresholds": _thresholds_table(tasks),
    }
    for name, each in tables.items():
        print(f"\n## {name}\n\n{each}")
    if told.write:
        write_tables(DOCUMENT, tables)
        text = machine(("nltk", "rouge-score", "sentence-transformers", "torch"))
        (FOLDER / "machine.txt").write_text(f"{text}\n", encoding="utf-8")
        lines = (line.rstrip() for line in _figure(found).splitlines())
        FIGURE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_tasks(data: Path) -> list[Task]:
    """The dev splits, each answer right and wrong in each format."""
    rows = {name: _lines(data / name / "dev.jsonl") for name in ("wnut17", "rte", "sst2")}
    entities = [
        Source(str(row["id"]), [(each.text, each.label) for each in _entities(row["tokens"], row["tags"])])
        for row in rows["wnut17"]
    ]
    tasks = [_task("wnut17", "entities", entities, ())]
    for name in ("rte", "sst2"):
        labels = tuple(sorted({row["label"] for row in rows[name]}))
        sources = [Source(str(row["id"]), row["label"]) for row in rows[name]]
        tasks.append(_task(name, "classification", sources, labels))
    return tasks


def scorers(task: Task) -> list[Scorer]:
    """The baselines, and what only labels can be read by."""
    baselines: list[Scorer] = [
        Length(),
        ExactMatch(),
        ExactMatch(as_squad=True),
        Rouge("rouge1"),
        Rouge("rougeL"),
        Bleu(),
        BertScore(PACKAGED_ENCODER),
        EmbeddingSimilarity(),
    ]
    return [*baselines, LabelReader(task.labels)] if task.labels else baselines


def measured(task: Task, scores: Sequence[float]) -> Found:
    """The statistics of format with their intervals; clusters are the questions."""
    items, forms = [row.item for row in task.rows], [row.form for row in task.rows]
    rows = AuditRows.from_columns(scores, task.human, [task.name] * len(items), items=items, formats=forms)
    resamples = draw_clusters(rows.clusters, rows.tasks, DRAWING)
    threshold = best_threshold(
        [score for row, score in zip(task.rows, scores, strict=True) if row.form == REFERENCE_FORMAT],
        [row.right for row in task.rows if row.form == REFERENCE_FORMAT],
    )
    own = tfa(rows, resamples, reference_format=REFERENCE_FORMAT).tasks[task.name]
    at_home = np.array([form == REFERENCE_FORMAT for form in forms])
    draws = {
        "right house, wrong house": order(rows, resamples, at_home),
        "right any, wrong house": own.auc,
        "right any, wrong any": order(rows, resamples, np.ones_like(at_home)),
        "icc": own.icc,
        "format": own.format_share,
        "flip": own.flip,
        "own flip": flips(np.array(scores).reshape(-1, len(FORMATS)) >= threshold, resamples),
    }
    means: dict[str, tuple[float, float]] = {
        form: (_mean(task, scores, form, right=True), _mean(task, scores, form, right=False)) for form in FORMATS
    }
    return Found({name: resamples.interval(each, len(rows)) for name, each in draws.items()}, threshold, means)


def order(rows: AuditRows, resamples: Resamples, chosen: Any) -> Replicates:
    """P(score of a right answer > score of a wrong one), ties one half, among the chosen rows."""
    right, wrong = (
        Side(rows.scores[each], rows.human[each], resamples.groups[each])
        for each in (chosen & (rows.human == 1), chosen & (rows.human == 0))
    )
    return pair_sums(resamples.weights, right, wrong).concordance


def flips(verdicts: Any, resamples: Resamples) -> Replicates:
    """How often the verdicts of two formats of the same answer differ; shape (answers, formats)."""
    k, yes = verdicts.shape[1], verdicts.sum(axis=1)
    columns = np.column_stack([np.ones(len(yes)), 2 * yes * (k - yes) / (k * (k - 1))])
    sums = resamples.weights @ cluster_sums(columns, resamples.groups[::k], resamples.weights.shape[1])
    out: Replicates = sums[:, 1] / sums[:, 0]
    return out


def best_threshold(scores: Sequence[float], right: Sequence[bool]) -> float:
    """What parts right from wrong best, by the mean of both shares that it calls so; the middle of the gap.

    The lowest one of several that are equally good; 0.5 where nothing parts them.
    """
    values, truth = np.array(scores), np.array(right)
    known = np.unique(values)
    gaps = (known[1:] + known[:-1]) / 2
    if not gaps.size:
        return 0.5
    shares = [((values[truth] >= gap).mean() + (values[~truth] < gap).mean()) / 2 for gap in gaps]
    return float(gaps[int(np.argmax(np.round(shares, 12)))])


def _task(name: str, kind: Kind, sources: Sequence[Source], labels: tuple[str, ...]) -> Task:
    return Task(name, perturbed_rows(sources, kind, seed=DRAWING.seed), labels)


def _entities(tokens: Sequence[str], tags: Sequence[str]) -> Any:
    return from_bio(token_offsets(tokens), tags, " ".join(tokens))


def _mean(task: Task, scores: Sequence[float], form: str, *, right: bool) -> float:
    chosen = zip(task.rows, scores, strict=True)
    return float(np.mean([score for row, score in chosen if row.form == form and row.right == right]))


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _rows_table(tasks: Sequence[Task]) -> Table:
    lines = []
    for task in tasks:
        texts = {(row.prediction, row.reference) for row in task.rows}
        questions = len({row.item for row in task.rows})
        none = sum(row.reference == "none" for row in task.rows if row.right and row.form == REFERENCE_FORMAT)
        lines.append((task.name, f"{questions:,}", f"{none:,}", f"{len(task.rows):,}", f"{len(texts):,}"))
    return Table(("dev split of", "questions", "of these none to name", "rows to score", "different pairs"), lines)


COLUMNS = {
    "right house, wrong house": "right > wrong, both in house format",
    "right any, wrong house": "right in any > wrong in house",
    "right any, wrong any": "right in any > wrong in any",
    "icc": "ICC(A,1)",
    "format": "variance by format",
    "flip": "flips at 0.5",
    "own flip": "flips at own threshold",
}


def _statistics_table(found: Mapping[str, Mapping[str, Found]]) -> Table:
    rows = [
        (task, name, *(_shown(one.scores[key]) for key in COLUMNS), f"{one.threshold:.2f}")
        for task, by_scorer in found.items()
        for name, one in by_scorer.items()
    ]
    return Table(("task", "scorer", *COLUMNS.values(), "own threshold"), rows)


def _formats_table(found: Mapping[str, Mapping[str, Found]]) -> Table:
    rows = [
        (task, name, form, f"{right:.2f}", f"{wrong:.2f}")
        for task, by_scorer in found.items()
        for name, one in by_scorer.items()
        for form, (right, wrong) in one.means.items()
    ]
    return Table(("task", "scorer", "format", "mean of right", "mean of wrong"), rows)


def _thresholds_table(tasks: Sequence[Task]) -> Table:
    lines: list[tuple[str, ...]] = []
    for task in tasks:
        for name, chosen in (
            ("house format", [row for row in task.rows if row.form == REFERENCE_FORMAT]),
            ("all formats", task.rows),
        ):
            sweep = bleu_accuracy(
                [row.prediction for row in chosen],
                [[row.reference] for row in chosen],
                verdicts=[row.right for row in chosen],
                thresholds=THRESHOLDS,
            ).sweep
            lines += [
                (
                    *(f"{task.name}, {name}", f"{len(chosen):,}", f"{threshold:g}"),
                    *(f"{point.agreement.estimate:.3f}", f"{point.kappa:.2f}"),
                )
                for threshold, point in zip(THRESHOLDS, sweep, strict=True)
                if point.agreement
            ]
    return Table(("task, formats", "rows", "threshold", "agreement", "kappa"), lines)


def _figure(found: Mapping[str, Mapping[str, Found]]) -> str:
    groups = {
        task: [(name, one.scores["right any, wrong house"]) for name, one in scorers_found.items()]
        for task, scorers_found in found.items()
    }
    # Every panel shows the same rows.
    names = [name for name, _ in groups["sst2"]]
    nothing = Interval(math.nan, math.nan, math.nan, DRAWING.level, "", 0)
    same = {task: tuple((name, dict(rows).get(name, nothing)) for name in names) for task, rows in groups.items()}
    axis = "P(right in any format > wrong in house format)"
    return draw(Intervals("formats", "Scorers over formats", same, axis, (("chance", 0.5),))).svg


def _shown(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return "–"
    if interval.high - interval.low < 0.0005:
        return f"{interval.estimate:.3f}".removeprefix("-" if abs(interval.estimate) < 0.0005 else " ")
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Which scorers mind the format of an answer.")
    default = os.environ.get("HF_SYNTHLABELS_DATA")
    parser.add_argument("--data", type=Path, default=default, help="the folder with wnut17, rte and sst2")
    parser.add_argument("--write", action="store_true", help="into docs/results/perturbed_formats and its figure")
    told = parser.parse_args()
    if told.data is None:
        parser.error("where the data are is not told: set HF_SYNTHLABELS_DATA, or give --data")
    return told


if __name__ == "__main__":
    main()
