"""The results of the studies of papers 1, 2 and 3, from their runs into docs/results/.

    hf-synthlabels study configs/studies/paper_1_titles_split.yaml -o runs/paper_1_titles_split   # and the others
    hf-synthlabels train --grid configs/grids/paper_3.yaml --data titles.jsonl -o runs/paper_3_grid/conference_titles
    python -m benchmarks.papers runs            # to the screen
    python -m benchmarks.papers runs --write    # into docs/results/

With HF_SYNTHLABELS_DATA the annotator's recorded SQuAD answers are read as well, at every threshold of BLEU.
A document's text stands around the blocks that are written; what the numbers mean is for people to say.
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

from benchmarks.documents import put_block, table
from hf_synthlabels.judging import bleu_accuracy
from hf_synthlabels.publishing.report import Page, render_markdown
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric, compare_conditions
from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.studies import StudyRuns, read_runs, recommend, sections_of
from hf_synthlabels.studies.analysis.base import analysed
from hf_synthlabels.training.search import GridReport

__all__ = ["BLOCKS", "Block", "block_text", "main"]

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
MEASURED: tuple[ConditionMetric, ...] = ("accuracy", "weighted_f1")
SWEPT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Block:
    """A part of a document: a study's recommendation and some of its exhibits."""

    document: str
    study: str
    """The folder with its runs, and the name of the block."""
    exhibits: Mapping[str, Sequence[str]]
    """By section the exhibits that are shown; with none, its answer alone."""


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
    ),
)


def block_text(runs: StudyRuns, exhibits: Mapping[str, Sequence[str]], figures: str | None = None) -> str:
    """The recommendation, the chosen sections, and how the runs were made; `figures` is the folder of the drawings."""
    analysis = analysed(runs)
    found = {section.name: section for section in sections_of(analysis)}
    sections = [_part(found[name], names) for name, names in exhibits.items() if name in found]
    text = render_markdown(
        Page("", tuple(sections), (f"Recommendation: {recommend(analysis).text}",)), level=3, figures=figures
    )
    return f"{text}\n{_made(runs)}"


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
        f"*Made {str(facts.get('finished_at', ''))[:10]} on {facts.get('processors', '?')} shared processors "
        f"({facts.get('machine', '?')}), Python {facts.get('python', '?')}, {versions}: {trained:,.0f} minutes of "
        f"training and answering, {facts.get('cells', 0):,} cells, of which {len(failed):,} could not be trained.*"
    )


def methods_text(runs: StudyRuns) -> str:
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
    return f"{table(head, lines)}\n\n{len(truth):,} test rows. Intervals at 95% over test rows and paired seeds."


def _percent(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def grid_text(folder: Path) -> str:
    """What grids chose, one for each folder, and what reading epochs off one run spares."""
    found = {file.parent.name: GridReport.from_json(file.read_text()) for file in sorted(folder.glob("*/grid.json"))}
    head = (
        "task, labels, rows",
        "rate",
        "epochs",
        "chosen at",
        "unbiased",
        "test rows",
        "linear decay",
        "against human",
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
        for task, report in found.items()
        for cell in report.cells
    ]
    spared = [
        f"- {task.replace('_', ' ')}: {cost.runs} runs cover {cost.cells} combinations and seeds, "
        f"{cost.steps:,} optimiser steps instead of {cost.steps_separately:,}; {cost.cpu_s / 60:,.0f} minutes of "
        f"processor time; {report.n_validation} validation rows, {report.n_test:,} test rows, "
        f"{len(report.seeds)} seeds"
        for task, report in found.items()
        for cost in [report.cost]
    ]
    return "\n".join([table(head, lines), "", *spared])


def bleu_text(folder: Path) -> str:
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
    return table(("gpt-3.5-turbo's answers", "training rows", "validation rows"), lines)


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
        text = block_text(read_runs(file), block.exhibits, f"../images/{block.study}")
        if options.write:
            copy_figures(file.parent / "report", RESULTS.parent / "images" / block.study, block)
            put_block(RESULTS / block.document, block.study, text)
            print(f"written: docs/results/{block.document}, {block.study}")
        else:
            print(text)
    for study in ("paper_1_titles_split", "paper_1_titles"):
        if options.write and (file := options.runs / study / "runs.json").exists():
            put_block(RESULTS / "paper_1_titles.md", f"{study}_methods", methods_text(read_runs(file)))
    if options.write and (options.runs / "paper_3_grid").exists():
        put_block(RESULTS / "paper_3.md", "paper_3_grid", grid_text(options.runs / "paper_3_grid"))
    data = Path(os.environ.get("HF_SYNTHLABELS_DATA", "")) / "squad_gpt35"
    if not data.exists():
        print("left out: HF_SYNTHLABELS_DATA names no folder with squad_gpt35")
    elif options.write:
        put_block(RESULTS / "paper_1_titles.md", "squad_bleu", bleu_text(data))
    else:
        print(bleu_text(data))


if __name__ == "__main__":
    main()
