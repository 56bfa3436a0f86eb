"""Job and outcome of one cell, with its training steps and student options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.clients.local.model_files import folder_fingerprint
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.studies.config_sections import Learner
from hf_synthlabels.studies.runs import CellName, CellRun
from hf_synthlabels.studies.strategies import HUMAN_EPOCHS, MAX_EPOCHS, known_strategies
from hf_synthlabels.studies.students.journal import CellFiles, cell_key

VERSION = 1
"""Version of what a cell does. Cells of another version are trained again."""

LEARNER_VERSIONS: Mapping[str, int] = {"tfidf": 2, "vectors": 2}
"""The same for single learners: 2 fits regressions to convergence."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cell, ready to be trained by any process that has the tables."""

    key: str
    cell: CellName
    schema: LabelSchema
    learner: Learner
    form: RowForm
    """How a row is shown to a student who writes."""
    columns: tuple[str, ...]
    """The text columns, in the student's order."""
    rows: tuple[int, ...]
    """Of the pool, ascending: those that the cell may train on."""
    labels: tuple[Any, ...]
    """Of each of these rows, as `values` says; None where the source has none."""
    few: tuple[Any, ...] | None
    """Human labels of these rows that the strategy sees; None elsewhere."""
    probs: tuple[Any, ...] | None
    confidence: tuple[float | None, ...] | None
    nominal: int
    """Rows of the size, labeled or not: they determine the steps, so that no source gets more updates."""
    options: Mapping[str, Any]
    """Keys of StudentConfig, and `min_steps`."""
    prompt: str
    """Instruction of a generative student."""
    evaluate_each_epoch: bool
    threads: int
    place: Path
    """Where the tables are."""
    folder: Path
    """Of the study: its journal is there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a cell: its predictions, or why it failed."""

    key: str
    cell: CellName
    answers: tuple[Any, ...] = ()
    epochs: tuple[tuple[float, tuple[Any, ...]], ...] = ()
    steps: int = 0
    rows: int = 0
    train_s: float = 0.0
    predict_s: float = 0.0
    base_score: float | None = None
    """Mean token F1 on the held-out rows of the base mix."""
    failed: str | None = None
    wall_s: float = 0.0
    """Of the whole cell, loading included, as it was; what it saved by an earlier cell's work is not in it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], cell: CellName | None = None) -> Outcome:
        """Read back what `to_dict` wrote; `cell` renames it where two cells are the same training.

        Raises:
            KeyError: a part is missing.
            TypeError: a part is of another form.
        """
        name = CellName(**content["cell"]) if cell is None else cell
        epochs = tuple((float(epoch), tuple(answers)) for epoch, answers in content["epochs"])
        return cls(**{**content, "cell": name, "answers": tuple(content["answers"]), "epochs": epochs})

    def run(self, forgetting: Mapping[str, float] | None = None) -> CellRun:
        """The outcome as the questions of a report want it."""
        return CellRun(
            cell=self.cell,
            answers=self.answers,
            epochs=self.epochs,
            steps=self.steps,
            rows=self.rows,
            train_s=self.train_s,
            predict_s=self.predict_s,
            forgetting=forgetting,
        )


def job_key(content: Mapping[str, Any], tables: str, options: Mapping[str, Any]) -> str:
    """A hash of all that can change what a cell answers.

    Args:
        content: rows, labels, kind, strategy.
        tables: the fingerprint of the texts that are not trained on.
        options: of the student; a model's folder counts by what is in it.
    """
    return cell_key(
        {
            "version": VERSION,
            "learner_version": LEARNER_VERSIONS.get(str(content.get("learner")), 1),
            "content": content,
            "tables": tables,
            "options": options,
            "model": _weights(str(options.get("model") or options.get("features") or "")),
            "versions": _versions(),
        }
    )


def known_outcome(journal: CellFiles, job: Job) -> Outcome | None:
    """What the journal has of a job; None where that is nothing, spoilt, or of another version."""
    content = journal.read(job.key)
    try:
        return None if content is None else Outcome.from_dict(content, job.cell)
    except (KeyError, TypeError):
        return None


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((package, metadata.version(package)) for package in ("torch", "transformers", "scikit-learn"))


@cache
def _weights(model: str) -> str | None:
    return folder_fingerprint(model) if model and Path(model).is_dir() else None


MIN_STEPS = "min_steps"
"""The key of a student in a study file that StudentConfig does not know."""

LABEL, HUMAN = "label", "human"
"""The columns that a student sees."""


def training_steps(job: Job, n_rows: int, n_few: int) -> tuple[int, int]:
    """Optimiser steps of the first part, and of the human rows that come after it.

    Args:
        job: its options say batches, epochs, `max_steps` and `min_steps`.
        n_rows: rows of an epoch.
        n_few: additional human rows.

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
    if way.on_top:
        return total, later
    if later >= total:
        raise ConfigError(
            f"`num_train_epochs` gives {total} steps, but the human rows of {job.cell.strategy!r} need {later}: raise "
            "it, or `min_steps`."
        )
    return total - later, later


def student_options(job: Job, steps: int, scratch: str) -> dict[str, Any]:
    """The keys of StudentConfig of a cell, its strategy's among them."""
    way = known_strategies()[job.cell.strategy]
    options = {name: value for name, value in job.options.items() if name != MIN_STEPS}
    # What is fitted on human labels needs their column; a source that is mixed with them by itself has none.
    own = {} if way is None or (job.few is None and way.uses_human) else dict(way.options)
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
