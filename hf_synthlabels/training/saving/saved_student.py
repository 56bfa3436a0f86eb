"""Saved students: weights, tokenizer, and student.json with the settings and metrics; and their atomic writing."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor
from transformers import Trainer

from hf_synthlabels.clients.local.model_files import HUB_ENCODER, PACKAGED_ENCODER, model_path
from hf_synthlabels.errors import ConfigError, TrainingError, first_line
from hf_synthlabels.tables import write_text
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.lora import adapter_base, save_adapted

UNFINISHED = ".unfinished"
WEIGHT_FILES = ("adapter_config.json", "adapter_model.*", "model*.safetensors", "model.safetensors.index.json")
"""Files that define the weights of a folder; none of an earlier student may remain."""

STUDENT_FILE = "student.json"

SETTINGS = (
    *("task", "text_columns", "max_length", "label_column", "scale", "scale_loss", "threshold", "doc_stride", "heads"),
    *("max_answer_length", "null_answers", "max_new_tokens"),
)
"""Options that determine the predictions."""


@dataclass(frozen=True, slots=True)
class SavedStudent:
    """The content of a student.json."""

    settings: Mapping[str, Any]
    """Options of StudentConfig, `task` among them."""
    names: tuple[str, ...]
    metrics: Mapping[str, float]


def save_student(
    model: Any,
    tokenizer: Any,
    folder: str | Path,
    config: StudentConfig,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a student and its tokenizer into a folder; an earlier student there is replaced only at the end.

    Args:
        model: the student's model.
        tokenizer: the student's tokenizer.
        folder: the output folder.
        config: names the base model of adapters, and says whether they are merged.
        weights: the gathered weights of a sharded model without adapters.

    Raises:
        TrainingError: the head is missing in the file, the folder cannot be written, or it is the folder of the base
            model of the adapters.
    """
    adapters = hasattr(model, "peft_config") and config.save != "merged"
    name = config.model or ""
    if hasattr(model, "peft_config"):
        name = adapter_base(model_path(name)) or name or model.get_base_model().config.name_or_path
        # peft looks names up on the Hub, where the packaged encoder has a different name.
        name = HUB_ENCODER if name == PACKAGED_ENCODER else name
        # An absolute path works from any folder; Hub ids and the packaged encoder are names already.
        name = str(Path(name).resolve()) if Path(name).is_dir() else name
    if adapters and Path(name) == Path(folder).resolve():
        raise TrainingError(
            f"`folder` is {str(folder)!r}, which contains the adapter's base model: choose another folder, or set "
            "`save: merged`."
        )
    with atomic_folder(folder) as new:
        if hasattr(model, "peft_config"):
            save_adapted(model, new, base=name, merged=not adapters)
        else:
            model.save_pretrained(new, state_dict=weights)
        _with_max_length(tokenizer, config).save_pretrained(new)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder whose files then replace those in `folder`, the weights last.

    Other files in `folder`, such as checkpoints, stay. An interruption before the replacement changes nothing.

    Raises:
        TrainingError: the files could not be written.
    """
    folder = Path(folder)
    new = folder / UNFINISHED
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        files = [path.relative_to(new) for path in new.rglob("*") if path.is_file()]
        weights = {path for pattern in WEIGHT_FILES for path in files if path.match(pattern) and len(path.parts) == 1}
        for path in (*(path for path in files if path not in weights), *sorted(weights)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(new / path, folder / path)
        for pattern in WEIGHT_FILES:
            for path in folder.glob(pattern):
                if path.relative_to(folder) not in weights:
                    path.unlink()
        shutil.rmtree(new, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise TrainingError(
            f"the student could not be written to {str(folder)!r} ({first_line(error)}). Free disk space, or give "
            "another folder; its earlier content is unchanged."
        ) from error


def gather_weights(trainer: Trainer) -> dict[str, Any] | None:
    """All weights of a sharded model (FSDP, DeepSpeed ZeRO-3) on the main process; None for an unsharded model.

    Every process must call it at the same time.

    Raises:
        TrainingError: the model has adapters, which cannot be gathered.
    """
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return None
    if hasattr(trainer.model, "peft_config"):
        raise TrainingError(
            "`lora_r` with sharded weights cannot be saved. Launch with configs/accelerate/ddp.yaml: with adapters "
            "every GPU has the frozen weights anyway."
        )
    if not trainer.accelerator.is_fsdp2:
        gathered: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return gathered
    weights = {}
    for name, part in trainer.model.state_dict().items():
        # One weight at a time: only the main process has memory for all.
        full = (part.full_tensor() if hasattr(part, "full_tensor") else part).detach()
        if trainer.is_world_process_zero():
            weights[name] = full.cpu().clone()
    return weights


def _with_max_length(tokenizer: Any, config: StudentConfig) -> Any:
    """The tokenizer with the maximum length of the student, at which pipelines truncate texts."""
    if config.task == "text-generation":
        return tokenizer
    limited = copy.copy(tokenizer)
    limited.model_max_length = config.max_length
    return limited


def update_student(folder: str | Path, **entries: Any) -> Path:
    """Add entries to the student.json of a folder atomically; other entries stay."""
    file = Path(folder) / STUDENT_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return write_text(file, json.dumps(known | entries, indent=1, ensure_ascii=False) + "\n")


def student_settings(config: StudentConfig, names: Sequence[str], metrics: Mapping[str, float]) -> dict[str, Any]:
    """The entries that `read_student` reads; undefined metrics are left out, because JSON has no NaN."""
    known = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return {**{key: getattr(config, key) for key in SETTINGS}, "names": list(names), "metrics": known}


def read_student(folder: str | Path) -> SavedStudent:
    """The student.json of a folder.

    Raises:
        TrainingError: the file is missing or invalid.
    """
    file = Path(folder) / STUDENT_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        settings = {key: content[key] for key in SETTINGS if key in content}
        if "task" not in settings:
            raise KeyError("task")
        return SavedStudent(settings, tuple(content.get("names") or ()), dict(content.get("metrics") or {}))
    except FileNotFoundError:
        raise TrainingError(
            f"`student` {str(folder)!r} has no {STUDENT_FILE}. Give a folder that `hf-synthlabels train` or "
            "Student.save wrote."
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TrainingError(
            f"`student` {str(folder)!r} has a {STUDENT_FILE} that cannot be used ({first_line(error)}). Save it again."
        ) from None


def student_folder(name: str | Path) -> Path:
    """The folder of a student: a local folder, or a Hub repository, which is downloaded.

    Raises:
        ConfigError: the name is neither.
        TrainingError: the download failed.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if str(name).count("/") != 1 or folder.is_absolute():
        raise ConfigError(f"`student` {str(name)!r} is not a folder. Give the folder of a saved student, or a Hub id.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), ignore_patterns=["checkpoint-*", "*.onnx"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError, ValueError) as error:
        raise TrainingError(
            f"`student` {str(name)!r} is not a folder and could not be downloaded ({first_line(error)}). Give the "
            "folder of a saved student, or a Hub id that can be reached."
        ) from None
