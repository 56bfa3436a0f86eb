"""Tasks: the task-specific parts of a student, from its rows to its predictions."""

from __future__ import annotations

from collections.abc import Sequence

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.tasks.base import Rows, StudentTask
from hf_synthlabels.training.tasks.generation import GenerationTask
from hf_synthlabels.training.tasks.sequence import MultiLabelTask, ScaleTask, SingleLabelTask
from hf_synthlabels.training.tasks.spans import SpanTask
from hf_synthlabels.training.tasks.tokens import TokenTask

__all__ = [
    "WITHOUT_NAMES",
    "Rows",
    "StudentTask",
    "student_task",
]

WITHOUT_NAMES = ("text-scale", "question-answering", "text-generation")
"""Task types without label names."""


def student_task(config: StudentConfig, names: Sequence[str] = ()) -> StudentTask:
    """The task of a config.

    Args:
        config: the options, with `task`.
        names: all label names in the order of the student's outputs, if the task has names; entity types without B-
            and I-.

    Raises:
        ConfigError: the names do not match the task, or the scale is invalid.
    """
    if (config.task in WITHOUT_NAMES) == bool(names):
        has = "has no label names" if names else "needs the names of all labels"
        raise ConfigError(f"`names` is {list(names)!r}, and task {config.task!r} {has}. Correct one of them.")
    match config.task:
        case "multi-label":
            return MultiLabelTask(config, LabelSchema(kind="multi-label", names=tuple(names)))
        case "text-scale":
            assert config.scale is not None
            low, high, *step = map(float, config.scale)
            return ScaleTask(config, LabelSchema(kind="text-scale", scale=Scale(low, high, (*step, 1.0)[0] or None)))
        case "token-classification":
            return TokenTask(config, LabelSchema(kind="token-classification", names=tuple(names)))
        case "question-answering":
            return SpanTask(config, LabelSchema(kind="question-answering"))
        case "text-generation":
            return GenerationTask(config, LabelSchema(kind="text-generation"))
        case "text-pair":
            return SingleLabelTask(config, LabelSchema(kind="text-pair", names=tuple(names)))
        case _:
            return SingleLabelTask(config, LabelSchema(kind="text-classification", names=tuple(names)))
