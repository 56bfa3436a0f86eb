"""What plain Trainer and plain heads do to labels unasked, each beside what happens here.

Others stand where they belong: the wrong scale of the loss in test_trainer_processes.py and test_heads_processes.py,
the order of predictions in test_trainer.py, packed decoders in test_packing.py, adapters that train no head in
test_lora.py, searches by the last evaluation in test_search_objective.py, what cards tell in cards/test_cards.py.
Where a test of what is plain fails, upstream has repaired it.
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
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    Qwen2Config,
    RobertaConfig,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student
from hf_synthlabels.training.data.samplers import LengthBucketedSampler

SHAPE: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}


def plain(folder: Path, **changes: Any) -> TrainingArguments:
    options = {"output_dir": str(folder), "use_cpu": True, "report_to": "none", "disable_tqdm": True, "max_steps": 1}
    return TrainingArguments(**options | {"save_strategy": "no"} | changes)


def rows(labels: list[Any]) -> Dataset:
    return Dataset.from_dict({"input_ids": [[1, 2 + row, 3] for row in range(len(labels))], "labels": labels})


def test_float_labels_change_the_task_of_a_plain_model(tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_config(BertConfig(**SHAPE))
    Trainer(model, plain(tmp_path), train_dataset=rows([[0.9, 0.1], [0.2, 0.8]])).train()
    # Soft labels of one class out of two have become two independent labels, also in the saved model.
    assert model.config.problem_type == "multi_label_classification"


def test_plain_cards_tell_the_last_evaluation_and_drop_metrics(tmp_path: Path) -> None:
    scores = iter([0.9, 0.2, 0.9])
    model = AutoModelForSequenceClassification.from_config(BertConfig(**SHAPE))
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
    model = AutoModelForSequenceClassification.from_config(BertConfig(**SHAPE))
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


@pytest.mark.parametrize(
    ("settings", "leaks"),
    [
        (BertConfig(**SHAPE), True),
        (RobertaConfig(**SHAPE), True),
        (
            DistilBertConfig(
                vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=16, pad_token_id=0, initializer_range=0.3
            ),
            True,
        ),
        (ModernBertConfig(**SHAPE, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2), True),
        (MistralConfig(**SHAPE, num_key_value_heads=1), False),
    ],
    ids=["bert", "roberta", "distilbert", "modernbert", "mistral"],
)
def test_packed_encoders_leak_and_so_only_decoders_are_packed(settings: Any, leaks: bool) -> None:
    set_seed(0)
    model = AutoModel.from_config(settings).eval()
    ids, places = torch.arange(3, 15)[None], torch.arange(6).repeat(2)[None]
    # Positions are given where the model takes them, and are all that tells examples apart.
    takes: dict[str, Any] = {} if settings.model_type in ("distilbert", "modernbert") else {"position_ids": places}
    if settings.model_type == "mistral":
        takes["use_cache"] = False
    with torch.no_grad():
        packed = model(input_ids=ids, **takes).last_hidden_state[0, 6:]
        takes = {name: value if isinstance(value, bool) else value[:, 6:] for name, value in takes.items()}
        apart = model(input_ids=ids[:, 6:], **takes).last_hidden_state[0]
    assert bool((packed - apart).abs().max() > 1e-3) == leaks


@pytest.mark.parametrize("kind", [MistralConfig, LlamaConfig, Qwen2Config])
def test_decoders_with_a_padding_token_classify_by_their_last_token(kind: Any) -> None:
    set_seed(0)
    model = AutoModelForSequenceClassification.from_config(kind(**SHAPE, num_key_value_heads=1)).eval()
    short, long = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 10, 11, 12]])
    with torch.no_grad():
        alone = torch.cat([model(input_ids=ids).logits for ids in (short, long)])
        for left in (False, True):
            padding = torch.zeros(1, 2, dtype=torch.long)
            ids = torch.cat([torch.cat([padding, short] if left else [short, padding], dim=1), long])
            said = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
            torch.testing.assert_close(said, alone)
    # Without one transformers refuses more than one row at a time; `load_base` sets it.
    model.config.pad_token_id = None
    with pytest.raises(ValueError, match="padding token"):
        model(input_ids=torch.cat([long, long]))
