"""Out-of-memory errors, fixed lengths and activation checkpointing. Encoder layers simulate the memory limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.training import StudentConfig, StudentTrainer, base_model, train_student
from hf_synthlabels.training.failures import is_out_of_memory

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]

CPU = "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."


@contextmanager
def memory_for(rows: int, message: str = CPU) -> Iterator[list[int]]:
    """Yield the batch sizes that encoder layers receive; larger ones than `rows` raise."""
    from transformers.models.bert.modeling_bert import BertLayer

    sizes: list[int] = []
    forward = BertLayer.forward

    def limited(self: Any, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(hidden))
        if len(hidden) > rows:
            raise RuntimeError(message)
        return forward(self, hidden, *args, **kwargs)

    BertLayer.forward = limited
    try:
        yield sizes
    finally:
        BertLayer.forward = forward


def test_auto_find_batch_size_trains_with_a_batch_that_fits(config: Config, toy: Toy) -> None:
    with memory_for(5) as sizes:
        student = train_student(config(auto_find_batch_size=True, max_steps=3), toy(40), names=NAMES)
    assert student.metrics["train_steps"] == 3
    assert 0 < min(sizes) <= 5 < max(sizes) == 16


@pytest.mark.parametrize(
    ("options", "rows", "advice"),
    [({}, 5, "set `auto_find_batch_size: true`"), ({"auto_find_batch_size": True}, 0, "set it to 8 with twice the")],
)
def test_a_batch_that_does_not_fit_raises_an_error_with_advice(
    config: Config, toy: Toy, options: dict[str, Any], rows: int, advice: str
) -> None:
    with memory_for(rows), pytest.raises(TrainingError, match="`per_device_train_batch_size`") as caught:
        train_student(config(**options), toy(40), names=NAMES)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_propagate(config: Config, toy: Toy) -> None:
    with memory_for(5, "shapes"), pytest.raises(RuntimeError, match="shapes"):
        train_student(config(), toy(40), names=NAMES)


def test_evaluation_batches_that_do_not_fit_are_halved(config: Config, toy: Toy) -> None:
    student = train_student(config(max_steps=2), toy(40), names=NAMES)
    test = toy(23, seed=3)
    expected = student.predict(test).probabilities
    with memory_for(4):
        probabilities = student.predict(test).probabilities
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    with memory_for(0), pytest.raises(TrainingError, match="`max_length`"):
        student.predict(test)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError(CPU), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA out of memory."), False),
    ],
)
def test_out_of_memory_errors_are_recognized(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_padding_to_fixed_lengths_does_not_change_the_loss(
    config: Config, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: set[int] = set()
    step = StudentTrainer.training_step

    def watched(self: StudentTrainer, model: Any, inputs: Any, *args: Any) -> Any:
        lengths.add(inputs["input_ids"].shape[1])
        return step(self, model, inputs, *args)

    monkeypatch.setattr(StudentTrainer, "training_step", watched)
    rows = toy(64)
    # Dropout depends on the shape of a batch, so nothing is trained; the losses show the difference.
    frozen: dict[str, Any] = {"learning_rate": 0.0, "num_train_epochs": 1}
    expected = train_student(config(**frozen), rows, names=NAMES, eval=rows)
    assert len(lengths) > 2
    lengths.clear()
    student = train_student(config(**frozen, pad_lengths=[16, 24, 999]), rows, names=NAMES, eval=rows)
    assert lengths <= {16, 24, 32}
    assert student.metrics["eval_loss"] == pytest.approx(expected.metrics["eval_loss"], rel=1e-5)


def test_fixed_lengths_require_a_tokenizer_that_pads_on_the_right(config: Config, toy: Toy) -> None:
    student = train_student(config(max_steps=1), toy(20), names=NAMES)
    tokenizer = student.trainer.processing_class
    tokenizer.padding_side = "left"
    with pytest.raises(ConfigError, match="`pad_lengths`"):
        StudentTrainer(student.trainer.model, config(pad_lengths=[8]), processing_class=tokenizer)
    with pytest.raises(ConfigError, match="`pad_lengths`"):
        StudentTrainer(student.trainer.model, config(pad_lengths=[8]))


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_large_models_use_activation_checkpointing(
    config: Config, toy: Toy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rank: int
) -> None:
    options: dict[str, Any] = {"max_steps": 3, "lora_r": rank}
    expected = train_student(config(**options), toy(48), names=NAMES)
    assert not expected.trainer.args.activation_checkpointing
    monkeypatch.setattr(base_model, "LARGE", 1000)
    with caplog.at_level(logging.WARNING):
        student = train_student(config(**options), toy(48), names=NAMES)
    assert "activation_checkpointing is on" in caplog.text
    assert student.trainer.args.activation_checkpointing
    for a, b in zip(student.trainer.model.parameters(), expected.trainer.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
    off = config(**options, activation_checkpointing=False)
    assert not train_student(off, toy(48), names=NAMES).trainer.args.activation_checkpointing


def test_a_compiler_sees_few_shapes(config: Config, toy: Toy) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # The eager backend traces the graphs without compiling them, which would take minutes.
    options: dict[str, Any] = {"max_steps": 6, "pad_lengths": [16, 32], "per_device_eval_batch_size": 16}
    plain = train_student(config(**options), toy(64), names=NAMES, eval=toy(32, seed=1))
    compiled = config(**options, torch_compile=True, torch_compile_backend="eager")
    student = train_student(compiled, toy(64), names=NAMES, eval=toy(32, seed=1))
    assert student.metrics["eval_loss"] == pytest.approx(plain.metrics["eval_loss"], rel=1e-4)
    # One graph for each of two lengths in training, and at most as many in evaluation.
    assert 2 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4


def test_bfloat16_on_the_cpu_reaches_the_same_accuracy(config: Config, toy: Toy) -> None:
    student = train_student(config(bf16=True), toy(160), names=NAMES, eval=toy(60, seed=1))
    assert student.metrics["eval_accuracy"] >= 0.95
    # Weights stay in float32; only products are computed in bfloat16.
    assert {weight.dtype for weight in student.trainer.model.parameters()} == {torch.float32}
