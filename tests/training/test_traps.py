"""What plain Trainer and plain heads do to labels and packed rows, next to what happens here.

More are in test_loss_processes.py (scale of the loss), test_trainer.py (order of predictions), test_lora.py (heads of
adapters) and test_evaluation.py (searches). Where a test of plain behavior fails, upstream has repaired it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset
from torch.utils.data import BatchSampler
from transformers import AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student
from hf_synthlabels.training.data.samplers import LengthBucketedSampler
from tests.training.architectures import configuration


def plain(folder: Path, **changes: Any) -> TrainingArguments:
    options = {"output_dir": str(folder), "use_cpu": True, "report_to": "none", "disable_tqdm": True, "max_steps": 1}
    return TrainingArguments(**options | {"save_strategy": "no"} | changes)


def rows(labels: list[Any]) -> Dataset:
    return Dataset.from_dict({"input_ids": [[1, 2 + row, 3] for row in range(len(labels))], "labels": labels})


def test_float_labels_change_the_task_of_a_plain_model(tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_config(configuration("bert"))
    Trainer(model, plain(tmp_path), train_dataset=rows([[0.9, 0.1], [0.2, 0.8]])).train()
    # Soft labels of one class out of two have become two independent labels, also in the saved model.
    assert model.config.problem_type == "multi_label_classification"


def test_plain_cards_tell_the_last_evaluation_and_drop_metrics(tmp_path: Path) -> None:
    scores = iter([0.9, 0.2, 0.9])
    model = AutoModelForSequenceClassification.from_config(configuration("bert"))
    # Without a name of the data set there is no part for metrics.
    args = plain(tmp_path, max_steps=2, eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1)
    args.load_best_model_at_end, args.metric_for_best_model, args.greater_is_better = True, "accuracy", True
    trainer = Trainer(
        model,
        args,
        train_dataset=rows([0, 1]),
        eval_dataset=rows([0, 1]),
        compute_metrics=lambda _: {"accuracy": (score := next(scores)), "f1_macro": score},
    )
    trainer.train()
    assert trainer.state.best_metric == 0.9
    trainer.create_model_card(dataset="rows", dataset_tags="rows", dataset_args="rows", tasks="text-classification")
    card = (tmp_path / "README.md").read_text()
    assert "- Accuracy: 0.2" in card
    head = card.split("---")[1]
    assert "type: accuracy" in head
    assert "f1_macro" not in head


def test_soft_labels_do_not_change_the_task(config: Callable[..., StudentConfig], toy: Callable[..., Dataset]) -> None:
    data = toy(20).add_column("p", [[0.9, 0.1], [0.2, 0.8]] * 10)
    student = train_student(config(probs_column="p", max_steps=1), data, names=["film", "sport"])
    assert student.trainer.model.config.problem_type in (None, "single_label_classification")


def test_plain_trainer_drops_the_column_of_lengths_before_it_looks(tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_config(configuration("bert"))
    args = plain(tmp_path, train_sampling_strategy="group_by_length", length_column_name="tokens")
    data = rows([0, 1]).add_column("tokens", [3, 300])
    kept = Trainer(model, args, train_dataset=data)._remove_unused_columns(data)
    assert "tokens" not in kept.column_names
    # Here lengths are read off the tokens, without a column and without reading rows.
    ours = StudentTrainer(model, StudentConfig(output_dir=str(tmp_path), use_cpu=True), train_dataset=data)
    assert isinstance(ours._get_train_sampler(), LengthBucketedSampler)


def read_by_two(make: Callable[[], Any]) -> set[int]:
    """The rows that two processes read, each with a random state of its own, as dropout on the CPU leaves it."""
    seen: set[int] = set()
    for rank in range(2):
        torch.manual_seed(rank)
        batches = BatchSamplerShard(BatchSampler(make(), 4, drop_last=False), 2, rank)
        seen |= {row for batch in batches for row in batch}
    return seen


def test_the_length_sampler_of_plain_trainer_loses_rows_between_processes() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 64).tolist()
    assert read_by_two(lambda: LengthGroupedSampler(4, lengths=lengths)) != set(range(64))
    assert read_by_two(lambda: LengthBucketedSampler(lengths, 4, seed=0, processes=2)) == set(range(64))


def test_packed_encoders_leak_and_so_only_decoders_are_packed() -> None:
    for name in ("bert", "roberta", "distilbert", "modernbert", "mistral"):
        set_seed(0)
        model = AutoModel.from_config(configuration(name, initializer_range=0.3)).eval()
        ids, places = torch.arange(3, 15)[None], torch.arange(6).repeat(2)[None]
        # Positions are given where the model takes them, and are all that separates examples.
        takes: dict[str, Any] = {} if name in ("distilbert", "modernbert") else {"position_ids": places}
        if name == "mistral":
            takes["use_cache"] = False
        with torch.no_grad():
            packed = model(input_ids=ids, **takes).last_hidden_state[0, 6:]
            takes = {key: value if isinstance(value, bool) else value[:, 6:] for key, value in takes.items()}
            apart = model(input_ids=ids[:, 6:], **takes).last_hidden_state[0]
        assert bool((packed - apart).abs().max() > 1e-3) == (name != "mistral"), name


def test_decoders_with_a_padding_token_classify_by_their_last_token() -> None:
    short, long = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 10, 11, 12]])
    padding = torch.zeros(1, 2, dtype=torch.long)
    for name in ("mistral", "llama", "qwen"):
        set_seed(0)
        model = AutoModelForSequenceClassification.from_config(configuration(name, initializer_range=0.3)).eval()
        with torch.no_grad():
            alone = torch.cat([model(input_ids=ids).logits for ids in (short, long)])
            for left in (False, True):
                ids = torch.cat([torch.cat([padding, short] if left else [short, padding], dim=1), long])
                logits = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
                torch.testing.assert_close(logits, alone)
        # Without one transformers accepts one row at a time; `load_base` sets it.
        model.config.pad_token_id = None
        with pytest.raises(ValueError, match="padding token"):
            model(input_ids=torch.cat([long, long]))
