from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, StudentTrainer, speed, train_student
from hf_synthlabels.training.speed import BucketedPadding, padding_buckets

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


def test_few_lengths_are_shares_of_the_rows_in_eights() -> None:
    # A fifth of the rows each has at most 5, 9, 17, 30 and 100 tokens.
    lengths = np.repeat([5, 9, 17, 30, 100], 20)
    assert padding_buckets(lengths, 128) == [8, 16, 24, 32, 104, 128]
    assert padding_buckets(lengths, 64) == [8, 16, 24, 32, 64]
    assert padding_buckets(np.array([3]), 16) == [8, 16]


def test_batches_are_padded_to_the_next_length() -> None:
    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {
            "input_ids": torch.full((2, 5), 7),
            "attention_mask": torch.ones(2, 5, dtype=torch.long),
            # Five classes and five tokens are a coincidence.
            "labels": torch.ones(2, 5, dtype=torch.long),
            "label_probs": torch.ones(2, 5),
        }

    per_row = BucketedPadding(collate, (4, 8), 9, labels_per_token=False)([])
    assert per_row["input_ids"].tolist() == [[7] * 5 + [9] * 3] * 2
    assert per_row["attention_mask"].tolist() == [[1] * 5 + [0] * 3] * 2
    assert per_row["labels"].shape == per_row["label_probs"].shape == (2, 5)
    per_token = BucketedPadding(collate, (4, 8), 9, labels_per_token=True)([])
    assert per_token["labels"].tolist() == [[1] * 5 + [-100] * 3] * 2
    assert per_token["label_probs"].shape == (2, 5)
    # What fits nowhere stays as it is.
    assert BucketedPadding(collate, (4,), 9, labels_per_token=True)([])["input_ids"].shape == (2, 5)


def test_padding_on_changes_nothing_that_is_learnt(config: Config, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    step = StudentTrainer.training_step

    def watched(self: StudentTrainer, model: Any, inputs: Any, *args: Any) -> Any:
        seen.add(inputs["input_ids"].shape[1])
        return step(self, model, inputs, *args)

    monkeypatch.setattr(StudentTrainer, "training_step", watched)
    rows = toy(64)
    # No dropout would draw alike in other shapes, so nothing is trained; the losses tell.
    still: dict[str, Any] = {"learning_rate": 0.0, "num_train_epochs": 1}
    expected = train_student(config(**still), rows, names=NAMES, eval=rows)
    assert len(seen) > 2
    seen.clear()
    found = train_student(config(**still, pad_lengths=[16, 24, 999]), rows, names=NAMES, eval=rows)
    assert seen <= {16, 24, 32}
    assert found.metrics["eval_loss"] == pytest.approx(expected.metrics["eval_loss"], rel=1e-5)


@pytest.mark.parametrize("wrong", [[], [0], [8.5], "8", [True]])
def test_wrong_lengths_are_refused(config: Config, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"`pad_lengths` is .* Give lengths in tokens"):
        config(pad_lengths=wrong)


def test_tokenizers_that_pad_on_the_left_are_refused(config: Config, toy: Toy) -> None:
    student = train_student(config(max_steps=1), toy(20), names=NAMES)
    tokenizer = student.trainer.processing_class
    tokenizer.padding_side = "left"
    with pytest.raises(ConfigError, match=r"pads on the right, and this one pads on the left"):
        StudentTrainer(student.trainer.model, config(pad_lengths=[8]), processing_class=tokenizer)
    with pytest.raises(ConfigError, match=r"`pad_lengths` needs a tokenizer with a padding token"):
        StudentTrainer(student.trainer.model, config(pad_lengths=[8]))


def test_padding_free_and_padding_on_exclude_each_other(config: Config) -> None:
    for other in ({"pad_lengths": [8]}, {"torch_compile": True}):
        with pytest.raises(ConfigError, match=r"`padding_free` is true, which leaves no padding"):
            config(padding_free=True, **other)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_large_models_make_activations_twice(
    config: Config, toy: Toy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rank: int
) -> None:
    options: dict[str, Any] = {"max_steps": 3, "lora_r": rank}
    expected = train_student(config(**options), toy(48), names=NAMES)
    assert not expected.trainer.args.activation_checkpointing
    monkeypatch.setattr(speed, "LARGE", 1000)
    with caplog.at_level(logging.WARNING):
        student = train_student(config(**options), toy(48), names=NAMES)
    assert "activation_checkpointing: on, for the model has 1000 weights or more" in caplog.text
    assert student.trainer.args.activation_checkpointing
    for one, two in zip(student.trainer.model.parameters(), expected.trainer.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-4)
    off = config(**options, activation_checkpointing=False)
    assert not train_student(off, toy(48), names=NAMES).trainer.args.activation_checkpointing


def test_a_compiler_sees_few_shapes(config: Config, toy: Toy) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # The programs are made, but run as they are: making them fast takes minutes.
    options: dict[str, Any] = {"max_steps": 6, "pad_lengths": [16, 32], "per_device_eval_batch_size": 16}
    plain = train_student(config(**options), toy(64), names=NAMES, eval=toy(32, seed=1))
    compiled = config(**options, torch_compile=True, torch_compile_backend="eager")
    student = train_student(compiled, toy(64), names=NAMES, eval=toy(32, seed=1))
    assert student.metrics["eval_loss"] == pytest.approx(plain.metrics["eval_loss"], rel=1e-4)
    # One for each of two lengths in training, and as many in evaluation at most.
    assert 2 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4


def test_bfloat16_on_the_cpu_learns_as_well(config: Config, toy: Toy) -> None:
    student = train_student(config(bf16=True), toy(160), names=NAMES, eval=toy(60, seed=1))
    assert student.metrics["eval_accuracy"] >= 0.95
    # Weights stay in float32; only products are taken in half of it.
    assert {weight.dtype for weight in student.trainer.model.parameters()} == {torch.float32}
