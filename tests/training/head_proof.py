"""One report on loss, gradients and evaluation of the heads that loss_proof.py leaves out, from one or more processes.

Run by test_heads_processes.py as `python head_proof.py OUT.json` and through `torch.distributed.run`.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    Qwen2Config,
    Trainer,
    TrainingArguments,
    XLNetConfig,
    set_seed,
)

from hf_synthlabels.training import (
    AnswerSpan,
    Completion,
    MultiLabel,
    Objective,
    ScaleRegression,
    StudentConfig,
    StudentTrainer,
    TokenTags,
)
from hf_synthlabels.training.data.batches import Collator

CLASSES, VOCABULARY, PAD, UPDATE = 3, 40, 0, 16
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "pad_token_id": PAD,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}
DRY: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DECODER: dict[str, Any] = {
    **SHAPE,
    "classifier_dropout": 0.0,
    "num_key_value_heads": 1,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BERT = BertConfig(**SHAPE, **DRY)
DISTIL = DistilBertConfig(
    vocab_size=VOCABULARY,
    pad_token_id=PAD,
    n_layers=1,
    n_heads=2,
    dim=16,
    hidden_dim=16,
    max_position_embeddings=64,
    dropout=0.0,
    attention_dropout=0.0,
    qa_dropout=0.0,
)
XLNET = XLNetConfig(vocab_size=VOCABULARY, pad_token_id=PAD, d_model=16, n_layer=1, n_head=2, d_inner=16, dropout=0.0)
MODERN = ModernBertConfig(**SHAPE, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
MISTRAL, LLAMA, QWEN = MistralConfig(**DECODER), LlamaConfig(**DECODER), Qwen2Config(**DECODER)

HEADS: dict[str, tuple[Any, Any, Objective]] = {
    "multi/bert": (AutoModelForSequenceClassification, BERT, MultiLabel(class_weights=(1.0, 2.0, 0.5))),
    "multi/mistral": (AutoModelForSequenceClassification, MISTRAL, MultiLabel()),
    "scale/bert": (AutoModelForSequenceClassification, BERT, ScaleRegression()),
    "ordinal/bert": (AutoModelForSequenceClassification, BERT, MultiLabel()),
    "tokens/bert": (AutoModelForTokenClassification, BERT, TokenTags()),
    "tokens/xlnet": (AutoModelForTokenClassification, XLNET, TokenTags()),
    "tokens/modernbert": (AutoModelForTokenClassification, MODERN, TokenTags()),
    "tokens/mistral": (AutoModelForTokenClassification, MISTRAL, TokenTags()),
    "answers/bert": (AutoModelForQuestionAnswering, BERT, AnswerSpan()),
    "answers/distilbert": (AutoModelForQuestionAnswering, DISTIL, AnswerSpan()),
    "answers/xlnet": (AutoModelForQuestionAnswering, XLNET, AnswerSpan()),
    "answers/llama": (AutoModelForQuestionAnswering, LLAMA, AnswerSpan()),
    "text/mistral": (AutoModelForCausalLM, MISTRAL, Completion()),
    "text/llama": (AutoModelForCausalLM, LLAMA, Completion()),
    "text/qwen2": (AutoModelForCausalLM, QWEN, Completion()),
}
PLAIN = ("multi/bert", "scale/bert", "tokens/bert", "answers/bert", "text/llama")
"""Heads that plain Trainer is shown with."""
collate = Collator(SimpleNamespace(pad_token_id=PAD, pad_token_type_id=0))


def rows(kind: str, count: int, *, weighted: bool, seed: int = 0) -> Dataset:
    """Rows of many lengths, with labels as the features of that kind have them."""
    random = np.random.default_rng(seed)
    ids = [random.integers(3, VOCABULARY, random.integers(4, 20)).tolist() for _ in range(count)]
    columns: dict[str, list[Any]] = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
    match kind:
        case "multi":
            columns["labels"] = random.integers(0, 2, (count, CLASSES)).tolist()
        case "scale":
            columns["labels"] = random.uniform(0, 1, count).tolist()
        case "ordinal":
            # The steps that each row reaches.
            steps = random.integers(0, CLASSES + 1, count)
            columns["labels"] = [[int(step >= number) for number in range(1, CLASSES + 1)] for step in steps]
        case "tokens":
            # A third of the tokens has no label, so that rows differ in what they count.
            columns["labels"] = [
                [int(random.integers(0, CLASSES)) if random.random() > 0.3 else -100 for _ in row] for row in ids
            ]
        case "answers":
            starts = [int(random.integers(0, len(row))) for row in ids]
            columns["start_positions"] = starts
            columns["end_positions"] = [
                int(random.integers(start, len(row))) for start, row in zip(starts, ids, strict=True)
            ]
        case "text":
            del columns["attention_mask"]
            columns["position_ids"] = [list(range(len(row))) for row in ids]
            columns["labels"] = [[-100] * (len(row) // 3 + 1) + row[len(row) // 3 + 1 :] for row in ids]
    if weighted:
        columns["label_weight"] = random.uniform(0.1, 3.0, count).tolist()
    return Dataset.from_dict(columns)


def batched(features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The collator of token heads; labels of several classes are no tokens."""
    own = [row.pop("labels") for row in features] if isinstance(features[0].get("labels"), list) else None
    if own is not None and not all(
        len(label) == len(row["input_ids"]) for label, row in zip(own, features, strict=True)
    ):
        return {**collate(features), "labels": torch.tensor(own)}
    if own is not None:
        features = [{**row, "labels": label} for row, label in zip(features, own, strict=True)]
    return collate(features)


def model(head: str) -> Any:
    set_seed(0)
    auto, config, _ = HEADS[head]
    config.num_labels = {"scale": 1, "answers": 2}.get(head.split("/")[0], CLASSES)
    # Plain Trainer lets the model choose its loss by this.
    config.problem_type = {"multi": "multi_label_classification", "scale": "regression"}.get(head.split("/")[0])
    made = auto.from_config(config)
    with torch.no_grad():
        # Wide enough to have opinions.
        for value in made.parameters():
            value.mul_(3)
    return made


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "learning_rate": 0.1,
        # Unlike AdamW, plain gradient descent shows a wrong scale of the gradient in the next loss.
        "optim": "sgd",
        "logging_steps": 1,
        "max_grad_norm": 1e9,
        **changes,
    }


def losses(folder: Path, head: str, trainer: str, steps: int, *, weighted: bool) -> list[list[float]]:
    """Logged loss and gradient norm of two updates of 16 rows each, in `steps` accumulation steps."""
    world = TrainingArguments(**options(folder)).world_size
    batch = UPDATE // steps // world
    chosen = options(folder, per_device_train_batch_size=batch, gradient_accumulation_steps=steps, max_steps=2)
    data = rows(head.split("/")[0], UPDATE, weighted=weighted)
    given: dict[str, Any] = {"data_collator": batched, "train_dataset": data}
    run: Trainer
    if trainer == "plain":
        if head.startswith("multi"):
            floats = np.array(data["labels"][:], dtype=float).tolist()
            data = data.remove_columns("labels").add_column("labels", floats)
        run = Trainer(model(head), TrainingArguments(**chosen), **given | {"train_dataset": data})
    else:
        run = StudentTrainer(model(head), StudentConfig(**chosen), objective=HEADS[head][2], **given)
    run.train()
    return [[log["loss"], log["grad_norm"]] for log in run.state.log_history if "grad_norm" in log]


def evaluation(folder: Path, head: str) -> dict[str, Any]:
    """Loss and outputs of 21 rows in batches of 4, next to those of a bare forward pass per row."""
    data = rows(head.split("/")[0], 21, weighted=True, seed=1)
    network, objective = model(head).eval(), HEADS[head][2]
    total, items, outputs = 0.0, 0.0, []
    with torch.no_grad():
        for row in data:
            batch = batched([dict(row)])
            found = network(**{name: value for name, value in batch.items() if name not in objective.columns})
            total += float(objective.row_losses(found, batch).sum())
            items += float(objective.row_weights(batch).sum())
            outputs.append((found["start_logits"] if "start_logits" in found else found["logits"])[0].numpy())
    args = StudentConfig(**options(folder, per_device_eval_batch_size=4))
    run = StudentTrainer(network, args, data_collator=batched, eval_dataset=data, objective=objective)
    predicted = run.predict(data)
    said = predicted.predictions[0] if isinstance(predicted.predictions, tuple) else predicted.predictions
    # What is beyond a row's own tokens is padding.
    apart = [float(np.abs(said[row][: len(own)] - own).max()) for row, own in enumerate(outputs)]
    return {
        "expected_loss": total / items,
        "eval_loss": run.evaluate()["eval_loss"],
        "test_loss": predicted.metrics["test_loss"],
        "apart": max(apart),
        "spread": float(np.ptp([own.ravel()[0] for own in outputs])),
    }


def report(folder: Path) -> Iterator[tuple[str, Any]]:
    for head in HEADS:
        for trainer, weighted in (("plain", False), ("student", False), ("student", True)):
            for steps in (1, 4):
                if trainer == "student" or head in PLAIN:
                    name = f"{head}/{trainer}/{'weighted' if weighted else 'even'}/{steps}"
                    yield name, losses(folder, head, trainer, steps, weighted=weighted)
        yield f"{head}/evaluation", evaluation(folder, head)


if __name__ == "__main__":
    # Each training collects garbage, which walks through the libraries.
    gc.freeze()
    out = Path(sys.argv[1])
    result = dict(report(out.parent / "run"))
    state = PartialState()
    if state.is_main_process:
        out.write_text(json.dumps(result))
    state.wait_for_everyone()
    state.destroy_process_group()
