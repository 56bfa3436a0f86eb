"""Job: one cell that is to be trained, with all that can change its answers; Outcome: what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.clients.local.model_files import folder_fingerprint
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.studies.journal import CellFiles, cell_key
from hf_synthlabels.studies.runs import CellName, CellRun
from hf_synthlabels.studies.sweep.file import Learner

VERSION = 1
"""Version of what a cell does. Cells of another version are trained again."""

LEARNER_VERSIONS: Mapping[str, int] = {"tfidf": 2, "vectors": 2}
"""The same for single learners: 2 fits regressions to convergence."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The texts of a task; labels come with the jobs."""

    pool: Dataset
    test: Dataset
    validation: Dataset | None = None
    """With the column `label`."""
    base: Dataset | None = None
    """Instructions and answers that writers are trained on beside the task."""
    held_out: Dataset | None = None
    """Of the same, to see what is forgotten."""


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
    """Human labels of these rows that the strategy sees beside them; None elsewhere."""
    probs: tuple[Any, ...] | None
    confidence: tuple[float | None, ...] | None
    nominal: int
    """Rows that the size stands for: labelled or not, they decide the steps, so that no source sees more updates."""
    options: Mapping[str, Any]
    """Keys of StudentConfig, and `min_steps`."""
    prompt: str
    """What a student who writes is told to do."""
    evaluate_each_epoch: bool
    threads: int
    place: Path
    """Where the tables are."""
    folder: Path
    """Of the study: its journal is there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell: its answers, or why there are none."""

    key: str
    cell: CellName
    answers: tuple[Any, ...] = ()
    epochs: tuple[tuple[float, tuple[Any, ...]], ...] = ()
    steps: int = 0
    rows: int = 0
    train_s: float = 0.0
    predict_s: float = 0.0
    energy_wh: float | None = None
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
        """Read back what `to_dict` wrote; `cell` names it anew, where two cells are the same training.

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
            energy_wh=self.energy_wh,
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


def open_tables(place: Path) -> Tables:
    """Map the tables of a task."""

    def part(name: str) -> Dataset | None:
        return load_from_disk(str(place / name)) if (place / name).exists() else None

    pool, test = part("pool"), part("test")
    if pool is None or test is None:
        raise FileNotFoundError(str(place))
    return Tables(pool, test, part("validation"), part("base"), part("held_out"))


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((package, metadata.version(package)) for package in ("torch", "transformers", "scikit-learn"))


@cache
def _weights(model: str) -> str | None:
    return folder_fingerprint(model) if model and Path(model).is_dir() else None
