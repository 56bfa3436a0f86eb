"""The results of the studies of papers 1, 2 and 3, from their runs into docs/results/.

    hf-synthlabels study configs/studies/paper_1_titles_split.yaml -o runs/paper_1_titles_split   # and the others
    hf-synthlabels train --grid configs/grids/paper_3.yaml --data titles.jsonl -o runs/paper_3_grid/conference_titles
    python -m benchmarks.papers runs            # to the screen
    python -m benchmarks.papers runs --write    # into docs/results/

Each study has a folder next to its page: the exhibits of its report as CSV, and `summary.txt` with the recommendation,
the answers and how the runs were made. The page shows some lines of one exhibit; its text is written by hand.
With HF_SYNTHLABELS_DATA the annotator's recorded SQuAD answers are read as well, at every threshold of BLEU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.documents import Table, put_block, write_csv, write_tables
from hf_synthlabels.judging import bleu_accuracy
from hf_synthlabels.publishing.report.export_files import csv_text
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric, compare_conditions
from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.statistics.exhibits import Table as ExhibitTable
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.studies import StudyRuns, read_runs, recommend, report_sections
from hf_synthlabels.studies.analysis.base import analyze_runs
from hf_synthlabels.training.search import GridReport

__all__ = ["BLOCKS", "Block", "Excerpt", "excerpt_text", "main", "summary_text", "write_study"]

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
MEASURED: tuple[ConditionMetric, ...] = ("accuracy", "weighted_f1")
SWEPT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Excerpt:
    """Some columns and rows of an exhibit, for a page."""

    exhibit: str
    columns: Sequence[str]
    row: str = ""
    """The first cell of the rows that are shown; empty for all rows."""


@dataclass(frozen=True)
class Block:
    """A study: its recommendation, some of its exhibits, and what its page shows of them."""

    document: str
    study: str
    """The folder with its runs, and the name of the block."""
    exhibits: Mapping[str, Sequence[str]]
    """By section the exhibits that are written; with none, its answer alone."""
    excerpt: Excerpt | None = None


BLOCKS = (
    Block(
        "paper_1_titles.md",
        "paper_1_titles_split",
        {"human_or_llm": ("human_llm_table", "exact_tests"), "shifts": ("shifts_table",)},
    ),
    Block(
        "paper_1_titles.md",
        "paper_1_titles",
        {
            "human_or_llm": ("human_llm_table", "exact_tests"),
            "shifts": ("shifts_table",),
            "curves": ("learning_1", "power_laws", "worth"),
            "synthetic_first": ("controls",),
        },
    ),
    Block(
        "squad_students.md",
        "paper_1_squad",
        {"human_or_llm": ("human_llm_table",), "epochs": ("epochs_1",)},
    ),
    Block(
        "paper_2.md",
        "paper_2_small",
        {
            "phases": ("phases_1", "phases_table", "form_table"),
            "synthetic_first": ("schedules_1", "switches", "controls"),
            "forgetting": ("forgetting",),
            "human_or_llm": ("human_llm_table", "exact_tests"),
        },
        Excerpt(
            "form_table",
            (
                "rows",
                "proportion of valid answers",
                "score of valid answers",
                "score of valid answers, minus permuted labels",
            ),
            "sst2, smollm2, human",
        ),
    ),
    Block(
        "paper_2.md",
        "paper_2_forms",
        {
            "phases": ("form_table",),
            "synthetic_first": ("controls",),
            "forgetting": ("forgetting",),
            "human_or_llm": (),
        },
    ),
    Block(
        "paper_3.md",
        "paper_3",
        {
            "pooled": ("pooled_table", "by_task", "single_tasks"),
            "shifts": ("shifts_table",),
            "human_or_llm": (),
            "consistency": ("filter_1", "agreement_1", "pooled_filters"),
        },
        Excerpt(
            "pooled_table",
            (
                "student, labels",
                "tasks",
                "mean difference, random tasks",
                "median difference, random tasks",
                "verdict",
            ),
        ),
    ),
)


def write_study(runs: StudyRuns, block: Block, folder: Path) -> None:
    """Write the exhibits of a block as CSV, and the words about them."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = _sections(runs, block)
    for exhibit in (each for section in sections for each in section.exhibits):
        (folder / f"{exhibit.name}.csv").write_text(csv_text(exhibit), encoding="utf-8")
    (folder / "summary.txt").write_text(summary_text(runs, sections), encoding="utf-8")


def summary_text(runs: StudyRuns, sections: Sequence[Section]) -> str:
    """The recommendation, the answer and the notes of each section, and how the runs were made."""
    parts = [f"Recommendation: {recommend(runs).text}"]
    for section in sections:
        parts += [section.title, section.answer]
        parts += [f"{each.title}: {each.note}" for each in section.exhibits if each.note]
        parts += [f"- {note}" for note in section.notes]
    return "\n\n".join([*parts, _made(runs)]) + "\n"


def excerpt_text(runs: StudyRuns, block: Block) -> str:
    """The lines of an exhibit that the page of a block shows."""
    assert block.excerpt is not None
    exhibits = {each.name: each for section in _sections(runs, block) for each in section.exhibits}
    exhibit = exhibits[block.excerpt.exhibit]
    assert isinstance(exhibit, ExhibitTable)
    rows = [row for row in exhibit.rows if block.excerpt.row in ("", row[0])]
    shown = Table(exhibit.columns, rows).columns(*block.excerpt.columns)
    return str(Table(shown.head, [["–" if cell is None else cell for cell in row] for row in shown.rows]))


def _sections(runs: StudyRuns, block: Block) -> list[Section]:
    found = {section.name: section for section in report_sections(analyze_runs(runs))}
    return [_part(found[name], names) for name, names in block.exhibits.items() if name in found]


def copy_figures(report: Path, images: Path, block: Block) -> None:
    """Put the drawings of a block's exhibits, as in the study's report, next to the documents."""
    shutil.rmtree(images, ignore_errors=True)
    drawn = [report / f"{name}.svg" for names in block.exhibits.values() for name in names]
    for file in filter(Path.exists, drawn):
        images.mkdir(exist_ok=True)
        shutil.copy(file, images)


def _part(section: Section, names: Sequence[str]) -> Section:
    return replace(section, exhibits=tuple(each for each in section.exhibits if each.name in names))


def _made(runs: StudyRuns) -> str:
    facts = dict(runs.facts or {})
    versions = ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    failed = facts.get("failed", ())
    # A student that several cells share, as the base mix alone, was trained once: its times are the same.
    times = {
        (task.name, run.cell.student, run.cell.seed, run.train_s, run.predict_s)
        for task in runs.tasks
        for run in task.cells
        if run.steps or run.train_s
    }
    trained = sum(train + predict for *_, train, predict in times) / 60
    return (
        f"Made {str(facts.get('finished_at', ''))[:10]} on {facts.get('processors', '?')} shared processors "
        f"({facts.get('machine', '?')}), Python {facts.get('python', '?')}, {versions}: {trained:,.0f} minutes of "
        f"training and answering, {facts.get('cells', 0):,} cells, of which {len(failed):,} could not be trained."
    )


def methods_table(runs: StudyRuns) -> Table:
    """Accuracy and weighted F1 of three methods: the LLM itself, and students of human labels and of its labels."""
    (task,) = runs.tasks
    truth = np.array([task.names.index(name) if isinstance(name, str) else name for name in task.truth])
    said: dict[tuple[str, str], list[Sequence[Any]]] = {}
    for run in sorted(task.cells, key=lambda run: run.cell.seed):
        if run.cell.size is None and run.cell.source in ("human", "llm"):
            said.setdefault((run.cell.student, run.cell.source), []).append(run.answers)
    codes = {arm: np.array([[MISSING if a is None else a for a in one] for one in runs]) for arm, runs in said.items()}
    lines = []
    for (student, source), answers in sorted(codes.items(), key=lambda arm: arm[0]):
        human = codes.get((student, "human"), answers)
        own = {
            metric: compare_conditions(truth, answers, human, len(task.names), metric, paired_seeds=True)
            for metric in MEASURED
        }
        annotator, first = student == "annotator", source == "human"
        name = "gpt-3.5-turbo itself" if annotator else f"{student}, trained on {'human' if first else 'its'} labels"
        ratio = (
            ""
            if annotator or first
            else f"{100 * own['weighted_f1'].ratio.estimate:.1f}% {_percent(own['weighted_f1'].ratio)}"
        )
        lines.append((name, 1 if annotator else len(answers), *(own[metric].a for metric in MEASURED), ratio))
    head = ("method", "seeds", "accuracy", "weighted F1", "weighted F1, share of human-trained")
    return Table(head, lines)


def _percent(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def grid_table(folder: Path) -> Table:
    """What grids chose, one for each folder."""
    head = (
        "task, labels, rows",
        "rate",
        "epochs",
        "chosen at",
        "unbiased",
        "test rows",
        "linear decay",
        "minus human-trained",
    )
    lines = [
        (
            f"{task.replace('_', ' ')}, {cell.source}, {cell.rows:,}",
            f"{cell.choice.learning_rate:g}",
            cell.choice.epochs,
            f"{cell.validation:.3f}",
            f"{cell.corrected:.3f}",
            cell.test or "",
            cell.refit or "",
            cell.against_first_source or "",
        )
        for task, report in grids(folder).items()
        for cell in report.cells
    ]
    return Table(head, lines)


def grid_costs(folder: Path) -> Table:
    """What reading several numbers of epochs off one run saves."""
    head = (
        *("task", "runs", "combinations and seeds", "steps", "steps without sharing", "CPU minutes"),
        *("validation rows", "test rows", "seeds"),
    )
    lines = [
        (
            *(task.replace("_", " "), cost.runs, cost.cells, cost.steps, cost.steps_separately),
            *(f"{cost.cpu_s / 60:.0f}", report.n_validation, report.n_test, len(report.seeds)),
        )
        for task, report in grids(folder).items()
        for cost in [report.cost]
    ]
    return Table(head, lines)


def grids(folder: Path) -> dict[str, GridReport]:
    """The reports of grids, one for each folder."""
    return {file.parent.name: GridReport.from_json(file.read_text()) for file in sorted(folder.glob("*/grid.json"))}


def bleu_table(folder: Path) -> Table:
    """The recorded SQuAD answers by exact match, token F1 and BLEU at every threshold."""
    rows = {split: _lines(folder / f"{split}.jsonl") for split in ("train", "validation")}
    said = {split: [row["llm:gpt-3.5-turbo"] for row in each] for split, each in rows.items()}
    golds = {split: [row["answer"] for row in each] for split, each in rows.items()}
    found = {split: bleu_accuracy(said[split], [[gold] for gold in golds[split]], thresholds=SWEPT) for split in rows}
    lines = [
        ("rows", *(f"{each.n:,}" for each in found.values())),
        ("exact match, words of SQuAD", *(_share(said[split], golds[split]) for split in rows)),
        ("token F1, mean", *(_mean_f1(said[split], golds[split]) for split in rows)),
        *(
            (f"BLEU at least {threshold:g}", *(each.sweep[at].accuracy for each in found.values()))
            for at, threshold in enumerate(SWEPT)
        ),
    ]
    return Table(("gpt-3.5-turbo's answers", "training rows", "validation rows"), lines)


def _lines(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _share(said: Sequence[str | None], golds: Sequence[str]) -> Interval:
    same = sum(normalize_answer(one or "") == normalize_answer(gold) for one, gold in zip(said, golds, strict=True))
    return wilson(same, len(golds))


def _mean_f1(said: Sequence[str | None], golds: Sequence[str]) -> str:
    return f"{np.mean([token_f1(gold, one or '') for one, gold in zip(said, golds, strict=True)]):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder with a folder of each study")
    parser.add_argument("--write", action="store_true", help="into docs/results")
    options = parser.parse_args()
    for block in BLOCKS:
        file = options.runs / block.study / "runs.json"
        if not file.exists():
            print(f"left out: {file} is not there")
            continue
        runs = read_runs(file)
        print(summary_text(runs, _sections(runs, block)))
        if options.write:
            folder = (RESULTS / block.document).with_suffix("")
            write_study(runs, block, folder / block.study)
            copy_figures(file.parent / "report", RESULTS.parent / "images" / block.study, block)
            if block.excerpt is not None:
                put_block(RESULTS / block.document, block.study, excerpt_text(runs, block))
            print(f"written: docs/results/{block.document}, {block.study}")
    if options.write:
        _write_tables(options.runs)


def _write_tables(folder: Path) -> None:
    """The tables that no study's report has."""
    titles = RESULTS / "paper_1_titles"
    for study in ("paper_1_titles_split", "paper_1_titles"):
        if (file := folder / study / "runs.json").exists():
            methods = methods_table(read_runs(file))
            write_csv(titles / study / "methods.csv", methods.head, methods.rows)
            if study == "paper_1_titles_split":
                put_block(titles.with_suffix(".md"), f"{study}_methods", str(methods))
    if (folder / "paper_3_grid").exists():
        runs = folder / "paper_3_grid"
        write_tables(RESULTS / "paper_3.md", {"grid": grid_table(runs), "grid_costs": grid_costs(runs)})
    data = Path(os.environ.get("HF_SYNTHLABELS_DATA", "")) / "squad_gpt35"
    if not data.exists():
        print("left out: HF_SYNTHLABELS_DATA names no folder with squad_gpt35")
        return
    write_tables(RESULTS / "squad_students.md", {"bleu": bleu_table(data)})


if __name__ == "__main__":
    main()
