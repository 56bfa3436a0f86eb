from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    set_seed,
)

from hf_synthlabels.training import Objective, StudentConfig, StudentTrainer, train_student
from hf_synthlabels.training.data.features import HUMAN, LLM
from hf_synthlabels.training.tasks.objectives import Classification, corrected_logits

NOISE = ((0.9, 0.1), (0.2, 0.8))
P = math.log(0.7), math.log(0.3)
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


def batch(**columns: list) -> dict[str, Tensor]:
    return {name: torch.tensor(values) for name, values in columns.items()}


def loss_of(objective: Objective, logits: Tensor, rows: dict[str, Tensor], smoothing: float = 0.0) -> Tensor:
    return torch.sum(objective.row_losses({"logits": logits}, rows, label_smoothing=smoothing))


def test_llm_rows_are_corrected_and_others_are_not() -> None:
    rows = batch(labels=[1, 1], label_source=[LLM, HUMAN])
    losses = Classification(NOISE).row_losses({"logits": torch.tensor([P, P])}, rows)
    # The LLM gives 1 with .7 · .1 + .3 · .8 = .31; the human label is 1 with .3.
    torch.testing.assert_close(losses, torch.tensor([-math.log(0.31), -math.log(0.3)]))
    # Without sources.
    losses = Classification(NOISE).row_losses({"logits": torch.tensor([P])}, batch(labels=[1]))
    torch.testing.assert_close(losses, torch.tensor([-math.log(0.3)]))
    torch.manual_seed(3)
    corrected = corrected_logits(torch.randn(5, 2), torch.tensor(NOISE), torch.full((5,), LLM))
    torch.testing.assert_close(corrected.exp().sum(-1), torch.ones(5))


def test_weights_soft_labels_and_smoothing_count() -> None:
    rows = batch(labels=[1], label_source=[LLM], label_probs=[[0.25, 0.75]], label_weight=[2.0])
    objective = Classification(NOISE)
    # log probabilities of what the LLM says: .69 and .31.
    expected = -2 * (0.25 * math.log(0.69) + 0.75 * math.log(0.31))
    assert loss_of(objective, torch.tensor([P]), rows).item() == pytest.approx(expected, rel=1e-5)
    assert objective.row_weights(rows).item() == 2
    # Smoothing by .2: (.3, .7) becomes .8 · (.25, .75) + .1.
    smoothed = loss_of(objective, torch.tensor([P]), rows, 0.2).item()
    assert smoothed == pytest.approx(-2 * (0.3 * math.log(0.69) + 0.7 * math.log(0.31)), rel=1e-5)


def test_identity_matrix_is_plain_cross_entropy() -> None:
    torch.manual_seed(0)
    outputs = {"logits": torch.randn(6, 3)}
    rows = batch(labels=[0, 1, 2, 0, -100, 1], label_weight=[1.0, 2, 0, 1, 1, 3], label_source=[LLM] * 6)
    identity, plain = Classification(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))), Classification()
    for smoothing in (0.0, 0.1):
        losses = identity.row_losses(outputs, rows, label_smoothing=smoothing)
        torch.testing.assert_close(losses, plain.row_losses(outputs, rows, label_smoothing=smoothing))
    assert identity.row_weights(rows).tolist() == plain.row_weights(rows).tolist()


def test_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(2)
    logits = torch.randn(3, 2, requires_grad=True)
    rows = batch(labels=[0, 1, 1], label_source=[LLM, LLM, HUMAN])
    objective = Classification(NOISE)
    loss_of(objective, logits, rows).backward()
    assert logits.grad is not None
    for row, label in np.ndindex(3, 2):
        step = torch.zeros(3, 2)
        step[row, label] = 1e-2
        change = loss_of(objective, logits + step, rows) - loss_of(objective, logits - step, rows)
        assert logits.grad[row, label].item() == pytest.approx(change.item() / 2e-2, abs=1e-3)


def test_extreme_logits_and_half_precision_stay_finite() -> None:
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], dtype=torch.bfloat16, requires_grad=True)
    loss = loss_of(Classification(NOISE), logits, batch(labels=[1, 0], label_source=[LLM, LLM]))
    loss.backward()
    # A sure student is told no more than the noise: -log .1 and -log .2.
    assert loss.item() == pytest.approx(-math.log(0.1) - math.log(0.2), rel=1e-4)
    assert loss.dtype == torch.float32
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_least_loss_on_noisy_labels_is_at_the_human_probabilities() -> None:
    # Humans say 0 in .7 of the rows, so the LLM does in .7 · .9 + .3 · .2 = .69.
    logits = torch.zeros(1, 2, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=50)
    rows = batch(labels=[0], label_source=[LLM], label_probs=[[0.69, 0.31]])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(Classification(NOISE), logits, rows)
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(logits.softmax(-1), torch.tensor([[0.7, 0.3]]), atol=1e-3, rtol=0)


def test_correction_learns_what_humans_say_where_most_labels_of_a_class_are_wrong(config: Config, toy: Toy) -> None:
    data = toy(300)
    draw = np.random.default_rng(0)
    # An LLM that calls two films of three sport: who believes it finds almost no film.
    said = ["sport" if label or draw.random() < 2 / 3 else "film" for label in data["label"]]
    human = [["film", "sport"][label] if row < 60 else None for row, label in enumerate(data["label"])]
    rows = data.remove_columns("label").add_column("llm", said).add_column("human", human)
    test = toy(60, seed=1)

    def right(**options: object) -> float:
        chosen = config(label_column="llm", human_column="human", human_strategy="none", **options)
        codes = train_student(chosen, rows, names=["film", "sport"]).predict(test).codes
        return float(np.mean(codes == np.array(test["label"])))

    assert right() <= 0.7
    assert right(correction="forward") >= 0.95


@pytest.mark.parametrize("steps", [1, 4])
def test_an_update_is_that_of_one_big_batch(steps: int, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    dry = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    set_seed(0)
    model = BertForSequenceClassification(
        BertConfig(vocab_size=20, num_labels=2, max_position_embeddings=16, **sizes, **dry)
    )
    rows = Dataset.from_dict(
        {
            "input_ids": [[2 + row % 11] * (3 + row % 4) for row in range(16)],
            "attention_mask": [[1] * (3 + row % 4) for row in range(16)],
            "labels": [row % 2 for row in range(16)],
            "label_source": [int(row % 3 == 0) for row in range(16)],
            "label_weight": [1.0 + row % 5 for row in range(16)],
        }
    )
    objective = Classification(NOISE)
    expected = copy.deepcopy(model)
    batch = {
        "input_ids": torch.tensor([ids + [0] * (6 - len(ids)) for ids in rows["input_ids"]]),
        "attention_mask": torch.tensor([ones + [0] * (6 - len(ones)) for ones in rows["attention_mask"]]),
    }
    targets = {name: torch.tensor(rows[name][:]) for name in ("labels", "label_source", "label_weight")}
    losses = objective.row_losses(expected(**batch), targets)
    (losses.sum() / objective.row_weights(targets).sum()).backward()
    norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in expected.parameters() if p.grad is not None]))
    config = StudentConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=16 // steps,
        gradient_accumulation_steps=steps,
        max_steps=1,
        logging_steps=1,
        max_grad_norm=1e9,
        use_cpu=True,
    )
    collator = DataCollatorWithPadding(
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"[PAD]": 0})), pad_token="[PAD]")
    )
    trainer = StudentTrainer(model, config, train_dataset=rows, data_collator=collator, objective=objective)
    trainer.train()
    logged = next(entry for entry in trainer.state.log_history if "grad_norm" in entry)
    assert logged["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
