"""One report on loss, gradients, row coverage and prediction order, from one or several processes.

Run by test_trainer_processes.py as `python loss_proof.py OUT.json` and through `torch.distributed.run`.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    PreTrainedConfig,
    Qwen2Config,
    RobertaConfig,
    Trainer,
    TrainingArguments,
    XLNetConfig,
    set_seed,
)

from hf_synthlabels.training import StudentConfig, StudentTrainer

CLASSES, VOCABULARY, PAD, UPDATE = 3, 40, 0, 16
COMMON: dict[str, Any] = {"vocab_size": VOCABULARY, "num_labels": CLASSES, "pad_token_id": PAD}
BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}
DRY: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
HEADS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**COMMON, **BERT, **DRY),
    "distilbert": DistilBertConfig(
        **COMMON,
        n_layers=1,
        n_heads=2,
        dim=16,
        hidden_dim=16,
        max_position_embeddings=64,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
    ),
    "roberta": RobertaConfig(**COMMON, **BERT, **DRY),
    "xlnet": XLNetConfig(**COMMON, d_model=16, n_layer=1, n_head=2, d_inner=16, dropout=0.0, summary_last_dropout=0.0),
    "modernbert": ModernBertConfig(**COMMON, **BERT, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2),
    "mistral": MistralConfig(**COMMON, **BERT, num_key_value_heads=1, bos_token_id=1, eos_token_id=2),
    "llama": LlamaConfig(**COMMON, **BERT, num_key_value_heads=1, bos_token_id=1, eos_token_id=2),
    "qwen2": Qwen2Config(**COMMON, **BERT, num_key_value_heads=1, bos_token_id=1, eos_token_id=2),
    "electra": ElectraConfig(**COMMON, **BERT, **DRY, embedding_size=16, summary_last_dropout=0.0),
    "deberta": DebertaV2Config(
        **COMMON, **BERT, **DRY, relative_attention=True, pos_att_type=["p2c", "c2p"], pooler_hidden_size=16
    ),
}


def rows(count: int, *, soft: bool, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {
        "input_ids": [random.integers(3, VOCABULARY, random.integers(4, 20)).tolist() for _ in range(count)],
        "labels": random.integers(0, CLASSES, count).tolist(),
    }
    if soft:
        columns["label_probs"] = random.dirichlet(np.ones(CLASSES), count).tolist()
        columns["label_weight"] = random.uniform(0.1, 3.0, count).tolist()
    return Dataset.from_dict(columns)


def collate(features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad on the left, where XLNet summarises the last token; the others read positions from the mask or not at all."""
    longest = max(len(row["input_ids"]) for row in features)
    missing = [longest - len(row["input_ids"]) for row in features]
    left = collate.left  # type: ignore[attr-defined]
    ids = [
        [PAD] * n * left + row["input_ids"] + [PAD] * n * (not left) for n, row in zip(missing, features, strict=True)
    ]
    batch = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(ids).ne(PAD).long()}
    return batch | {key: torch.tensor([row[key] for row in features]) for key in features[0] if key != "input_ids"}


def model(head: str) -> Any:
    set_seed(0)
    collate.left = head == "xlnet"  # type: ignore[attr-defined]
    return AutoModelForSequenceClassification.from_config(HEADS[head])


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "learning_rate": 0.5,
        # Unlike AdamW, plain gradient descent shows a wrong scale of the gradient in the next loss.
        "optim": "sgd",
        "logging_steps": 1,
        **changes,
    }


def losses(folder: Path, head: str, trainer: str, steps: int, *, soft: bool) -> list[list[float]]:
    """Logged loss and gradient norm of two updates of 16 rows each, in `steps` accumulation steps."""
    world = TrainingArguments(**options(folder)).world_size
    batch = UPDATE // steps // world
    chosen = options(
        folder, per_device_train_batch_size=batch, gradient_accumulation_steps=steps, max_steps=2, max_grad_norm=1e9
    )
    kind, args = (
        (Trainer, TrainingArguments(**chosen)) if trainer == "plain" else (StudentTrainer, StudentConfig(**chosen))
    )
    run = kind(model(head), args, data_collator=collate, train_dataset=rows(UPDATE, soft=soft))
    run.train()
    return [[log["loss"], log["grad_norm"]] for log in run.state.log_history if "grad_norm" in log]


class Reads:
    """A data set of 64 rows, and which of them were read; the row number travels as the weight."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.data = rows(64, soft=False).add_column("label_weight", [float(row + 1) for row in range(64)])

    def collate(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self.rows.extend(int(row["label_weight"]) - 1 for row in features)
        return collate(features)

    def train(self, folder: Path, resume: str | None = None, **changes: Any) -> list[int]:
        """The rows that this process reads; dropout draws from the global random state, differently per process."""
        base = AutoModelForSequenceClassification.from_config(BertConfig(**COMMON, **BERT))
        args = StudentConfig(**options(folder, per_device_train_batch_size=4, learning_rate=0.01, **changes))
        run = StudentTrainer(base, args, data_collator=self.collate, train_dataset=self.data)
        run.train(resume_from_checkpoint=resume)
        return self.rows


def together(own: list[int]) -> list[int]:
    """What all processes read, in ascending order."""
    return sorted(row for rows in gather_object([own]) for row in rows)


def coverage(folder: Path) -> list[list[int]]:
    """The rows that all processes together read in each of three epochs."""
    own = Reads().train(folder, num_train_epochs=3)
    share = len(own) // 3
    return [together(own[start : start + share]) for start in range(0, len(own), share)]


def resumed(folder: Path) -> list[int]:
    """The rows of the second epoch when it is broken off after a quarter and resumed from its checkpoint."""
    share = 64 // StudentConfig(**options(folder)).world_size
    stop = (share + share // 4) // 4
    before = Reads().train(folder, max_steps=stop, save_strategy="steps", save_steps=stop)
    # The loader reads ahead of what is trained on.
    before = before[share : stop * 4]
    after = Reads().train(folder, resume=str(folder / f"checkpoint-{stop}"), num_train_epochs=2)
    return together(before + after)


def evaluations(folder: Path, strategy: str) -> dict[str, Any]:
    """Predictions and evaluation loss of 21 rows in batches of 4, next to those of a bare forward pass per row."""
    args = StudentConfig(**options(folder, per_device_eval_batch_size=4, train_sampling_strategy=strategy))
    bert, data = model("bert").eval(), rows(21, soft=True, seed=1)
    with torch.no_grad():
        # A fresh head says nearly the same of every row, which would hide a wrong order.
        bert.classifier.weight.mul_(50)
        logits = torch.cat(
            [bert(**{k: v for k, v in collate([row]).items() if k[:5] != "label"}).logits for row in data]
        )
    weight, probs = torch.tensor(data["label_weight"][:]), torch.tensor(data["label_probs"][:])
    loss = -(weight[:, None] * probs * logits.log_softmax(-1)).sum() / weight.sum()
    orders: list[list[int]] = []

    def metrics(prediction: Any) -> dict[str, float]:
        orders.append(prediction.label_ids.tolist())
        return {}

    run = StudentTrainer(bert, args, data_collator=collate, eval_dataset=data, compute_metrics=metrics)
    predicted = run.predict(data)
    return {
        "expected": logits.tolist(),
        "predicted": predicted.predictions.tolist(),
        "label_ids": predicted.label_ids.tolist(),
        "labels": data["labels"][:],
        "metric_labels": orders,
        "expected_loss": float(loss),
        "eval_loss": run.evaluate()["eval_loss"],
        "test_loss": predicted.metrics["test_loss"],
    }


def report(folder: Path) -> Iterator[tuple[str, Any]]:
    for head in HEADS:
        for trainer, soft in (("plain", False), ("student", False), ("student", True)):
            for steps in (1, 4):
                name = f"{head}/{trainer}/{'soft' if soft else 'hard'}/{steps}"
                yield name, losses(folder, head, trainer, steps, soft=soft)
    yield "coverage", coverage(folder)
    yield "resumed", resumed(folder)
    for strategy in ("random", "group_by_length"):
        yield f"evaluation/{strategy}", evaluations(folder, strategy)


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
