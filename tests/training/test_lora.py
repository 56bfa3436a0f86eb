"""LoRA adapters with the head of each architecture, on tiny models, and students of every kind trained with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import AutoPeftModelForSequenceClassification, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    TrainerCallback,
    set_seed,
)

from hf_synthlabels.errors import ConfigError, MissingExtraError, TrainingError
from hf_synthlabels.training import Student, StudentConfig, train_student
from hf_synthlabels.training.lora import (
    adapter_base,
    check_head,
    head_modules,
    load_adapter,
    quantization_options,
    save_adapted,
    with_adapters,
)
from tests.tiny_models import tiny_tokenizer
from tests.training.architectures import ARCHITECTURES, configuration
from tests.training.tasks.test_tasks import entity_rows, question_rows

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]

CLASSES, TOKENS = AutoModelForSequenceClassification, AutoModelForTokenClassification
ANSWERS, TEXTS = AutoModelForQuestionAnswering, AutoModelForCausalLM
DECODERS = ("mistral", "llama", "qwen")
MODERN = ("head", "classifier")
HEADS: dict[tuple[str, Any], tuple[str, ...]] = {
    **{(name, TOKENS): ("score",) if name in DECODERS else ("classifier",) for name in ARCHITECTURES},
    **{(name, ANSWERS): ("qa_outputs",) for name in ARCHITECTURES},
    **{(name, TEXTS): () for name in DECODERS},
    **{("modernbert", kind): MODERN for kind in (CLASSES, TOKENS, ANSWERS)},
    **{(name, CLASSES): ("score",) for name in DECODERS},
    ("bert", CLASSES): ("bert.pooler", "classifier"),
    ("distilbert", CLASSES): ("pre_classifier", "classifier"),
    ("roberta", CLASSES): ("classifier",),
    ("xlnet", CLASSES): ("sequence_summary", "logits_proj"),
    ("electra", CLASSES): ("classifier",),
    ("deberta", CLASSES): ("pooler", "classifier"),
}
FAST = [key for key in HEADS if key[0] in ("bert", "xlnet", "modernbert", "mistral")] + [("distilbert", CLASSES)]
"""Heads that differ; the slow test has the others."""


def made(name: str, kind: Any = CLASSES, labels: int = 2) -> Any:
    set_seed(0)
    return kind.from_config(configuration(name, **({} if kind is TEXTS else {"num_labels": labels})))


def outputs(model: Any) -> torch.Tensor:
    ids = torch.arange(3, 27).view(2, 12)
    with torch.no_grad():
        output = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    return output.logits if "logits" in output else torch.stack([output.start_logits, output.end_logits])


def step_twice(model: Any) -> None:
    """Two steps of gradient descent on any target."""
    ids = torch.arange(3, 27).view(2, 12)
    rate = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.5)
    for _ in range(2):
        output = model.train()(input_ids=ids, attention_mask=torch.ones_like(ids))
        logits = output.logits if "logits" in output else output.start_logits
        logits[..., 0].sum().backward()
        rate.step()
        rate.zero_grad()


def check_round_trip(config: Config, tmp_path: Path, name: str, kind: Any) -> None:
    """The head is trained, and adapters and head come back from the file; the pretrained weights stay."""
    base, head = made(name, kind), HEADS[name, kind]
    assert head_modules(base) == head
    frozen = {key: value.clone() for key, value in base.state_dict().items()}
    model = with_adapters(base, config(lora_r=2))
    check_head(model, head)
    step_twice(model)
    after = {
        key.replace("base_model.model.", "").replace("base_layer.", ""): v for key, v in model.state_dict().items()
    }
    # Every weight that is neither of the head nor an adapter.
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


def test_heads_are_trained_and_come_back(config: Config, tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name, kind in FAST:
        with subtests.test(architecture=name, kind=kind.__name__):
            check_round_trip(config, tmp_path / name / kind.__name__, name, kind)


@pytest.mark.slow
def test_all_heads_are_trained_and_come_back(config: Config, tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name, kind in HEADS.keys() - set(FAST):
        with subtests.test(architecture=name, kind=kind.__name__):
            check_round_trip(config, tmp_path / name / kind.__name__, name, kind)


def test_peft_alone_trains_no_head_of_xlnet_and_fails_for_distilbert() -> None:
    # If this fails, peft knows the heads, and head_modules may go.
    model = get_peft_model(made("xlnet"), LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", r=2))
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and "lora_" not in name]
    assert names == []
    with pytest.raises(TypeError, match="modules_to_save"):
        get_peft_model(made("distilbert"), LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", r=2))


def test_adapters_pass_every_input(config: Config) -> None:
    ids = torch.arange(3, 27).view(2, 12)
    rows = {"input_ids": ids, "token_type_ids": torch.ones_like(ids), "position_ids": torch.arange(12).flip(0)[None]}
    with torch.no_grad():
        for kind in (CLASSES, TOKENS, ANSWERS):
            # Fresh adapters change nothing.
            expected = made("bert", kind).eval()(**rows)
            output = with_adapters(made("bert", kind), config(lora_r=2)).eval()(**rows)
            torch.testing.assert_close(output[0], expected[0])
        # If this fails, peft passes token types of questions, and its own wrapper may be used.
        upstream = get_peft_model(made("bert", ANSWERS), LoraConfig(task_type="QUESTION_ANS", r=2)).eval()(**rows)
        assert not torch.allclose(upstream[0], expected[0], atol=1e-3)


def test_all_linear_is_the_encoder_without_the_head(config: Config) -> None:
    model = with_adapters(made("bert"), config(lora_r=2))
    names = [name.split(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name]
    layers = {name.split("layer.0.")[-1] for name in names}
    attention = {f"attention.self.{part}" for part in ("query", "key", "value")}
    assert layers == attention | {"attention.output.dense", "intermediate.dense", "output.dense"}
    some = with_adapters(made("bert"), config(lora_r=2, lora_targets=["query", "value"]))
    assert sum(".lora_A" in name for name, _ in some.named_parameters()) == 2


def test_wrong_modules_are_rejected(config: Config) -> None:
    for changes, field in (
        ({"lora_head": ["clasifier"]}, "`lora_head`"),
        # Leaves out a part of the head.
        ({"lora_head": ["classifier"]}, "`lora_head`"),
        ({"lora_head": "bert.pooler"}, "`lora_head`"),
        ({"lora_targets": ["q_proj"]}, "`lora_targets`"),
    ):
        with pytest.raises(ConfigError, match=field):
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
        check_head(model, HEADS["bert", CLASSES])


def test_adapters_that_do_not_fit_are_rejected(config: Config, tmp_path: Path) -> None:
    save_adapted(with_adapters(made("xlnet"), config(lora_r=2)), tmp_path, base="some/encoder", merged=False)
    with pytest.raises(TrainingError, match=r"whose adapters do not fit XLNetForSequenceClassification"):
        load_adapter(made("xlnet", labels=3), tmp_path, trainable=False)
    path = tmp_path / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "logits_proj" not in name}, path)
    with pytest.raises(TrainingError, match="`logits_proj`"):
        load_adapter(made("xlnet"), tmp_path, trainable=False)
    path.unlink()
    with pytest.raises(TrainingError, match=r"which has no adapter_model.safetensors"):
        load_adapter(made("xlnet"), tmp_path, trainable=False)


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


def test_student_with_lora_learns_and_trains_on_from_its_adapters(config: Config, toy: Toy, tmp_path: Path) -> None:
    chosen = config(lora_r=4, learning_rate=1e-2)
    student = train_student(chosen, toy(160), names=NAMES)
    test = toy(40, seed=2)
    expected = student.predict(test).probabilities
    assert np.mean(expected.argmax(axis=1) == np.array(test["label"])) >= 0.95
    student.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    for rank in (0, 4):
        # No step is taken with a rate of 0, so what is loaded is what was saved.
        still = config(model=str(tmp_path / "adapter"), lora_r=rank, learning_rate=0.0, max_steps=1)
        again = train_student(still, toy(20), names=NAMES)
        np.testing.assert_allclose(again.predict(test).probabilities, expected, atol=1e-5)
        assert sum(weight.requires_grad for weight in again.trainer.model.parameters()) == (41 if rank == 0 else 28)
        again.save(tmp_path / f"again-{rank}")
        assert adapter_base(tmp_path / f"again-{rank}") == (None if rank == 0 else chosen.model)


def test_students_load_in_transformers_and_in_peft_alone(config: Config, toy: Toy, tmp_path: Path) -> None:
    for save, loader in (("merged", CLASSES), ("adapter", AutoPeftModelForSequenceClassification)):
        student = train_student(config(lora_r=4, save=save, max_steps=4), toy(40), names=NAMES)
        student.save(tmp_path / save)
        model = loader.from_pretrained(tmp_path / save)
        text = AutoTokenizer.from_pretrained(tmp_path / save)(toy(1)["text"][0], return_tensors="pt")
        with torch.no_grad():
            expected = model.eval()(**text).logits.softmax(-1).numpy()
        np.testing.assert_allclose(student.predict(toy(1)).probabilities, expected, atol=1e-5)
    assert CLASSES.from_pretrained(tmp_path / "merged").config.id2label == {0: "film", 1: "sport"}


SENTENCES = ["the film of an actor", "a goal of the team", "the plot", "a match and a score"] * 3
KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...], Callable[[], Dataset]]] = {
    "multi-label": (
        {"task": "multi-label"},
        ("film", "sport"),
        lambda: Dataset.from_dict({"text": SENTENCES, "label": [["film"], ["sport"], [], ["film", "sport"]] * 3}),
    ),
    "squared error": (
        {"task": "text-scale", "scale": [1, 4]},
        (),
        lambda: Dataset.from_dict({"text": SENTENCES, "label": [1.0, 2.0, 3.0, 4.0] * 3}),
    ),
    "ordinal": (
        {"task": "text-scale", "scale": [1, 4], "scale_loss": "ordinal"},
        (),
        lambda: Dataset.from_dict({"text": SENTENCES, "label": [1.0, 2.0, 3.0, 4.0] * 3}),
    ),
    "entities": ({"task": "token-classification"}, ("film", "sport"), lambda: entity_rows(10)),
    "answers": ({"task": "question-answering", "text_columns": ["question", "context"]}, (), lambda: question_rows(10)),
}


class AtTrainBegin(TrainerCallback):  # type: ignore[misc]
    """The weights when training begins, and which of them are trainable."""

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
    folders: dict[str, str] = {}

    def model(name: str) -> str:
        if name not in folders:
            folder = tmp_path_factory.mktemp(name)
            tokenizer = tiny_tokenizer(folder, chat_template=None)
            tokens = {key: getattr(tokenizer, key) for key in ("pad_token_id", "bos_token_id", "eos_token_id")}
            # XLNet has no positions.
            positions = {key: 160 for key in ARCHITECTURES[name][1] if key == "max_position_embeddings"}
            settings = configuration(name, vocab_size=len(tokenizer), **positions, **tokens)
            set_seed(0)
            AutoModel.from_config(settings).save_pretrained(folder)
            folders[name] = str(folder)
        return folders[name]

    return model


def student_outputs(student: Student) -> dict[str, torch.Tensor]:
    ids = torch.arange(10, 34).view(2, 12)
    with torch.no_grad():
        output = student.trainer.model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    return {name: value for name, value in output.items() if name in ("logits", "start_logits", "end_logits")}


def check_student(config: Config, base: str, folder: Path, kind: str) -> None:
    """The head is trainable before training, moves, and is there after saving and loading."""
    options, names, rows = KINDS[kind]
    chosen = config(**options, model=base, lora_r=2, max_length=128, max_steps=3, learning_rate=1e-2)
    begin = AtTrainBegin()
    student = train_student(chosen, rows(), names=names, callbacks=[begin])
    model = student.trainer.model
    head = head_modules(model.get_base_model())
    assert head
    weights = dict(model.named_parameters())
    for part in head:
        own = {name for name in begin.weights if f"{part}.modules_to_save.default." in f"{name}."}
        assert own
        assert own <= begin.trained
        assert any(not torch.equal(weights[name], begin.weights[name]) for name in own)
    assert all("lora_" in name or "modules_to_save" in name for name in begin.trained)
    student.save(folder / "saved")
    assert adapter_base(folder / "saved") == base
    expected = student_outputs(student)
    for rank in (0, 2):
        still = {"model": str(folder / "saved"), "lora_r": rank, "learning_rate": 0.0, "max_steps": 1}
        again = train_student(config(**options, **still, max_length=128), rows(), names=names)
        for output, value in student_outputs(again).items():
            torch.testing.assert_close(value, expected[output], atol=1e-4, rtol=1e-4)


def check_students(
    config: Config, models: Callable[[str], str], tmp_path: Path, names: Iterable[str], subtests: pytest.Subtests
) -> None:
    for name in names:
        for kind in KINDS:
            with subtests.test(architecture=name, kind=kind):
                check_student(config, models(name), tmp_path / name / kind, kind)


def test_students_of_every_kind_have_a_trained_head(
    config: Config, models: Callable[[str], str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    check_students(config, models, tmp_path, ["bert"], subtests)
    for labels in (1, 2, 5):
        model = CLASSES.from_pretrained(models("bert"), num_labels=labels)
        assert head_modules(model) == ("bert.pooler", "classifier")


@pytest.mark.slow
def test_students_of_every_architecture_have_a_trained_head(
    config: Config, models: Callable[[str], str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    check_students(config, models, tmp_path, [name for name in ARCHITECTURES if name != "bert"], subtests)
