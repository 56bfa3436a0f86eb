"""Labelled data, wherever it is: a recipe's data set, or a file that was written before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation import RunStats, load, load_source, provenance, read_recipe
from hf_synthlabels.clients.protocol.truncation import truncation_warning
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, LabelSchema, Scale
from hf_synthlabels.tables import ReadOptions, read_table

SHOWN_REASONS = 3
"""Reasons for missing labels in a summary."""


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


def open_labelled(data: str, split: str | None = None, options: ReadOptions | None = None) -> Labelled:
    """Open a recipe's data set, or a labelled file or folder, and take one split of it.

    Args:
        data: a labelled file or folder, a recipe file, or a packaged recipe's name.
        split: the split, where there are several.
        options: how a file of text is read; by default its columns `label` and `llm_label` are labels.

    Raises:
        SynthLabelsError: it can not be read, or has several splits and none is chosen.
    """
    path = Path(data)
    if path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix):
        recipe = read_recipe(data)
        if split is None:
            # Before anything is asked, and paid for.
            _one_split(load_source(recipe), split)
        rows = load(data, split=split) if split is not None else _one_split(load(data), split)
        return Labelled(
            rows, recipe.task.human or "label", recipe.output.column, recipe.schema_of_labels(), recipe.task.tokens
        )
    return Labelled(_one_split(read_table(path, options or label_options()), split))


def label_options(
    human: str | None = None,
    llm: str | None = None,
    *more: str | None,
    numbers: bool = False,
    encoding: str | None = None,
    separator: str | None = None,
) -> ReadOptions:
    """How a labelled file is read: the columns of labels and texts stay as they are written.

    Args:
        human: the column of human labels; `label`, unless given.
        llm: the column of LLM labels; `llm_label`, unless given.
        *more: further columns of labels or texts.
        numbers: whether labels are numbers, as those of a scale are.
        encoding: of the file; detected, unless given.
        separator: between its cells; detected, unless given.
    """
    columns = (human or "label", llm or "llm_label", *(column for column in more if column))
    return ReadOptions(columns, numbers=numbers, encoding=encoding, separator=separator)


def scale_schema(text: str) -> LabelSchema:
    """The schema of numbers from a low to a high end: `1:5` in steps of 1, `0:1:0.1`, or `0:100:any` for any number.

    Raises:
        ConfigError: the text has another form, or the scale can not be used.
    """
    parts = text.split(":")
    try:
        low, high, *step = (None if part == "any" else float(part) for part in parts)
        scale = None if low is None or high is None or len(step) > 1 else Scale(low, high, *step)
    except ConfigError:
        raise
    except ValueError:
        scale = None
    if scale is None:
        raise ConfigError(
            f"`scale` is {text!r}: give the low and the high end, and a step if it is not 1, as '0:1:0.1'."
        )
    return LabelSchema(kind="text-scale", scale=scale)


def annotation_summary(splits: Any, *, began: datetime | None = None) -> str:
    """What annotation has come to: rows by status for each split, requests, tokens and cost.

    Args:
        splits: the labelled rows, by split.
        began: when this run began; labels that were made before it cost nothing now.
    """
    record = provenance(splits)[-1]
    column = f"{record['column']}_status"
    lines = []
    for name, rows in splits.items():
        counts = Counter(rows[column])
        parts = [f"{STATUSES[code]} {count:,}" for code, count in sorted(counts.items())]
        lines.append(f"{name}: {len(rows):,} rows, {', '.join(parts)}")
    if began is not None and datetime.fromisoformat(record["finished_at"]) < began.replace(microsecond=0):
        lines.append(f"nothing was asked now; the labels were made by a run that ended at {record['finished_at']}:")
    lines += _costs(record)
    return "\n".join(lines)


def has_labels(*records: Mapping[str, Any]) -> bool:
    """Whether some row has a label or the annotator abstained; without either, nothing was labelled."""
    statuses = [record["tally"]["statuses"] for record in records]
    return any(counts.get(status) for counts in statuses for status in ("labelled", "abstained"))


def missing_reasons(rows: Any, column: str) -> list[str]:
    """The most frequent reasons why rows have no label, a line each; none without a column of reasons."""
    names = (f"{column}_status", f"{column}_note")
    if not set(names) <= set(rows.column_names):
        return []
    tally = RunStats()
    for status, reason in zip(*(rows[name][:] for name in names), strict=True):
        named = STATUSES[status] if isinstance(status, int) and 0 <= status < len(STATUSES) else status
        if named not in ("labelled", None):
            tally.count_reason(str(named), reason or "no reason is recorded")
    return [f"{count:,} rows {reason}" for reason, count in tally.reasons.most_common(SHOWN_REASONS)]


def record_summary(record: Mapping[str, Any]) -> str:
    """What one split's annotation has come to, from its provenance alone."""
    statuses = record["tally"]["statuses"]
    counts = ", ".join(f"{status} {statuses[status]:,}" for status in STATUSES if status in statuses)
    return "\n".join([f"{record['tally']['rows']:,} rows, {counts}", *_costs(record)])


def _costs(record: Mapping[str, Any]) -> list[str]:
    tally, cost = record["tally"], record["cost_usd"]
    spent = (
        f"answers: {tally['requests']:,} asked for, {tally['stored']:,} from the store; "
        f"tokens: {tally['prompt_tokens']:,} in, {tally['completion_tokens']:,} out; "
        f"cost: {'unknown (no list price of the model; give `annotator.price`)' if cost is None else f'{cost:.4f} USD'}"
    )
    warning = truncation_warning(tally.get("truncated_prompts", {}))
    failures = (f"{count:,} rows failed with: {cause}" for cause, count in tally["failures"].items())
    return [spent, *failures, *([warning] if warning else []), *_reasons(tally)]


def _reasons(tally: Mapping[str, Any]) -> list[str]:
    """How many rows have no label, and the most frequent reasons."""
    reasons = sorted(tally.get("reasons", {}).items(), key=lambda item: (-item[1], item[0]))
    missing = tally["rows"] - tally["statuses"].get("labelled", 0)
    if not reasons or not missing:
        return []
    return [
        f"{missing:,} of {tally['rows']:,} rows have no label; the most frequent reasons:",
        *(f"  {count:,} {reason}" for reason, count in reasons[:SHOWN_REASONS]),
    ]


def _one_split(splits: Any, split: str | None) -> Any:
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    if split not in splits:
        names = ", ".join(splits)
        if split is None:
            raise DataError(f"`data` has several splits: {names}. Choose one with `--split` (in Python `split`).")
        raise DataError(f"`split` is {split!r}. Choose one of: {names}.")
    return splits[split]
