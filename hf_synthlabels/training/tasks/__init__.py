"""Tasks: the task-specific parts of a student, from its rows to its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Kind, LabelSchema, Scale
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.label_names import WITHOUT_NAMES
from hf_synthlabels.training.data.variable_heads import variable_heads
from hf_synthlabels.training.tasks.base import StudentTask
from hf_synthlabels.training.tasks.generation import GenerationTask
from hf_synthlabels.training.tasks.multi_head import MultiHeadTask
from hf_synthlabels.training.tasks.scale import ScaleTask
from hf_synthlabels.training.tasks.sequence import MultiLabelTask, SingleLabelTask
from hf_synthlabels.training.tasks.spans import SpanTask
from hf_synthlabels.training.tasks.tokens import TokenTask

__all__ = ["StudentTask", "student_task"]

TASKS: dict[str, Any] = {
    "text-classification": SingleLabelTask,
    "text-pair": SingleLabelTask,
    "multi-label": MultiLabelTask,
    "text-scale": ScaleTask,
    "token-classification": TokenTask,
    "question-answering": SpanTask,
    "text-generation": GenerationTask,
}


def student_task(config: StudentConfig, names: Sequence[str] = ()) -> StudentTask:
    """The task of a config.

    Args:
        config: the options, with `task`.
        names: all label names in the order of the student's outputs, if the task has names; entity types without B-
            and I-. The names of a multi-head student are in `config.heads`.

    Raises:
        ConfigError: the names do not match the task, or the scale is invalid.
    """
    if isinstance(config.heads, dict):
        return MultiHeadTask(config, variable_heads(config.heads))
    if (config.task in WITHOUT_NAMES) == bool(names):
        has = "has no label names" if names else "needs the names of all labels"
        raise ConfigError(f"`names` is {list(names)!r}, and task {config.task!r} {has}. Correct one of them.")
    scale = None
    if config.scale is not None:
        low, high, *step = map(float, config.scale)
        scale = Scale(low, high, (*step, 1.0)[0] or None)
    schema = LabelSchema(kind=cast("Kind", config.task), names=tuple(names), scale=scale)
    task: StudentTask = TASKS[config.task](config, schema)
    return task
