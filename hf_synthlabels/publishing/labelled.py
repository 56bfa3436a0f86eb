"""Labelled data, wherever it is: a recipe's data set, or a file that was written before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation import load, provenance, read_recipe
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, LabelSchema, Scale
from hf_synthlabels.publishing.tables import read_table

__all__ = ["Labelled", "annotation_summary", "open_labelled", "scale_schema"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows with label columns, and how these are called."""

    rows: Any
    human: str = "label"
    llm: str = "llm_label"
    schema: LabelSchema | None = None
    """Kind, names and scale where a recipe gives them; else they are read off the columns."""
    tokens: str | None = None
    """The column of token lists, where a recipe names one."""


def open_labelled(data: str, split: str | None = None) -> Labelled:
    """Open a recipe's data set, or a labelled file or folder, and take one split of it.

    Raises:
        SynthLabelsError: it can not be read, or has several splits and none is chosen.
    """
    path = Path(data)
    if path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix):
        recipe = read_recipe(data)
        rows = _one_split(load(data), split)
        return Labelled(
            rows, recipe.task.human or "label", recipe.output.column, recipe.schema_of_labels(), recipe.task.tokens
        )
    return Labelled(_one_split(read_table(path), split))


def scale_schema(text: str) -> LabelSchema:
    """The schema of numbers from a low to a high end, as `1:5`, or with a step as `0:1:0.1`; by default that is 1.

    Raises:
        ConfigError: the text has another form, or the scale can not be used.
    """
    parts = text.split(":")
    try:
        low, high, *step = (float(part) for part in parts)
        scale = Scale(low, high, *step[:1]) if len(step) < 2 else None
    except ConfigError:
        raise
    except ValueError:
        scale = None
    if scale is None:
        raise ConfigError(
            f"`scale` is {text!r}: give the low and the high end, and a step if it is not 1, as '0:1:0.1'."
        )
    return LabelSchema(kind="text-scale", scale=scale)


def annotation_summary(splits: Any) -> str:
    """What annotation has come to: rows by status for each split, requests, tokens and cost."""
    record = provenance(splits)[-1]
    column = f"{record['column']}_status"
    lines = []
    for name, rows in splits.items():
        counts = Counter(rows[column])
        parts = [f"{STATUSES[code]} {count:,}" for code, count in sorted(counts.items())]
        lines.append(f"{name}: {len(rows):,} rows, {', '.join(parts)}")
    tally, cost = record["tally"], record["cost_usd"]
    lines.append(
        f"answers: {tally['requests']:,} asked for, {tally['stored']:,} from the store; "
        f"tokens: {tally['prompt_tokens']:,} in, {tally['completion_tokens']:,} out; "
        f"cost: {'unknown (no `teacher.price`)' if cost is None else f'{cost:.4f} USD'}"
    )
    lines += [f"{count:,} rows failed with: {cause}" for cause, count in tally["failures"].items()]
    return "\n".join(lines)


def _one_split(splits: Any, split: str | None) -> Any:
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    if split not in splits:
        raise DataError(f"`split` is {split!r}. Choose one of: {', '.join(splits)}.")
    return splits[split]
