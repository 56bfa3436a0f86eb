"""Encoders without padding give what padded ones give: outputs and gradients, for every head."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    set_seed,
)

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.data.padding_free import run_without_padding, unsupported_reason, varlen_attention

COMMON: dict[str, Any] = {"vocab_size": 40, "pad_token_id": 0}
BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}
DRY: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MODELS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**COMMON, **BERT, **DRY),
    "roberta": RobertaConfig(**COMMON, **BERT, **DRY),
    "electra": ElectraConfig(**COMMON, **BERT, **DRY, embedding_size=8),
    "distilbert": DistilBertConfig(
        **COMMON,
        n_layers=2,
        n_heads=2,
        dim=16,
        hidden_dim=16,
        max_position_embeddings=64,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        qa_dropout=0.0,
    ),
    # Most of its layers see 4 tokens to each side, and one sees all.
    "modernbert": ModernBertConfig(**COMMON, **BERT, **ENDS, local_attention=8, classifier_pooling="cls"),
    "modernbert-mean": ModernBertConfig(**COMMON, **BERT, **ENDS, local_attention=8, classifier_pooling="mean"),
}
KINDS = [AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModelForQuestionAnswering]


def made(config: PreTrainedConfig, kind: Any) -> Any:
    set_seed(0)
    return kind.from_config(type(config).from_dict(config.to_dict()))


def batch(padded: bool = True) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    lengths = [23, 1, 7, 12, 23] if padded else [23] * 4
    ids = torch.zeros(len(lengths), 23, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, 40, (length,), generator=draw)
    return {"input_ids": ids, "attention_mask": ids.ne(0).long()}


def passed(model: Any, rows: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What the model says of the real tokens, and the gradient of its weights."""
    found = model.train()(**rows)
    logits = found.logits if "logits" in found else torch.stack([found.start_logits, found.end_logits], dim=-1)
    if logits.ndim == 3:
        logits = logits[rows["attention_mask"].bool()]
    model.zero_grad()
    (logits * torch.linspace(-1, 2, logits.numel()).view_as(logits)).sum().backward()
    return logits.detach(), {name: w.grad for name, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__[12:])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("padded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_outputs_and_gradients_are_those_with_padding(name: str, kind: Any, padded: bool) -> None:
    rows = batch(padded)
    expected, gradients = passed(made(MODELS[name], kind), rows)
    model = made(MODELS[name], kind)
    assert run_without_padding(model, half=False)
    found, own = passed(model, rows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert own.keys() == gradients.keys()
    for weight, gradient in gradients.items():
        torch.testing.assert_close(own[weight], gradient, atol=1e-4, rtol=1e-3, msg=weight)


def test_layers_see_the_tokens_alone() -> None:
    model = made(MODELS["bert"], AutoModelForSequenceClassification)
    run_without_padding(model, half=False)
    seen = []
    model.bert.encoder.layer[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    model(**batch())
    assert seen == [(1, 23 + 1 + 7 + 12 + 23, 16)]


def test_attention_is_that_of_each_row_alone() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 9, 4).unbind(0)
    found, _ = varlen_attention(
        torch.nn.Identity(), query, key, value, cu_seq_lens_q=torch.tensor([0, 4, 9]), max_length_q=5, scaling=0.3
    )
    for start, end in ((0, 4), (4, 9)):
        scores = 0.3 * query[..., start:end, :] @ key[..., start:end, :].transpose(-1, -2)
        expected = (scores.softmax(-1) @ value[..., start:end, :]).transpose(1, 2)
        torch.testing.assert_close(found[:, start:end], expected)
    with pytest.raises(ValueError, match="rows are padded"):
        varlen_attention(torch.nn.Identity(), query, key, value)


def test_students_with_and_without_padding_learn_the_same(
    config: Callable[..., StudentConfig], toy: Callable[..., Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    test = toy(60, seed=1)
    with caplog.at_level(logging.WARNING):
        student = train_student(config(padding_free=True), toy(160), names=["film", "sport"], eval=test)
    assert student.metrics["eval_accuracy"] >= 0.95
    assert "attention dropout of 0.1 is not applied" in caplog.text
    assert len(student.predict(test).codes) == 60


def test_adapters_train_without_padding(config: Callable[..., StudentConfig], toy: Callable[..., Dataset]) -> None:
    rows = toy(60)
    both = [
        train_student(
            config(padding_free=free, lora_r=4, max_steps=1, learning_rate=0.0), rows, names=["film", "sport"]
        )
        for free in (True, False)
    ]
    free, padded = (student.predict(rows).probabilities for student in both)
    np.testing.assert_allclose(free, padded, atol=1e-6)


def test_other_architectures_are_refused() -> None:
    model = made(DebertaV2Config(**COMMON, **BERT), AutoModelForSequenceClassification)
    with pytest.raises(ConfigError, match="`padding_free`"):
        run_without_padding(model, half=False)


def test_devices_say_why_they_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unsupported_reason(torch.device("cpu"), half=False) is None
    assert unsupported_reason(torch.device("mps"), half=True) == "PyTorch has no such attention on mps"
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert "compute capability (7, 5)" in str(unsupported_reason(gpu, half=True))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert unsupported_reason(gpu, half=True) is None
    assert unsupported_reason(gpu, half=False) == "Flash Attention needs `bf16: true`"
