"""How long a cell trains, and its student's options."""

from __future__ import annotations

import math
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.studies.strategies import HUMAN_EPOCHS, MAX_EPOCHS
from hf_synthlabels.studies.sweep.file import known_strategies
from hf_synthlabels.studies.sweep.job import Job

MIN_STEPS = "min_steps"
"""The key of a student in a study file that StudentConfig does not know."""

LABEL, HUMAN = "label", "human"
"""The columns that a student sees."""


def steps_of(job: Job, n_rows: int, n_few: int) -> tuple[int, int]:
    """Optimiser steps of the first part, and of the human rows that come after it.

    Args:
        job: its options say batches, epochs, `max_steps` and `min_steps`.
        n_rows: rows of an epoch.
        n_few: human rows beside them.

    Raises:
        ConfigError: the human rows alone take all steps.
    """
    options = job.options
    batch = int(options.get("per_device_train_batch_size", 16)) * int(options.get("gradient_accumulation_steps", 1))
    per_epoch = math.ceil(n_rows / batch)
    total = int(options.get("max_steps", -1))
    if total < 1:
        total = math.ceil(per_epoch * float(options.get("num_train_epochs", 3)))
        # Few rows are gone through more often, but not for ever.
        total = min(max(total, int(options.get(MIN_STEPS, 0))), max(total, per_epoch * MAX_EPOCHS))
    way = known_strategies()[job.cell.strategy]
    if way is None or way.options.get("human_strategy") != "finetune":
        return total, 0
    later = math.ceil(math.ceil(n_few / batch) * float(way.options.get("human_epochs") or HUMAN_EPOCHS))
    if later >= total:
        raise ConfigError(
            f"`num_train_epochs` gives {total} steps, of which the human rows of {job.cell.strategy!r} alone take "
            f"{later}. Give more epochs, or `min_steps`."
        )
    return total - later, later


def student_options(job: Job, steps: int, scratch: str) -> dict[str, Any]:
    """The keys of StudentConfig of a cell, its strategy's among them."""
    way = known_strategies()[job.cell.strategy]
    options = {name: value for name, value in job.options.items() if name != MIN_STEPS}
    # What is fitted on human labels needs their column; a source that is mixed with them by itself has none.
    own = {} if way is None or (job.few is None and way.labels == "both") else dict(way.options)
    options |= own | {
        "task": job.schema.kind,
        "text_columns": list(job.columns),
        "label_column": LABEL,
        "max_steps": steps,
        "seed": job.cell.seed,
        "output_dir": scratch,
    }
    if job.few is not None:
        options["human_column"] = HUMAN
    if way is not None and way.needs is not None:
        options[f"{way.needs}_column"] = way.needs
    if job.schema.scale is not None:
        scale = job.schema.scale
        options.setdefault("scale", [scale.low, scale.high, scale.step or 0])
    return options
