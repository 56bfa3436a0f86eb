"""Out-of-memory errors, for which encoder layers simulate a memory limit, and losses that are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.data.features import ROW
from hf_synthlabels.training.failures import NonFiniteLossCheck, is_out_of_memory

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


def test_a_batch_that_does_not_fit_raises_an_error_with_advice(config: Config, toy: Toy) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({}, 5, "set `auto_find_batch_size: true`"),
        ({"auto_find_batch_size": True}, 0, "set it to 8 with twice the"),
    ]
    for options, rows, advice in cases:
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


def test_out_of_memory_errors_are_recognized() -> None:
    for error in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU), MemoryError()):
        assert is_out_of_memory(error)
    for other in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("CUDA out of memory.")):
        assert not is_out_of_memory(other)


def logits(rows: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return rows["value"].log().sum()


def test_rows_that_give_no_finite_loss_are_named() -> None:
    model = torch.nn.Linear(1, 1)
    watch = NonFiniteLossCheck(lambda _, rows: logits(rows), 1e-3)
    good = {"value": torch.tensor([1.0, 2.0]), ROW: torch.tensor([4, 9])}
    watch.record(logits(good), model, good, 1)
    bad = {"value": torch.tensor([1.0, -1.0, 3.0, -2.0]), ROW: torch.tensor([7, 30, 2, 11])}
    with pytest.raises(
        TrainingError, match=r"became nan in step 2, at rows 11, 30 of the training data: the loss of these rows"
    ):
        watch.record(logits(bad), model, bad, 2)
    unknown = {"value": torch.tensor([1.0, 0.0])}
    with pytest.raises(TrainingError, match=r"became -inf in step 3, at row 1 of the batch"):
        watch.record(logits(unknown), model, unknown, 3)


def test_weights_that_broke_before_are_distinguished() -> None:
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(float("inf"))
    watch = NonFiniteLossCheck(lambda _, rows: logits(rows), 0.5)
    batch = {"value": torch.tensor([-1.0]), ROW: torch.tensor([3])}
    with pytest.raises(TrainingError, match="`learning_rate`"):
        watch.record(logits(batch), model, batch, 7)


def test_the_model_inside_is_searched_and_shards_are_not() -> None:
    class Wrapped(torch.nn.Module):
        """Waits for other processes."""

        def __init__(self) -> None:
            super().__init__()
            self.module = torch.nn.Linear(1, 1)

    def loss_of(model: torch.nn.Module, rows: Mapping[str, Any]) -> torch.Tensor:
        assert isinstance(model, torch.nn.Linear)
        return logits(rows)

    batch = {"value": torch.tensor([-1.0, 1.0]), ROW: torch.tensor([3, 4])}
    with pytest.raises(TrainingError, match=r"in step 2, at row 3 of the training data: the loss of these rows"):
        NonFiniteLossCheck(loss_of, 0.5).record(logits(batch), Wrapped(), batch, 2)
    with pytest.raises(TrainingError, match="`learning_rate`"):
        NonFiniteLossCheck(loss_of, 0.5, sharded=True).record(logits(batch), Wrapped(), batch, 2)


def test_an_accelerator_is_looked_at_one_batch_later() -> None:
    class Away(torch.Tensor):
        """A tensor that says it is not on the CPU."""

        @property
        def device(self) -> Any:  # type: ignore[override]
            return torch.device("meta")

    watch = NonFiniteLossCheck(lambda _, rows: logits(rows), 0.5)
    model, batch = torch.nn.Linear(1, 1), {"value": torch.tensor([-1.0, 1.0]), ROW: torch.tensor([3, 4])}
    watch.record(torch.tensor(float("nan")).as_subclass(Away), model, batch, 2)
    with pytest.raises(TrainingError, match=r"in step 2, at row 3 of"):
        watch.finish(model)
    watch.finish(model)


def test_training_stops_at_the_rows_of_a_broken_text(config: Config, toy: Toy) -> None:
    data = toy(48)
    # A row without a label is not trained on, and counts in the numbers.
    labels = [None if row == 3 else label for row, label in enumerate(data["label"])]
    data = data.remove_columns("label").add_column("label", labels)
    # A word whose vector is no number stands in one row: its loss is none either, and that of its batch.
    rows = [
        f"{text} plot" if number == 29 else text.replace("plot", "film") for number, text in enumerate(data["text"])
    ]
    data = data.remove_columns("text").add_column("text", rows)
    broken = config(model=_with_broken_word(config().model, "plot", config().output_dir))
    with pytest.raises(TrainingError, match=r"the loss became nan in step \d, at row 29 of the training data"):
        train_student(broken, data, names=NAMES)


def _with_broken_word(folder: str | None, word: str, out: str | None) -> str:
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        # Finite, but its square is not, which layer normalisation takes.
        model.embeddings.word_embeddings.weight[tokenizer.convert_tokens_to_ids(word)] = 3e38
    path = f"{out}-broken"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
