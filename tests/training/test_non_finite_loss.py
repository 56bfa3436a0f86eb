from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.data.features import ROW
from hf_synthlabels.training.failures import NonFiniteLossCheck

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


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
