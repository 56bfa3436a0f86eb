"""Pretrained models: what can be loaded, how long texts may be, and their preparation for training."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    OPTConfig,
    RobertaConfig,
    XLNetConfig,
)

from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.training import StudentConfig, StudentTrainer, base_model, train_student
from hf_synthlabels.training.base_model import load_base

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


def test_folders_that_miss_a_part_are_rejected(config: Config, encoder: str, tmp_path: Path) -> None:
    def refusal(folder: Path) -> str:
        with pytest.raises(TrainingError) as caught:
            load_base(config(model=str(folder)), NAMES)
        return str(caught.value)

    bare = tmp_path / "bare"
    BertForSequenceClassification(BertConfig(vocab_size=20, hidden_size=8, num_attention_heads=1)).save_pretrained(bare)
    ModernBertConfig().save_pretrained(tmp_path / "modern")
    shutil.copytree(encoder, tmp_path / "typed")
    wrong = json.loads((tmp_path / "typed" / "config.json").read_text()) | {"hidden_size": "large"}
    (tmp_path / "typed" / "config.json").write_text(json.dumps(wrong))
    shutil.copytree(encoder, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").unlink()
    shutil.copytree(encoder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    shutil.copytree(encoder, tmp_path / "other")
    kind = json.loads((tmp_path / "other" / "config.json").read_text()) | {"model_type": "nosuch"}
    (tmp_path / "other" / "config.json").write_text(json.dumps(kind))
    assert "whose tokenizer has only 5 tokens" in refusal(bare)
    assert "whose weights could not be loaded" in refusal(tmp_path / "cut")
    assert "which has no tokenizer that could be loaded" in refusal(tmp_path / "modern")
    assert "whose weights could not be loaded" in refusal(tmp_path / "broken")
    assert "which could not be loaded" in refusal(tmp_path / "other")
    assert "which could not be loaded" in refusal(tmp_path / "typed")


POSITIONS: dict[str, tuple[Any, int]] = {
    # RoBERTa's first position is behind that of the padding token.
    "roberta": (RobertaConfig(max_position_embeddings=66, pad_token_id=1), 64),
    "padding token 0": (RobertaConfig(max_position_embeddings=66, pad_token_id=0), 65),
    "bert": (BertConfig(max_position_embeddings=66), 66),
    "gpt2": (GPT2Config(n_positions=66, bos_token_id=1, eos_token_id=2, pad_token_id=0), 66),
    "opt": (OPTConfig(max_position_embeddings=66, word_embed_proj_dim=8, ffn_dim=8), 66),
    "llama": (LlamaConfig(max_position_embeddings=66), 66),
    "no limit": (XLNetConfig(), 1000),
}


def test_max_length_is_what_the_model_has_positions_for(
    config: Config, encoder: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    shape = {"vocab_size": 20, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    shape |= {"hidden_size": 8, "n_layer": 1, "n_head": 1, "d_inner": 8, "intermediate_size": 8}
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    for kind, (settings, positions) in POSITIONS.items():
        folder = tmp_path / kind
        changed = settings.to_dict() | {name: value for name, value in shape.items() if hasattr(settings, name)}
        changed |= {"d_model": 8, "d_head": 8} if kind == "no limit" else {}
        AutoModelForSequenceClassification.from_config(type(settings)(**changed)).save_pretrained(folder)
        # Many tokenizers name no limit, and some a smaller one than the model has.
        for limit in (None, 40):
            tokenizer.model_max_length = limit or int(1e30)
            tokenizer.save_pretrained(folder)
            longest = positions if kind != "no limit" else limit or 1000
            with subtests.test(kind, limit=limit):
                base = load_base(config(model=str(folder), max_length=longest), NAMES)
                ids = torch.full((1, longest), 3)
                assert base.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.shape == (1, 2)
                if kind != "no limit" or limit:
                    with pytest.raises(ConfigError, match="`max_length`"):
                        load_base(config(model=str(folder), max_length=longest + 1), NAMES)


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


def test_large_models_use_activation_checkpointing(
    config: Config, toy: Toy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"max_steps": 3, "lora_r": 2}
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
