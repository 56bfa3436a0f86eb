"""The index of a study's journal: which file a cell is in, by what the study file says of it.

A cell's own key needs its labels, and a plan asks no annotator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from hf_synthlabels.studies.journal import cell_key
from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.sweep.file import SourceKeys
from hf_synthlabels.studies.sweep.task import StudyTask

INDEX = "cells.json"


def named_in_file(task: StudyTask, cell: CellName) -> str:
    """A hash of all that a study file says of a cell: other sources and sizes of the study are no part of it."""
    study, keys = task.study, task.study.tasks[task.name]
    sources = study.sources_of(task.name)
    return cell_key(
        {
            "cell": asdict(cell),
            "sources": {name: sources[name].model_dump(mode="json") for name in sorted(_made_of(cell.source, sources))},
            "prompt": study.prompts.get(cell.prompt),
            "student": study.students[cell.student],
            "max_length": keys.max_length,
            "recipe": task.recipe.fingerprint(),
            "texts": task.texts(cell),
            "evaluate_each_epoch": study.evaluate_each_epoch,
            "threads": study.threads,
        }
    )


def read_index(folder: Path) -> dict[str, str]:
    """By what the study file says of a cell the key of its file; nothing where there is none."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def keep_index(folder: Path, index: Mapping[str, str]) -> None:
    """Add cells to the index, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{INDEX}"
    scratch.write_text(json.dumps({**read_index(folder), **index}), encoding="utf-8")
    scratch.replace(folder / INDEX)


def _made_of(source: str, sources: Mapping[str, SourceKeys]) -> set[str]:
    parts: Iterable[str] = sources[source].parts
    return {source}.union(*(_made_of(part, sources) for part in parts))
