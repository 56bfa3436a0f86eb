"""Export of a student to ONNX, for servers without PyTorch."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_synthlabels.errors import ConfigError, TrainingError, first_line, import_extra
from hf_synthlabels.training.saving.saved_student import STUDENT_FILE, student_settings, update_student
from hf_synthlabels.training.student import Student

OPSET = 17
TOLERANCE = 1e-3
"""Maximum difference of the outputs from PyTorch's."""


@dataclass(frozen=True, slots=True)
class OnnxExport:
    """An exported student."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float
    """Largest difference of the outputs from PyTorch's, also for texts of other lengths than in the export."""


class _Plain(nn.Module):
    """The model with positional inputs and a tuple of outputs, as the exporter requires."""

    def __init__(self, model: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(outputs[name] for name in self.outputs)


def export_onnx(student: Student, folder: str | Path) -> OnnxExport:
    """Write `model.onnx`, tokenizer, config.json and student.json; batch size and length are dynamic.

    Raises:
        ConfigError: the student generates text.
        TrainingError: the model cannot be exported, or the outputs of the export differ.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    onnxruntime = import_extra("onnxruntime", "onnx")
    import_extra("onnx", "onnx")
    if student.config.task == "text-generation":
        raise ConfigError("`task` is 'text-generation', which has no ONNX export here. Use optimum for such a model.")
    tokenizer: Any = student.trainer.processing_class
    model = student.trainer.accelerator.unwrap_model(student.trainer.model).to("cpu").float().eval()
    # Texts of two lengths, with padding.
    texts = [["a short text", "a"], ["another text that has some more words in it", "b c d"]]
    pair = len(student.config.text_columns) == 2
    first, other = (_tokens(tokenizer, part, student.config.max_length, pair=pair) for part in texts)
    outputs = ("start_logits", "end_logits") if student.config.task == "question-answering" else ("logits",)
    # The exporter restores the mode of the model.
    plain = _Plain(model, tuple(first), outputs).eval()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    per_token = student.config.task in ("question-answering", "token-classification")
    axes = {name: {0: "rows", 1: "tokens"} for name in plain.inputs}
    axes |= {name: {0: "rows", 1: "tokens"} if per_token else {0: "rows"} for name in outputs}
    _write_model(plain, first, path, axes)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = max(_difference(session, plain, batch) for batch in (first, other))
    if not difference <= TOLERANCE:
        path.unlink()
        raise TrainingError(f"`student` {type(model).__name__} has different outputs in ONNX (by {difference:.1g}).")
    tokenizer.save_pretrained(folder)
    model.config.save_pretrained(folder)
    _write_student_file(student, folder)
    return OnnxExport(path, plain.inputs, outputs, difference)


def _write_model(plain: _Plain, batch: dict[str, torch.Tensor], path: Path, axes: dict[str, dict[int, str]]) -> None:
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                plain,
                tuple(batch.values()),
                str(path),
                input_names=list(plain.inputs),
                output_names=list(plain.outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        raise TrainingError(
            f"`student` {type(plain.model).__name__} cannot be exported to ONNX ({first_line(error)})."
        ) from error


def _tokens(tokenizer: Any, texts: list[str], length: int, *, pair: bool) -> dict[str, torch.Tensor]:
    inputs = (texts, texts) if pair else (texts,)
    return dict(tokenizer(*inputs, padding=True, truncation=True, max_length=length, return_tensors="pt"))


def _difference(session: Any, plain: nn.Module, batch: dict[str, torch.Tensor]) -> float:
    known = {item.name for item in session.get_inputs()}
    outputs = session.run(None, {name: value.numpy() for name, value in batch.items() if name in known})
    with torch.no_grad():
        expected = plain(*batch.values())
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(outputs, expected, strict=True))


def _write_student_file(student: Student, folder: Path) -> None:
    source = Path(str(student.config.model)) / STUDENT_FILE
    if source.is_file():
        shutil.copy(source, folder / STUDENT_FILE)
        return
    update_student(folder, **student_settings(student.config, student.names, student.metrics))
