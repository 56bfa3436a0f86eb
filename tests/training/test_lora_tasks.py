"""Adapters of every kind of student and every architecture: the head is trainable before training, moves, and is there
after saving and loading. What is checked of the modules themselves is in test_lora.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    Qwen3Config,
    RobertaConfig,
    TrainerCallback,
    XLNetConfig,
    set_seed,
)

from hf_synthlabels.training import Student, StudentConfig, train_student
from hf_synthlabels.training.lora import adapter_base, head_modules
from tests.tiny_models import tiny_tokenizer
from tests.training.tasks.test_tasks import entity_rows, question_rows

Config = Callable[..., StudentConfig]
SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 160,
}
DECODER: dict[str, Any] = {**SHAPE, "num_key_value_heads": 1}
MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "bert": (BertConfig, SHAPE),
    "distilbert": (
        DistilBertConfig,
        {"n_layers": 1, "n_heads": 2, "dim": 16, "hidden_dim": 16, "max_position_embeddings": 160},
    ),
    "roberta": (RobertaConfig, SHAPE),
    "xlnet": (XLNetConfig, {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}),
    "modernbert": (ModernBertConfig, {**SHAPE, "cls_token_id": 1, "sep_token_id": 2}),
    "electra": (ElectraConfig, {**SHAPE, "embedding_size": 8}),
    "deberta": (DebertaV2Config, {**SHAPE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "mistral": (MistralConfig, DECODER),
    "llama": (LlamaConfig, DECODER),
    "qwen": (Qwen3Config, {**DECODER, "head_dim": 8}),
}
TEXTS = ["the film of an actor", "a goal of the team", "the plot", "a match and a score"] * 3
QUESTION = {"text_columns": ["question", "context"]}
KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...], Callable[[], Dataset]]] = {
    "multi-label": (
        {"task": "multi-label"},
        ("film", "sport"),
        lambda: Dataset.from_dict({"text": TEXTS, "label": [["film"], ["sport"], [], ["film", "sport"]] * 3}),
    ),
    "squared error": (
        {"task": "text-scale", "scale": [1, 4]},
        (),
        lambda: Dataset.from_dict({"text": TEXTS, "label": [1.0, 2.0, 3.0, 4.0] * 3}),
    ),
    "ordinal": (
        {"task": "text-scale", "scale": [1, 4], "scale_loss": "ordinal"},
        (),
        lambda: Dataset.from_dict({"text": TEXTS, "label": [1.0, 2.0, 3.0, 4.0] * 3}),
    ),
    "entities": ({"task": "token-classification"}, ("film", "sport"), lambda: entity_rows(10)),
    "answers": ({"task": "question-answering", **QUESTION}, (), lambda: question_rows(10)),
}
FAST = [("bert", kind) for kind in KINDS]
CASES = [
    pytest.param(name, kind, id=f"{name}-{kind}", marks=[] if (name, kind) in FAST else pytest.mark.slow)
    for name in MODELS
    for kind in KINDS
]


class AtTheBegin(TrainerCallback):  # type: ignore[misc]
    """What is trainable when training begins, and the weights of then."""

    def __init__(self) -> None:
        self.trained: set[str] = set()
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        for name, weight in kwargs["model"].named_parameters():
            self.weights[name] = weight.detach().clone()
            if weight.requires_grad:
                self.trained.add(name)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny model without a head, and its tokenizer; each is made once."""
    made: dict[str, str] = {}

    def model(name: str) -> str:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            tokenizer = tiny_tokenizer(folder, chat_template=None)
            kind, shape = MODELS[name]
            set_seed(0)
            ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
            settings = kind(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **ends, **shape)
            AutoModel.from_config(settings).save_pretrained(folder)
            made[name] = str(folder)
        return made[name]

    return model


def said(student: Student) -> dict[str, torch.Tensor]:
    """What the model says of some tokens."""
    ids = torch.arange(10, 34).view(2, 12)
    with torch.no_grad():
        found = student.trainer.model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    return {name: value for name, value in found.items() if name in ("logits", "start_logits", "end_logits")}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_head_is_trained_and_there_when_loaded(
    config: Config, models: Callable[[str], str], tmp_path: Path, name: str, kind: str
) -> None:
    options, names, rows = KINDS[kind]
    base = models(name)
    chosen = config(**options, model=base, lora_r=2, max_length=128, max_steps=3, learning_rate=1e-2)
    begin = AtTheBegin()
    student = train_student(chosen, rows(), names=names, callbacks=[begin])
    model = student.trainer.model
    head = head_modules(model.get_base_model())
    assert head
    for part in head:
        own = {weight for weight in begin.weights if f"{part}.modules_to_save.default." in f"{weight}."}
        assert own
        assert own <= begin.trained
        # Every part of the head has learnt.
        moved = {
            weight for weight in own if not torch.equal(dict(model.named_parameters())[weight], begin.weights[weight])
        }
        assert moved
    assert all("lora_" in weight or "modules_to_save" in weight for weight in begin.trained)
    student.save(tmp_path / "saved")
    assert adapter_base(tmp_path / "saved") == base
    expected = said(student)
    for rank in (0, 2):
        still = {"model": str(tmp_path / "saved"), "lora_r": rank, "learning_rate": 0.0, "max_steps": 1}
        again = train_student(config(**options, **still, max_length=128), rows(), names=names)
        for output, value in said(again).items():
            torch.testing.assert_close(value, expected[output], atol=1e-4, rtol=1e-4)


def test_heads_of_one_and_of_many_outputs_are_the_same_modules(models: Callable[[str], str]) -> None:
    for labels in (1, 2, 5):
        model = AutoModelForSequenceClassification.from_pretrained(models("bert"), num_labels=labels)
        assert head_modules(model) == ("bert.pooler", "classifier")
