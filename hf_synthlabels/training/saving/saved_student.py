"""A saved student: weights, tokenizer, and student.json, which says how to use them and what they were made from."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hf_synthlabels.clients.local.model_files import HUB_ENCODER, PACKAGED_ENCODER, model_path
from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.tables import write_text
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.lora import adapted_base, save_adapted
from hf_synthlabels.training.saving.atomic_replace import exchanged

STUDENT_FILE = "student.json"

SETTINGS = (
    *("task", "text_columns", "max_length", "label_column", "scale", "scale_loss", "threshold", "doc_stride"),
    *("max_answer_length", "n_best", "null_answers", "max_new_tokens"),
)
"""Options that decide how texts become predictions."""


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
    """Write a student and its tokenizer into a folder, all weights or with LoRA what `save` says.

    What an earlier student left there is exchanged only when all is written.

    Args:
        model: the student's model.
        tokenizer: the student's tokenizer.
        folder: where to.
        config: which model adapters belong to, and what of them is saved.
        weights: all of a model without adapters that holds only a part of them.

    Raises:
        TrainingError: the head did not reach the file, the folder cannot be written, or it is that of the model which
            the adapters need.
    """
    adapters = hasattr(model, "peft_config") and config.save != "merged"
    name = config.model or ""
    if hasattr(model, "peft_config"):
        name = adapted_base(model_path(name)) or name or model.get_base_model().config.name_or_path
        # peft looks names up on the Hub, where the packaged encoder has another one.
        name = HUB_ENCODER if name == PACKAGED_ENCODER else name
        # A folder is found from anywhere, a Hub id and the packaged encoder are names already.
        name = str(Path(name).resolve()) if Path(name).is_dir() else name
    if adapters and Path(name) == Path(folder).resolve():
        raise TrainingError(
            f"the student cannot be saved as an adapter to {str(folder)!r}, which holds the model that it adapts. "
            "Give another folder, or `save: merged`."
        )
    with exchanged(folder) as new:
        if hasattr(model, "peft_config"):
            save_adapted(model, new, base=name, merged=not adapters)
        else:
            model.save_pretrained(new, state_dict=weights)
        _limited(tokenizer, config).save_pretrained(new)


def _limited(tokenizer: Any, config: StudentConfig) -> Any:
    """The tokenizer with the length that the student was trained on, which pipelines cut texts at."""
    if config.task == "text-generation":
        return tokenizer
    limited = copy.copy(tokenizer)
    limited.model_max_length = config.max_length
    return limited


def update_student(folder: str | Path, **facts: Any) -> Path:
    """Write facts into the student.json of a folder; others that are there stay. An interruption changes nothing."""
    file = Path(folder) / STUDENT_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return write_text(file, json.dumps(known | facts, indent=1, ensure_ascii=False) + "\n")


def settings_of(config: StudentConfig, names: Sequence[str], metrics: Mapping[str, float]) -> dict[str, Any]:
    """What `read_student` reads; a metric that is undefined is left out, for JSON has no NaN."""
    known = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return {**{key: getattr(config, key) for key in SETTINGS}, "names": list(names), "metrics": known}


def read_student(folder: str | Path) -> SavedStudent:
    """The student.json of a folder.

    Raises:
        TrainingError: there is none, or it does not say what kind of student it is.
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
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"`student` {str(folder)!r} has a {STUDENT_FILE} that cannot be used ({reason}). Save the student again."
        ) from None


def student_folder(name: str | Path) -> Path:
    """The folder of a student: a folder of this machine, or a Hub repository, which is downloaded.

    Raises:
        ConfigError: it is neither.
        TrainingError: the Hub cannot be reached, or has no such student.
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise TrainingError(
            f"`student` {str(name)!r} is not a folder and could not be downloaded ({reason}). Give the folder of a "
            "saved student, or a Hub id that can be reached."
        ) from None
