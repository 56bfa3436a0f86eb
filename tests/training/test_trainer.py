from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, StudentTrainer
from hf_synthlabels.training.data.features import LABELS, WEIGHT, tokenize
from hf_synthlabels.training.data.samplers import LengthBucketedSampler

Make = Callable[..., StudentTrainer]


@pytest.fixture
def tokenizer(encoder: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(encoder)


@pytest.fixture
def features(tokenizer: PreTrainedTokenizerBase, toy: Callable[..., Dataset]) -> Dataset:
    data = toy(30)
    tokens = tokenize(data, tokenizer, text_columns=["text"], max_length=32)
    return tokens.add_column(LABELS, data["label"][:])


@pytest.fixture
def make(encoder: str, config: Callable[..., StudentConfig], tokenizer: PreTrainedTokenizerBase) -> Make:
    def trainer(options: dict[str, Any] | None = None, **arguments: Any) -> StudentTrainer:
        model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2)
        # A fresh head says nearly the same of every row, which would hide a wrong order.
        torch.nn.init.normal_(model.classifier.weight, generator=torch.Generator().manual_seed(0))
        return StudentTrainer(model, config(**options or {}), processing_class=tokenizer, **arguments)

    return trainer


def forward(trainer: Trainer, features: Dataset) -> torch.Tensor:
    """The logits of each row from a forward pass of its own, in row order."""
    trainer.model.eval()
    with torch.no_grad():
        return torch.cat([trainer.model(input_ids=torch.tensor([row["input_ids"]])).logits for row in features])


def test_predict_returns_rows_in_row_order(make: Make, features: Dataset) -> None:
    for strategy in ("random", "group_by_length", "sequential"):
        trainer = make({"train_sampling_strategy": strategy, "per_device_eval_batch_size": 4})
        output = trainer.predict(features)
        np.testing.assert_allclose(output.predictions, forward(trainer, features), atol=1e-6)
        assert output.label_ids.tolist() == features[LABELS][:]


def test_plain_trainer_permutes_predictions_by_length(make: Make, features: Dataset, tmp_path: Path) -> None:
    # If this fails, transformers puts them back and the un-permuting in StudentTrainer may go.
    args = TrainingArguments(str(tmp_path), train_sampling_strategy="group_by_length", use_cpu=True, disable_tqdm=True)
    trainer = Trainer(make().model, args, processing_class=make().processing_class)
    output = trainer.predict(features)
    assert output.label_ids.tolist() != features[LABELS][:]
    assert not np.allclose(output.predictions, forward(trainer, features), atol=1e-4)


def test_metrics_see_rows_in_row_order(make: Make, features: Dataset) -> None:
    seen: list[EvalPrediction] = []

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        return {"rows": float(len(prediction.label_ids))}

    trainer = make(
        {"per_device_eval_batch_size": 4, "include_for_metrics": ["inputs", "loss"]},
        eval_dataset=features,
        compute_metrics=metrics,
    )
    assert trainer.evaluate()["eval_rows"] == 30
    assert seen[0].label_ids.tolist() == features[LABELS][:]
    first = features[0]["input_ids"]
    assert seen[0].inputs[0, : len(first)].tolist() == first


def test_evaluation_loss_is_over_all_rows_by_weight(make: Make, features: Dataset) -> None:
    weights = [0.1 + row % 3 for row in range(30)]
    weighted = features.add_column(WEIGHT, weights)
    trainer = make({"per_device_eval_batch_size": 4}, eval_dataset=weighted)
    cost = torch.nn.functional.cross_entropy(
        forward(trainer, features), torch.tensor(features[LABELS][:]), reduction="none"
    )
    expected = float((cost * torch.tensor(weights)).sum() / sum(weights))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)
    # Without metrics Trainer asks for the loss only, and so do we give no predictions.
    loader = trainer.get_eval_dataloader(weighted)
    output = trainer.evaluation_loop(loader, "Evaluation", prediction_loss_only=True)
    assert output.predictions is None
    assert output.metrics["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_outputs_that_are_not_concatenated_come_from_unsorted_rows(make: Make, features: Dataset) -> None:
    trainer = make({"per_device_eval_batch_size": 4, "eval_do_concat_batches": False})
    output = trainer.predict(features)
    assert [label for batch in output.label_ids for label in batch.tolist()] == features[LABELS][:]


def test_rows_that_all_weigh_nothing_change_nothing(make: Make, features: Dataset) -> None:
    nothing = features.add_column(WEIGHT, [0.0] * 30)
    trainer = make({"max_steps": 2, "weight_decay": 0.0}, train_dataset=nothing)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    assert trainer.train().training_loss == 0
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())


def test_label_smoothing_is_that_of_the_trainer(make: Make, features: Dataset, tmp_path: Path) -> None:
    trainer = make({"label_smoothing_factor": 0.2}, eval_dataset=features)
    args = TrainingArguments(
        str(tmp_path), label_smoothing_factor=0.2, use_cpu=True, disable_tqdm=True, per_device_eval_batch_size=30
    )
    plain = Trainer(trainer.model, args, processing_class=trainer.processing_class, eval_dataset=features)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-5)


def test_bucket_and_strategy_choose_the_sampler(make: Make, features: Dataset) -> None:
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"train_sampling_strategy": "group_by_length"}, True),
        ({"train_sampling_strategy": "sequential"}, False),
        ({"bucket": False}, False),
        ({"bucket": False, "train_sampling_strategy": "group_by_length"}, False),
    ]
    for options, bucketed in cases:
        sampler = make(options, train_dataset=features)._get_train_sampler()
        assert isinstance(sampler, LengthBucketedSampler) == bucketed, options


def test_data_seed_decides_the_order_of_rows(make: Make, features: Dataset) -> None:
    orders = [list(make({"data_seed": seed}, train_dataset=features)._get_train_sampler() or []) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_trainer_without_a_student_config_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`args`"):
        StudentTrainer(make().model, TrainingArguments(str(tmp_path), use_cpu=True))
