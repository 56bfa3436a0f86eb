"""The rows of a training with label names and provenance, and lines that describe them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from hf_synthlabels.statistics.validation.dataset_columns import column_feature
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.config import StudentConfig

MAX_CLASSES = 12
"""Maximum number of classes to list."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Training rows, test rows, and the label names."""

    train: Dataset
    test: Dataset | None
    names: tuple[str, ...]
    records: list[dict[str, Any]] = field(default_factory=list)
    """Provenance of the label columns, if known."""

    def is_llm(self, column: str) -> bool:
        """Whether a label column is from an LLM."""
        return column in annotation_columns(self.train.column_names) or any(
            record.get("column") == column for record in self.records
        )

    @property
    def human_columns(self) -> list[str]:
        """Columns with human labels that the recipe named."""
        known = (record.get("human") for record in self.records)
        return [str(name) for name in dict.fromkeys(known) if name in self.train.column_names]


def training_lines(config: StudentConfig, rows: TrainingData) -> Iterator[str]:
    """Lines about the label columns, the training rows and the classes."""
    held_out = "" if rows.test is None else f"; {len(rows.test):,} rows held out"
    if isinstance(config.heads, dict):
        yield f"{len(config.heads)} variables, one head each: {len(rows.train):,} rows{held_out}"
        for name, head in config.heads.items():
            yield _count_line(rows.train, name, llm=rows.is_llm(name), human=head["human"])
            yield from _class_lines(rows.train, name, tuple(head["names"]))
        return
    column, learned = config.label_column, (config.label_column, config.human_column)
    human = config.human_column if config.human_strategy == "mix" else None
    yield f"{_count_line(rows.train, column, llm=rows.is_llm(column), human=human)}{held_out}"
    yield from _class_lines(rows.train, column, rows.names)
    for other in rows.human_columns:
        if other not in learned:
            yield f"`{other}` also contains labels. To train on it, add --label {other}"


def _count_line(rows: Dataset, column: str, *, llm: bool, human: str | None = None) -> str:
    """The source and the number of labels in a column; human labels replace those of the LLM."""
    values = rows[column][:]
    labeled = [row for row, value in enumerate(values) if value is not None]
    humans = [] if human is None else [row for row, value in enumerate(rows[human][:]) if value is not None]
    without = len(values) - len({*labeled, *humans})
    left_out = f", {without:,} without a label left out" if without else ""
    replaced = "" if human is None else f", {len(humans):,} of them human from `{human}`"
    source = "LLM labels" if llm else "labels"
    return f"{source} in `{column}`: {len({*labeled, *humans}):,} training rows{replaced}{left_out}"


def _class_lines(rows: Dataset, column: str, names: tuple[str, ...]) -> Iterator[str]:
    """The number of rows of each class in a column; none for a task without label names."""
    counts = _counts(rows, column, names)
    if counts:
        shown = [f"{name} {count:,}" for name, count in counts.most_common(MAX_CLASSES)]
        more = f", and {len(counts) - MAX_CLASSES:,} more" if len(counts) > MAX_CLASSES else ""
        yield f"classes: {', '.join(shown)}{more}"


def _counts(rows: Dataset, column: str, names: tuple[str, ...]) -> Counter[str]:
    if not names:
        return Counter()
    codes = getattr(column_feature(rows, column), "names", None) or names
    values: list[Any] = [value for value in rows[column][:] if value is not None]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    named = [codes[item] if isinstance(item, int) and 0 <= item < len(codes) else item for item in flat]
    return Counter(str(item["label"] if isinstance(item, dict) else item) for item in named)
