"""A report on loss, gradients, row coverage and evaluation of every head, from one or several processes.

Run by test_loss_processes.py as `loss_proof.py OUT.json`.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training import (
    AnswerSpan,
    Classification,
    Completion,
    MultiLabel,
    Objective,
    ScaleRegression,
    StudentConfig,
    StudentTrainer,
    TokenTags,
)
from hf_synthlabels.training.data.batches import Collator
from hf_synthlabels.training.data.variable_heads import VariableHead
from hf_synthlabels.training.tasks.multi_head import MultiHead
from tests.training.architectures import ARCHITECTURES, SHAPE, configuration

CLASSES, VOCABULARY, PAD, UPDATE = 3, 40, 0, 16
SEQUENCES = AutoModelForSequenceClassification

VARIABLES = (
    VariableHead("tone", LabelSchema(names=("a", "b")), weight=2.0),
    VariableHead("topic", LabelSchema(kind="multi-label", names=("c",)), class_weights=(3.0,)),
)

HEADS: dict[str, tuple[Any, Objective]] = {
    **{f"classes/{name}": (SEQUENCES, Classification()) for name in ARCHITECTURES},
    "multi/bert": (SEQUENCES, MultiLabel(class_weights=(1.0, 2.0, 0.5))),
    "multi/mistral": (SEQUENCES, MultiLabel()),
    "scale/bert": (SEQUENCES, ScaleRegression()),
    "ordinal/bert": (SEQUENCES, MultiLabel()),
    "heads/bert": (SEQUENCES, MultiHead(VARIABLES)),
    **{f"tokens/{name}": (AutoModelForTokenClassification, TokenTags()) for name in ("bert", "xlnet", "modernbert")},
    "tokens/mistral": (AutoModelForTokenClassification, TokenTags()),
    **{f"answers/{name}": (AutoModelForQuestionAnswering, AnswerSpan()) for name in ("bert", "distilbert", "xlnet")},
    "answers/llama": (AutoModelForQuestionAnswering, AnswerSpan()),
    **{f"text/{name}": (AutoModelForCausalLM, Completion()) for name in ("mistral", "llama", "qwen")},
}
"""Model class and objective by kind and architecture."""

PLAIN = [head for head in HEADS if head.startswith("classes")]
PLAIN += ["multi/bert", "scale/bert", "tokens/bert", "answers/bert", "text/llama"]
"""Heads that plain Trainer is shown with."""


def rows(kind: str, count: int, *, weighted: bool, seed: int = 0) -> Dataset:
    """Rows of many lengths, with labels as the features of that kind have them; weighted classes are soft labels."""
    random = np.random.default_rng(seed)
    ids = [random.integers(3, VOCABULARY, random.integers(4, 20)).tolist() for _ in range(count)]
    columns: dict[str, list[Any]] = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
    match kind:
        case "classes":
            columns["labels"] = random.integers(0, CLASSES, count).tolist()
        case "multi" | "heads":
            codes = random.integers(0, 2, (count, CLASSES if kind == "multi" else len(VARIABLES)))
            # A third of the labels of each variable is missing.
            is_missing = random.random(codes.shape) < (0.3 if kind == "heads" else 0)
            columns["labels"] = np.where(is_missing, -100, codes).tolist()
        case "scale":
            columns["labels"] = random.uniform(0, 1, count).tolist()
        case "ordinal":
            # The steps that each row reaches.
            steps = random.integers(0, CLASSES + 1, count)
            columns["labels"] = [[int(step >= number) for number in range(1, CLASSES + 1)] for step in steps]
        case "tokens":
            # A third of the tokens has no label, so that rows differ in their weight.
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
        width = {"classes": CLASSES, "heads": 2}.get(kind)
        if width is not None:
            probs = random.dirichlet(np.ones(width), count)
            columns["label_probs"] = np.pad(probs, ((0, 0), (0, CLASSES - width))).tolist()
    return Dataset.from_dict(columns)


class Batches:
    """A collator for one head, which remembers the rows that it has seen by their weights."""

    def __init__(self, head: str) -> None:
        self.kind, _, architecture = head.partition("/")
        # XLNet classifies by the last token; the others read positions from the mask or not at all.
        self.left = self.kind == "classes" and architecture == "xlnet"
        self.pad = Collator(SimpleNamespace(pad_token_id=PAD, pad_token_type_id=0))
        self.seen: list[int] = []

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self.seen += [int(row.get("label_weight", 1)) - 1 for row in features]
        # Values of several classes are no tokens.
        per_row = ("label_probs", *(["labels"] if self.kind in ("multi", "ordinal", "heads") else []))
        own = {name: torch.tensor([row[name] for row in features]) for name in per_row if name in features[0]}
        batch = self.pad([{name: row[name] for name in row if name not in own} for row in features])
        if self.left:
            missing = batch["attention_mask"].eq(0).sum(dim=1).tolist()
            for name in ("input_ids", "attention_mask"):
                turned = [row.roll(count) for row, count in zip(batch[name], missing, strict=True)]
                batch[name] = torch.stack(turned)
        return {**batch, **own}


def model(head: str) -> Any:
    set_seed(0)
    kind, architecture = head.split("/")
    labels = {"scale": 1, "answers": 2}.get(kind, CLASSES)
    # Plain Trainer lets the model choose its loss by this.
    problem = {"multi": "multi_label_classification", "scale": "regression"}.get(kind)
    made = HEADS[head][0].from_config(configuration(architecture, num_labels=labels, problem_type=problem))
    if kind != "classes":
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
    kind = head.split("/")[0]
    batch = UPDATE // steps // TrainingArguments(**options(folder)).world_size
    chosen = options(
        folder,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=steps,
        max_steps=2,
        learning_rate=0.5 if kind == "classes" else 0.1,
    )
    data = rows(kind, UPDATE, weighted=weighted)
    run: Trainer
    if trainer == "plain":
        if kind == "multi":
            floats = np.array(data["labels"][:], dtype=float).tolist()
            data = data.remove_columns("labels").add_column("labels", floats)
        run = Trainer(model(head), TrainingArguments(**chosen), data_collator=Batches(head), train_dataset=data)
    else:
        run = StudentTrainer(
            model(head),
            StudentConfig(**chosen),
            data_collator=Batches(head),
            train_dataset=data,
            objective=HEADS[head][1],
        )
    run.train()
    return [[log["loss"], log["grad_norm"]] for log in run.state.log_history if "grad_norm" in log]


def evaluation(folder: Path, head: str, strategy: str = "random") -> dict[str, Any]:
    """Loss and outputs of 21 rows in batches of 4, next to those of a bare forward pass per row."""
    data, batches = rows(head.split("/")[0], 21, weighted=True, seed=1), Batches(head)
    network, objective = model(head).eval(), HEADS[head][1]
    total, items, outputs = 0.0, 0.0, []
    with torch.no_grad():
        if head.startswith("classes"):
            # A fresh head gives nearly the same output for every row, which would hide a wrong order.
            for value in network.parameters():
                value.mul_(3)
        for row in data:
            batch = batches([dict(row)])
            output = network(**{name: value for name, value in batch.items() if name not in objective.columns})
            total += float(objective.row_losses(output, batch).sum())
            items += float(objective.row_weights(batch).sum())
            outputs.append((output["start_logits"] if "start_logits" in output else output["logits"])[0].numpy())
    orders: list[Any] = []

    def metrics(prediction: Any) -> dict[str, float]:
        ids = prediction.label_ids[0] if isinstance(prediction.label_ids, tuple) else prediction.label_ids
        orders.append(ids.tolist())
        return {}

    args = StudentConfig(**options(folder, per_device_eval_batch_size=4, train_sampling_strategy=strategy))
    run = StudentTrainer(
        network, args, data_collator=batches, eval_dataset=data, objective=objective, compute_metrics=metrics
    )
    predicted = run.predict(data)
    logits = predicted.predictions[0] if isinstance(predicted.predictions, tuple) else predicted.predictions
    ids = predicted.label_ids[0] if isinstance(predicted.label_ids, tuple) else predicted.label_ids
    return {
        "expected_loss": total / items,
        "eval_loss": run.evaluate()["eval_loss"],
        "test_loss": predicted.metrics["test_loss"],
        # What is beyond a row's own tokens is padding.
        "difference": max(float(np.abs(logits[row][: len(own)] - own).max()) for row, own in enumerate(outputs)),
        "spread": float(np.ptp([own.ravel()[0] for own in outputs])),
        "labels": data["labels"][:] if head.startswith("classes") else None,
        "label_ids": ids.tolist() if head.startswith("classes") else None,
        # Once for predict, once for evaluate.
        "metrics_see_the_same": orders == [ids.tolist()] * 2,
    }


def read_rows(folder: Path, resume: str | None = None, **changes: Any) -> list[int]:
    """The rows that this process reads of 64; dropout draws from the global random state, differently per process."""
    data = rows("classes", 64, weighted=False).add_column("label_weight", [float(row + 1) for row in range(64)])
    network = SEQUENCES.from_config(BertConfig(vocab_size=VOCABULARY, num_labels=CLASSES, pad_token_id=PAD, **SHAPE))
    args = StudentConfig(**options(folder, per_device_train_batch_size=4, learning_rate=0.01, **changes))
    batches = Batches("classes/bert")
    StudentTrainer(network, args, data_collator=batches, train_dataset=data).train(resume_from_checkpoint=resume)
    return batches.seen


def together(own: list[int]) -> list[int]:
    """What all processes read, in ascending order."""
    return sorted(row for part in gather_object([own]) for row in part)


def coverage(folder: Path) -> list[list[int]]:
    """The rows that all processes together read in each of three epochs."""
    own = read_rows(folder, num_train_epochs=3)
    share = len(own) // 3
    return [together(own[start : start + share]) for start in range(0, len(own), share)]


def resumed(folder: Path) -> list[int]:
    """The rows of the second epoch when it is broken off after a quarter and resumed from its checkpoint."""
    share = 64 // StudentConfig(**options(folder)).world_size
    stop = (share + share // 4) // 4
    before = read_rows(folder, max_steps=stop, save_strategy="steps", save_steps=stop)
    # The loader reads ahead of what is trained on.
    before = before[share : stop * 4]
    after = read_rows(folder, resume=str(folder / f"checkpoint-{stop}"), num_train_epochs=2)
    return together(before + after)


def report(folder: Path, heads: Iterable[str] = HEADS) -> Iterator[tuple[str, Any]]:
    for head in heads:
        for trainer, weighted in (("plain", False), ("student", False), ("student", True)):
            for steps in (1, 4):
                if trainer == "student" or head in PLAIN:
                    name = f"{head}/{trainer}/{'weighted' if weighted else 'even'}/{steps}"
                    yield name, losses(folder, head, trainer, steps, weighted=weighted)
        yield f"{head}/evaluation", evaluation(folder, head)
    if "classes/bert" not in heads:
        return
    yield "sorted/evaluation", evaluation(folder, "classes/bert", "group_by_length")
    yield "coverage", coverage(folder)
    yield "resumed", resumed(folder)


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
