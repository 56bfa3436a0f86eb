"""Batches that do not fit: the same update in pieces. Memory runs out where a layer of the model says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training import Student, StudentConfig, train_student
from hf_synthlabels.training.distributed.micro_batches import MicroBatches, out_of_memory, split
from tests.training.dry import without_dropout

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]

CPU = "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."


@contextmanager
def room_for(rows: int, *, where: str, error: Callable[[], Exception]) -> Iterator[list[int]]:
    """The sizes of the batches that an encoder layer gets; of those above `rows` the pass breaks off."""
    from transformers.models.bert.modeling_bert import BertLayer

    sizes: list[int] = []
    forward = BertLayer.forward

    def fail(grad: torch.Tensor) -> None:
        raise error()

    def tight(self: Any, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(hidden))
        if len(hidden) > rows:
            if where == "forward":
                raise error()
            if hidden.requires_grad:
                hidden.register_hook(fail)
        return forward(self, hidden, *args, **kwargs)

    BertLayer.forward = tight
    try:
        yield sizes
    finally:
        BertLayer.forward = forward


def weights(student: Student) -> np.ndarray:
    return torch.cat([weight.detach().flatten() for weight in student.trainer.model.parameters()]).numpy()


@pytest.fixture
def dry(encoder: str, tmp_path: Path) -> str:
    return without_dropout(encoder, tmp_path / "dry")


@pytest.mark.parametrize(
    ("where", "error", "accumulation"),
    [
        ("forward", lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), 1),
        # What the broken backward pass and earlier batches had added to the gradient is taken away and made again.
        ("backward", lambda: RuntimeError(CPU), 2),
    ],
)
def test_halved_batches_give_the_same_student(
    config: Config,
    toy: Toy,
    dry: str,
    caplog: pytest.LogCaptureFixture,
    where: str,
    error: Callable[[], Exception],
    accumulation: int,
) -> None:
    options = {"model": dry, "max_steps": 3, "optim": "sgd", "learning_rate": 0.1}
    options["gradient_accumulation_steps"] = accumulation
    whole = train_student(config(**options), toy(64), names=NAMES)
    with caplog.at_level(logging.WARNING), room_for(5, where=where, error=error) as sizes:
        pieces = train_student(config(**options), toy(64), names=NAMES)
    np.testing.assert_allclose(weights(pieces), weights(whole), atol=2e-6)
    assert pieces.metrics["train_loss"] == pytest.approx(whole.metrics["train_loss"], rel=1e-5)
    # 16 rows, then 8, then 4, and no attempt with more from there on.
    assert [size for size in sizes if size > 5] in ([16, 8], [16, 16, 8, 8])
    said = [record.getMessage() for record in caplog.records if "memory ran out" in record.getMessage()]
    assert [text.split("from now on ")[1] for text in said] == [
        "8 rows are taken at a time and 2 times as often, which gives the same updates",
        "4 rows are taken at a time and 4 times as often, which gives the same updates",
    ]


def test_a_row_that_does_not_fit_alone_is_told(config: Config, toy: Toy) -> None:
    with room_for(0, where="forward", error=lambda: RuntimeError(CPU)), pytest.raises(TrainingError) as caught:
        train_student(config(), toy(40), names=NAMES)
    assert "`max_length`: one row of " in str(caught.value)
    assert "does not fit into memory" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_pass(config: Config, toy: Toy) -> None:
    with (
        room_for(5, where="forward", error=lambda: RuntimeError("shapes")),
        pytest.raises(RuntimeError, match="shapes"),
    ):
        train_student(config(), toy(40), names=NAMES)


def test_processes_that_others_wait_for_are_told_what_to_set() -> None:
    batches = MicroBatches(16)
    batch = {"input_ids": torch.ones(16, 4)}
    batches.begin([batch])

    def step(model: Any, rows: Any, items: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"`per_device_train_batch_size` is 16, .* Give 8 and twice the"):
        batches.take(step, torch.nn.Linear(1, 1), batch, 16, alone=False)


def test_evaluation_that_does_not_fit_is_halved_too(config: Config, toy: Toy) -> None:
    student = train_student(config(max_steps=2), toy(40), names=NAMES)
    test = toy(23, seed=3)
    expected = student.predict(test).probabilities
    with room_for(4, where="forward", error=lambda: RuntimeError(CPU)):
        found = student.predict(test).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pieces_are_as_equal_as_can_be_and_keep_every_row() -> None:
    batch = {"input_ids": torch.arange(14).view(7, 2), "labels": torch.arange(7), "scale": torch.tensor(2.0)}
    pieces = list(split(batch, 3))
    assert [len(piece["labels"]) for piece in pieces] == [2, 2, 3]
    assert torch.equal(torch.cat([piece["input_ids"] for piece in pieces]), batch["input_ids"])
    assert all(piece["scale"] == 2 for piece in pieces)
    assert len(list(split(batch, 99))) == 7


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
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) == expected
