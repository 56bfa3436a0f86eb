"""Adapters with the head that the architecture has; tiny models drawn here stand in for pretrained ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import AutoPeftModelForSequenceClassification, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    PreTrainedConfig,
    Qwen3Config,
    RobertaConfig,
    XLNetConfig,
    set_seed,
)

from hf_synthlabels.errors import ConfigError, MissingExtraError, TrainingError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.lora import (
    adapter_base,
    check_head,
    head_modules,
    load_adapter,
    quantization_options,
    save_adapted,
    with_adapters,
)

COMMON: dict[str, Any] = {"vocab_size": 40, "pad_token_id": 0}
BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}
ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
DECODER: dict[str, Any] = {**COMMON, **BERT, **ENDS, "num_key_value_heads": 1}
MODELS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**COMMON, **BERT),
    "distilbert": DistilBertConfig(**COMMON, n_layers=1, n_heads=2, dim=16, hidden_dim=16, max_position_embeddings=64),
    "roberta": RobertaConfig(**COMMON, **BERT),
    "xlnet": XLNetConfig(**COMMON, d_model=16, n_layer=1, n_head=2, d_inner=16),
    "modernbert": ModernBertConfig(**COMMON, **BERT, **ENDS, cls_token_id=1, sep_token_id=2),
    "electra": ElectraConfig(**COMMON, **BERT, embedding_size=8),
    "deberta": DebertaV2Config(**COMMON, **BERT, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "mistral": MistralConfig(**DECODER),
    "llama": LlamaConfig(**DECODER),
    "qwen": Qwen3Config(**DECODER, head_dim=8),
}
CLASSIFICATION = {
    "bert": ("bert.pooler", "classifier"),
    "distilbert": ("pre_classifier", "classifier"),
    "roberta": ("classifier",),
    "xlnet": ("sequence_summary", "logits_proj"),
    "modernbert": ("head", "classifier"),
    "electra": ("classifier",),
    "deberta": ("pooler", "classifier"),
    "mistral": ("score",),
    "llama": ("score",),
    "qwen": ("score",),
}
TOKENS = {"modernbert": ("head", "classifier"), "mistral": ("score",), "llama": ("score",), "qwen": ("score",)}
ANSWERS = {"modernbert": ("head", "classifier")}
HEADS = [
    *((name, AutoModelForSequenceClassification, head) for name, head in CLASSIFICATION.items()),
    *((name, AutoModelForTokenClassification, TOKENS.get(name, ("classifier",))) for name in CLASSIFICATION),
    *((name, AutoModelForQuestionAnswering, ANSWERS.get(name, ("qa_outputs",))) for name in CLASSIFICATION),
    *((name, AutoModelForCausalLM, ()) for name in ("mistral", "llama", "qwen")),
]
# Of tokens and answers the heads that differ; all others are slow.
DIFFER = ("bert", "xlnet", "modernbert", "mistral")
EVERY = (AutoModelForSequenceClassification, AutoModelForCausalLM)
CASES = [
    pytest.param(
        *case,
        id=f"{case[0]}-{case[1].__name__[9:]}",
        marks=[] if case[0] in DIFFER or case[1] in EVERY else pytest.mark.slow,
    )
    for case in HEADS
]
Config = Callable[..., StudentConfig]


def made(name: str, kind: Any = AutoModelForSequenceClassification, labels: int = 2) -> Any:
    set_seed(0)
    settings = type(MODELS[name]).from_dict(MODELS[name].to_dict())
    if kind is not AutoModelForCausalLM:
        settings.num_labels = labels
    return kind.from_config(settings)


def outputs(model: Any) -> torch.Tensor:
    ids = torch.arange(3, 27).view(2, 12)
    with torch.no_grad():
        found = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    return found.logits if "logits" in found else torch.stack([found.start_logits, found.end_logits])


def trained(model: Any, kind: Any) -> None:
    """Two steps of gradient descent on any target."""
    ids = torch.arange(3, 27).view(2, 12)
    rate = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.5)
    for _ in range(2):
        found = model.train()(input_ids=ids, attention_mask=torch.ones_like(ids))
        logits = found.logits if "logits" in found else found.start_logits
        logits[..., 0].sum().backward()
        rate.step()
        rate.zero_grad()


@pytest.mark.parametrize(("name", "kind", "head"), CASES)
def test_head_is_trained_and_comes_back(
    config: Config, tmp_path: Path, name: str, kind: Any, head: tuple[str, ...]
) -> None:
    base = made(name, kind)
    assert head_modules(base) == head
    frozen = {key: value.clone() for key, value in base.state_dict().items()}
    model = with_adapters(base, config(lora_r=2))
    check_head(model, head)
    trained(model, kind)
    after = {
        key.replace("base_model.model.", "").replace("base_layer.", ""): v for key, v in model.state_dict().items()
    }
    # What was pretrained stays as it is: every weight that is neither of the head nor an adapter.
    kept = [key for key in frozen if not any(key.startswith(f"{part}.") for part in head)]
    assert kept
    assert all(torch.equal(frozen[key], after[key]) for key in kept)
    save_adapted(model, tmp_path / "adapter", base="x", merged=False)
    save_adapted(model, tmp_path / "merged", base="x", merged=True)
    expected = outputs(model)
    assert not torch.allclose(expected, outputs(made(name, kind)), atol=1e-3)
    for trainable in (False, True):
        again = load_adapter(made(name, kind), tmp_path / "adapter", trainable=trainable)
        torch.testing.assert_close(outputs(again), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs(kind.from_pretrained(tmp_path / "merged")), expected, atol=1e-4, rtol=1e-4)
    # Saving merged weights leaves the student's as they were.
    assert torch.equal(outputs(model), expected)


def test_peft_alone_trains_no_head_of_xlnet_and_fails_for_distilbert() -> None:
    # If this fails, peft knows the heads, and head_modules may go.
    model = get_peft_model(made("xlnet"), LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", r=2))
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and "lora_" not in name]
    assert names == []
    with pytest.raises(TypeError, match="modules_to_save"):
        get_peft_model(made("distilbert"), LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", r=2))


@pytest.mark.parametrize(
    "kind", [AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModelForQuestionAnswering]
)
def test_adapters_hand_on_every_input(config: Config, kind: Any) -> None:
    ids = torch.arange(3, 27).view(2, 12)
    rows = {"input_ids": ids, "token_type_ids": torch.ones_like(ids), "position_ids": torch.arange(12).flip(0)[None]}
    with torch.no_grad():
        # Fresh adapters change nothing.
        expected = made("bert", kind).eval()(**rows)
        found = with_adapters(made("bert", kind), config(lora_r=2)).eval()(**rows)
        torch.testing.assert_close(found[0], expected[0])
        if kind is AutoModelForQuestionAnswering:
            # If this fails, peft hands on token types of questions, and its own wrapper may be used.
            upstream = get_peft_model(made("bert", kind), LoraConfig(task_type="QUESTION_ANS", r=2)).eval()(**rows)
            assert not torch.allclose(upstream[0], expected[0], atol=1e-3)


def test_all_linear_is_the_encoder_without_the_head(config: Config) -> None:
    model = with_adapters(made("bert"), config(lora_r=2))
    names = [name.split(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name]
    layers = {name.split("layer.0.")[-1] for name in names}
    attention = {f"attention.self.{part}" for part in ("query", "key", "value")}
    assert layers == attention | {"attention.output.dense", "intermediate.dense", "output.dense"}
    some = with_adapters(made("bert"), config(lora_r=2, lora_targets=["query", "value"]))
    assert sum(".lora_A" in name for name, _ in some.named_parameters()) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_head": ["clasifier"]}, r"names 'clasifier', which BertFor.* not have. Its head is \['bert.pooler'"),
        ({"lora_head": ["classifier"]}, r"leaves out 'bert.pooler' of BertForSequenceClassification"),
        ({"lora_head": "bert.pooler"}, r"leaves out 'classifier'"),
        ({"lora_targets": ["q_proj"]}, r"`lora_targets` names 'q_proj', .* Use 'all-linear' or some of \['dense'"),
    ],
)
def test_wrong_modules_are_told(config: Config, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_adapters(made("bert"), config(lora_r=2, **changes))


def test_four_bits_need_a_gpu_and_bitsandbytes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    four = config(lora_r=2, load_in_4bit=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="`load_in_4bit`"):
        quantization_options(four)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        import bitsandbytes  # type: ignore[import-not-found,unused-ignore] # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="`bitsandbytes`"):
            quantization_options(four)


def test_frozen_heads_are_refused(config: Config) -> None:
    model = with_adapters(made("bert"), config(lora_r=2))
    for name, weight in model.named_parameters():
        if "classifier.modules_to_save" in name:
            weight.requires_grad_(False)
    with pytest.raises(TrainingError, match="`classifier`"):
        check_head(model, CLASSIFICATION["bert"])


def test_adapters_without_their_head_are_refused(config: Config, tmp_path: Path) -> None:
    save_adapted(with_adapters(made("xlnet"), config(lora_r=2)), tmp_path, base="some/encoder", merged=False)
    path = tmp_path / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "logits_proj" not in name}, path)
    with pytest.raises(TrainingError, match="`logits_proj`"):
        load_adapter(made("xlnet"), tmp_path, trainable=False)
    path.unlink()
    with pytest.raises(TrainingError, match=r"which has no adapter_model.safetensors"):
        load_adapter(made("xlnet"), tmp_path, trainable=False)


def test_adapters_of_other_labels_are_refused(config: Config, tmp_path: Path) -> None:
    save_adapted(with_adapters(made("bert"), config(lora_r=2)), tmp_path, base="some/encoder", merged=False)
    with pytest.raises(TrainingError, match=r"whose adapters do not fit BertForSequenceClassification"):
        load_adapter(made("bert", labels=3), tmp_path, trainable=False)


def test_adapters_say_which_model_they_belong_to(config: Config, tmp_path: Path) -> None:
    assert adapter_base(tmp_path) is None
    save_adapted(with_adapters(made("bert"), config(lora_r=2)), tmp_path, base="some/encoder", merged=False)
    assert adapter_base(tmp_path) == "some/encoder"
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(TrainingError, match="base_model_name_or_path"):
        adapter_base(tmp_path)
    path.write_text("{")
    with pytest.raises(TrainingError, match=r"adapter_config.json cannot be read"):
        adapter_base(tmp_path)


def test_student_with_lora_learns_and_trains_on_from_its_adapters(
    config: Config, toy: Callable[..., Dataset], tmp_path: Path
) -> None:
    chosen = config(lora_r=4, learning_rate=1e-2)
    student = train_student(chosen, toy(160), names=["film", "sport"])
    test = toy(40, seed=2)
    expected = student.predict(test).probabilities
    assert np.mean(expected.argmax(axis=1) == np.array(test["label"])) >= 0.95
    student.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    for rank in (0, 4):
        # No step is taken with a rate of 0, so what is loaded is what was saved.
        still = config(model=str(tmp_path / "adapter"), lora_r=rank, learning_rate=0.0, max_steps=1)
        again = train_student(still, toy(20), names=["film", "sport"])
        np.testing.assert_allclose(again.predict(test).probabilities, expected, atol=1e-5)
        assert sum(weight.requires_grad for weight in again.trainer.model.parameters()) == (41 if rank == 0 else 28)
        again.save(tmp_path / f"again-{rank}")
        assert adapter_base(tmp_path / f"again-{rank}") == (None if rank == 0 else chosen.model)


def test_merged_student_loads_in_transformers(config: Config, toy: Callable[..., Dataset], tmp_path: Path) -> None:
    student = train_student(config(lora_r=4, save="merged", max_steps=4), toy(40), names=["film", "sport"])
    student.save(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    text = AutoTokenizer.from_pretrained(tmp_path)(toy(1)["text"][0], return_tensors="pt")
    with torch.no_grad():
        expected = model.eval()(**text).logits.softmax(-1).numpy()
    np.testing.assert_allclose(student.predict(toy(1)).probabilities, expected, atol=1e-5)
    assert model.config.id2label == {0: "film", 1: "sport"}


def test_adapters_load_in_peft_alone(config: Config, toy: Callable[..., Dataset], tmp_path: Path) -> None:
    student = train_student(config(lora_r=4, max_steps=4), toy(40), names=["film", "sport"])
    student.save(tmp_path)
    model = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path)
    text = AutoTokenizer.from_pretrained(tmp_path)(toy(1)["text"][0], return_tensors="pt")
    with torch.no_grad():
        expected = model.eval()(**text).logits.softmax(-1).numpy()
    np.testing.assert_allclose(student.predict(toy(1)).probabilities, expected, atol=1e-5)
