"""Training speed on a GPU: encoders alongside Trainer and a bare loop, LoRA and QLoRA of a causal model, FSDP2.

    python -m benchmarks.gpu                  # at most eight minutes on one GPU
    python -m benchmarks.gpu --size tiny      # models of a few thousand weights, on a CPU in a minute
    python -m benchmarks.gpu --write          # write the result into docs/benchmarks.md

All models are made here with random weights, so nothing is downloaded. Each arm trains two epochs on the same rows;
the first compiles and allocates, the second is timed, with the device synchronized at both ends. Rates count tokens
without padding.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DataCollatorWithPadding,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from benchmarks.documents import machine, put_block, table
from benchmarks.serving import ROOT
from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student

MAX_LENGTH = 128
MEAN_TOKENS, SPREAD = 37, 0.8
"""Text lengths follow a log-normal distribution with the mean length of a sentence."""

ENCODER_ARMS = {
    "loop": "bare PyTorch loop on sorted batches",
    "dynamic": "Trainer, dynamic padding",
    "grouped": "Trainer, grouped by length",
    "student": "StudentTrainer",
    "compiled": "StudentTrainer, `torch_compile`",
}
CAUSAL_ARMS = {
    "full": ("all weights, unpacked", {"packing": False}),
    "packed": ("all weights, packed", {"packing": True}),
    "lora": ("LoRA, rank 16, packed", {"packing": True, "lora_r": 16}),
    "qlora": ("QLoRA, rank 16, packed", {"packing": True, "lora_r": 16, "load_in_4bit": True}),
}


@dataclass(frozen=True, slots=True)
class Size:
    """Shapes of the models and number of rows."""

    encoders: dict[str, Any]
    causal: LlamaConfig
    vocabulary: int
    rows: int
    causal_rows: int
    batch: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One timed epoch."""

    model: str
    arm: str
    tokens: int
    seconds: float
    peak_gb: float

    @property
    def tokens_per_s(self) -> float:
        """Tokens without padding per second."""
        return self.tokens / self.seconds


class EpochTimer(TrainerCallback):
    """Time the second epoch, with the device synchronized at both ends."""

    def __init__(self) -> None:
        self.epoch = -1
        self.start_s = self.seconds = 0.0

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.epoch += 1
        synchronize()
        self.start_s = time.perf_counter()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        synchronize()
        self.seconds = time.perf_counter() - self.start_s


def main() -> None:
    """Run each arm until the time is over, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full" if torch.cuda.is_available() else "tiny")
    parser.add_argument("--minutes", type=float, default=6.5, help="arms that would start later are not run")
    parser.add_argument("--write", action="store_true", help="write the result into docs/benchmarks.md")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    size = full_size() if options.size == "full" else tiny_size()
    text = report(size, deadline_s=time.monotonic() + 60 * options.minutes)
    print("\n" + text)
    if options.write:
        put_block(ROOT / "docs" / "benchmarks.md", "gpu", text)


def full_size() -> Size:
    """BERT-base, ModernBERT-base and a causal model of 0.3 billion weights."""
    causal = LlamaConfig(
        vocab_size=30_000,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=8,
    )
    encoders = {"BERT-base": BertConfig(), "ModernBERT-base": ModernBertConfig()}
    return Size(encoders, causal, 30_000, rows=16_384, causal_rows=4_096, batch=64)


def tiny_size() -> Size:
    """Models of a few thousand weights."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    encoders = {
        "BERT": BertConfig(vocab_size=200, **shape),
        "ModernBERT": ModernBertConfig(vocab_size=200, **shape, **special),
    }
    causal = LlamaConfig(vocab_size=200, num_key_value_heads=2, **shape)
    return Size(encoders, causal, 200, rows=48, causal_rows=24, batch=8)


def report(size: Size, deadline_s: float) -> str:
    """Measure every arm that starts before the deadline.

    Returns:
        The machine, a table of rates, and a line for each arm that was not run, with the reason.
    """
    measurements: list[Measurement] = []
    skipped: list[str] = []
    for model, arm, reason, run in arms(size):
        if reason is None and time.monotonic() > deadline_s:
            reason = "no time left"
        if reason is not None:
            skipped.append(f"- {model}, {arm}: not run, {reason}.")
            continue
        print(f"{model}: {arm}", flush=True)
        measurements.append(measured(model, arm, run))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    lines = [machine(("torch", "transformers", "accelerate", "peft")), f"Device: {device}."]
    lines.append(table(("model", "arm", "tokens/s", "of Trainer", "of loop", "peak GB"), _cells(measurements)))
    return "\n\n".join([*lines, *(["\n".join(skipped)] if skipped else [])])


def arms(size: Size) -> Iterator[tuple[str, str, str | None, Callable[[], tuple[int, float]]]]:
    """Model, arm, reason to skip it (or None), and a function that trains and returns tokens and seconds."""
    tokenizer = word_tokenizer(size.vocabulary)
    rows = token_rows(size.rows, size.vocabulary)
    for name, config in size.encoders.items():
        for arm, title in ENCODER_ARMS.items():
            reason = "compiling takes minutes on a CPU" if arm == "compiled" and not torch.cuda.is_available() else None
            yield name, title, reason, partial(encoder_epoch, arm, config, tokenizer, rows, size)
    for title, options in CAUSAL_ARMS.values():
        needs_gpu = "load_in_4bit" in options and not (torch.cuda.is_available() and find_spec("bitsandbytes"))
        reason = "it needs a CUDA GPU and bitsandbytes" if needs_gpu else None
        yield "causal", title, reason, partial(causal_epoch, options, tokenizer, size)
    reason = None if torch.cuda.is_available() else "it needs a GPU"
    yield "causal", "FSDP2, one process", reason, partial(fsdp_run, tokenizer, size)


def measured(model: str, arm: str, run: Callable[[], tuple[int, float]]) -> Measurement:
    """Run an arm from the same seed, and record its peak memory on the GPU."""
    set_seed(0)
    # A precision chosen by an earlier arm would otherwise stay.
    AcceleratorState._reset_state()
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    tokens, seconds = run()
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return Measurement(model, arm, tokens, seconds, peak)


def encoder_epoch(arm: str, config: Any, tokenizer: Any, rows: Dataset, size: Size) -> tuple[int, float]:
    """Train a classifier of random weights for two epochs; tokens and seconds of the second."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # A model may change its config, such as the attention implementation.
    config = copy.deepcopy(config)
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    timer = EpochTimer()
    tokens = sum(len(ids) for ids in rows["input_ids"][:])
    with tempfile.TemporaryDirectory() as folder:
        if arm == "loop":
            bare_loop(model.to(device), rows, size.batch, timer)
            return tokens, timer.seconds
        options: dict[str, Any] = {
            "output_dir": folder,
            "num_train_epochs": 2,
            "per_device_train_batch_size": size.batch,
            "bf16": torch.cuda.is_available(),
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "logging_strategy": "no",
        }
        if arm in ("dynamic", "grouped"):
            strategy = {"train_sampling_strategy": "group_by_length"} if arm == "grouped" else {}
            arguments = TrainingArguments(**options, **strategy, use_cpu=device == "cpu")
            collator = DataCollatorWithPadding(tokenizer)
            trainer = Trainer(model, arguments, train_dataset=rows, data_collator=collator, callbacks=[timer])
        else:
            own = {"torch_compile": True} if arm == "compiled" else {}
            student = StudentConfig(**options, **own)
            trainer = StudentTrainer(model, student, train_dataset=rows, processing_class=tokenizer, callbacks=[timer])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return tokens, timer.seconds


def bare_loop(model: Any, rows: Dataset, batch: int, timer: EpochTimer) -> None:
    """Forward, backward, clip and step on batches of similar length: the least that PyTorch needs."""
    device = model.device
    content = rows.to_dict()
    order = sorted(range(len(rows)), key=lambda row: len(content["input_ids"][row]))
    batches = []
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        longest = max(len(content["input_ids"][row]) for row in part)
        padded = [content["input_ids"][row] + [0] * (longest - len(content["input_ids"][row])) for row in part]
        ids = torch.tensor(padded, device=device)
        labels = torch.tensor([content["labels"][row] for row in part], device=device)
        batches.append({"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels})
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0, fused=True)
    precision = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
    generator = np.random.default_rng(0)
    model.train()
    for _ in range(2):
        timer.on_epoch_begin()
        for index in generator.permutation(len(batches)):
            with precision:
                loss = model(**batches[index]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        timer.on_epoch_end()


def causal_epoch(options: dict[str, Any], tokenizer: Any, size: Size) -> tuple[int, float]:
    """Fine-tune the causal model on instructions and answers for two epochs; tokens and seconds of the second."""
    timer = EpochTimer()
    rows = instruction_rows(size.causal_rows, size.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        base = save_causal(size.causal, tokenizer, Path(folder) / "base")
        train_student(causal_config(base, Path(folder) / "student", size, **options), rows, callbacks=[timer])
    return token_count(rows, tokenizer), timer.seconds


def causal_config(base: Path, folder: Path, size: Size, **options: Any) -> StudentConfig:
    """Options that all causal arms share."""
    return StudentConfig(
        model=str(base),
        task="text-generation",
        text_columns=["instruction"],
        label_column="answer",
        max_length=MAX_LENGTH,
        output_dir=str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=size.batch // 4,
        bf16=torch.cuda.is_available(),
        logging_strategy="no",
        **options,
    )


def fsdp_run(tokenizer: Any, size: Size) -> tuple[int, float]:
    """Fine-tune the causal model with `accelerate launch` under FSDP2 on one process."""
    rows = instruction_rows(size.causal_rows, size.vocabulary)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = save_causal(size.causal, tokenizer, folder / "base")
        rows.to_json(folder / "rows.jsonl")
        student = {
            "model": str(base),
            "task": "text-generation",
            "text_columns": ["instruction"],
            "label_column": "answer",
            "max_length": MAX_LENGTH,
            "output_dir": str(folder / "student"),
            "num_train_epochs": 2,
            "per_device_train_batch_size": size.batch // 4,
            "bf16": True,
        }
        (folder / "student.yaml").write_text(json.dumps({"student": student}), encoding="utf-8")
        config = ROOT / "configs" / "accelerate" / "fsdp2.yaml"
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
        command += ["--num_processes", "1", str(ROOT / "train.py"), str(folder / "student.yaml")]
        command += ["--data", str(folder / "rows.jsonl")]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=240)
        metrics = json.loads((folder / "student" / "student.json").read_text(encoding="utf-8"))["metrics"]
    return 2 * token_count(rows, tokenizer), float(metrics["train_seconds"])


def save_causal(config: LlamaConfig, tokenizer: Any, folder: Path) -> Path:
    """Write a causal model of random weights with its tokenizer."""
    set_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16 if torch.cuda.is_available() else torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer whose words are `w4`, `w5`, …, one token each."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = special + [f"w{code}" for code in range(len(special), vocabulary)]
    backend = Tokenizer(models.WordLevel({word: code for code, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]"
    )


def token_rows(count: int, vocabulary: int) -> Dataset:
    """Rows of random tokens with two random labels."""
    generator = np.random.default_rng(0)
    ids = [[2, *generator.integers(4, vocabulary, length).tolist(), 3] for length in lengths(count, generator)]
    labels = generator.integers(2, size=count).tolist()
    return Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids], "labels": labels})


def instruction_rows(count: int, vocabulary: int) -> Dataset:
    """Random instructions with answers of five words."""
    generator = np.random.default_rng(0)

    def words(length: int) -> str:
        return " ".join(f"w{code}" for code in generator.integers(4, vocabulary, length))

    texts = [words(length) for length in lengths(count, generator)]
    return Dataset.from_dict({"instruction": texts, "answer": [words(5) for _ in range(count)]})


def lengths(count: int, generator: np.random.Generator) -> list[int]:
    """Text lengths in tokens, log-normal, at least 2 and at most `MAX_LENGTH` with special tokens."""
    drawn = np.exp(generator.normal(np.log(MEAN_TOKENS) - SPREAD**2 / 2, SPREAD, count))
    return [int(length) for length in np.clip(np.round(drawn), 2, MAX_LENGTH - 10)]


def token_count(rows: Dataset, tokenizer: Any) -> int:
    """Tokens of all instructions and answers, without those that a template adds."""
    return sum(len(tokenizer(row["instruction"] + " " + row["answer"])["input_ids"]) for row in rows)


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cells(measurements: list[Measurement]) -> Iterator[list[str]]:
    rates = {(item.model, item.arm): item.tokens_per_s for item in measurements}
    for item in measurements:
        ratios = []
        for arm in ("dynamic", "loop"):
            other = rates.get((item.model, ENCODER_ARMS[arm]))
            ratios.append("" if other is None else f"{item.tokens_per_s / other:.2f}")
        yield [item.model, item.arm, f"{item.tokens_per_s:,.0f}", *ratios, f"{item.peak_gb:.2f}"]


if __name__ == "__main__":
    main()
