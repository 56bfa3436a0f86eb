"""Opening labeled data from files or recipes, and summaries of annotation runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation import Codebook, RunStats, load, load_source, provenance
from hf_synthlabels.annotation.compiler import read_codebook
from hf_synthlabels.annotation.run.escalation import escalation_lines
from hf_synthlabels.clients.protocol.truncation import truncation_warning
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, LabelSchema, Scale
from hf_synthlabels.publishing.label_variables import codebook_variables, recipe_variable, recorded_variables
from hf_synthlabels.statistics.validation.table_variables import TableVariable
from hf_synthlabels.tables import ReadOptions, read_records, read_table

SHOWN_REASONS = 3
"""Reasons for missing labels in a summary."""

UNSENT = {"recorded": "recorded", "embedding": "from the encoder"}
"""Clients that send no request, and where their answers come from."""


@dataclass(frozen=True, slots=True)
class LabeledData:
    """Rows with the names of their label columns."""

    rows: Any
    human: str = "label"
    llm: str = "llm_label"
    schema: LabelSchema | None = None
    """Schema of the recipe; None if it is inferred from the columns."""
    tokens: str | None = None
    """Column of token lists named in the recipe."""
    kind: str | None = None
    """Task type from the provenance, if there is no schema."""
    variables: Mapping[str, TableVariable] = field(default_factory=dict)
    """Variables of a codebook, by name; none for a table with one label column."""

    def of_variable(self, variable: str | None = None, llm: str | None = None) -> LabeledData:
        """The data with the columns, schema and kind of one variable.

        Args:
            variable: its name; may be omitted if there is only one.
            llm: column of LLM labels that was named instead.

        Raises:
            ConfigError: the variable is unknown, or is not named and there are several.
        """
        names = ", ".join(self.variables)
        if variable is None and llm not in (None, *self.variables):
            return self
        variable = variable or llm or (names if len(self.variables) < 2 else None)
        if variable is None:
            raise ConfigError(f"`data` has several variables: choose one of {names} with `--variable`.")
        if not self.variables and variable in ("", self.llm):
            return self
        if variable not in self.variables:
            has = f"choose one of {names}" if names else "the table has no codebook, so name columns with `--llm`"
            raise ConfigError(f"`variable` is {variable!r}: {has}.")
        chosen = self.variables[variable]
        return replace(
            self, human=chosen.human, llm=chosen.llm, schema=chosen.schema, tokens=chosen.tokens, kind=chosen.kind
        )

    def as_variable(self) -> TableVariable:
        """The columns as a variable, with the condition of the codebook."""
        known = self.variables.get(self.llm)
        condition = None if known is None else known.condition
        return TableVariable(self.llm, self.human, self.kind, self.schema, self.tokens, condition)

    def without_examples(self, llm: str) -> tuple[Any, int]:
        """The rows that the judge of a column did not see as examples, and the number of the others."""
        names = self.rows.column_names
        prefixes = (name.removesuffix("example") for name in names if name.endswith("_example"))
        # A judge's prefix also has its score.
        shown = next((f"{each}example" for each in prefixes if llm.startswith(each) and f"{each}score" in names), None)
        if shown is None:
            return self.rows, 0
        kept = [row for row, is_shown in enumerate(self.rows[shown]) if str(is_shown).casefold() not in ("true", "1")]
        return self.rows.select(kept), len(self.rows) - len(kept)


def open_labeled(data: str, split: str | None = None, options: ReadOptions | None = None) -> LabeledData:
    """Open one split of a recipe's data set, or of a labeled file or folder.

    Args:
        data: labeled file or folder, recipe file, or name of a packaged recipe.
        split: split to read, if there are several.
        options: options for reading text files (default: label columns `label` and `llm_label`).

    Raises:
        SynthLabelsError: the data cannot be read, or have several splits and `split` is missing.
    """
    path = Path(data)
    if path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix):
        recipe = read_codebook(data)
        if split is None:
            # Checked before any request is sent.
            _one_split(load_source(recipe), split)
        rows = load(data, split=split) if split is not None else _one_split(load(data), split)
        if isinstance(recipe, Codebook):
            return LabeledData(rows, variables=codebook_variables(recipe))
        variable = recipe_variable(recipe)
        return LabeledData(rows, variable.human, variable.llm, variable.schema, variable.tokens)
    variables = recorded_variables(read_records(path))
    options = options or label_options()
    # Numbers of a scale are recognized; class names may look like numbers.
    verbatim = (each.human for each in variables.values() if each.kind != "text-scale")
    rows = _one_split(read_table(path, replace(options, labels=(*options.labels, *verbatim))), split)
    return LabeledData(rows, variables=variables or recorded_variables(provenance(rows)))


def label_options(
    human: str | None = None,
    llm: str | None = None,
    *more: str | None,
    numbers: bool = False,
    encoding: str | None = None,
    separator: str | None = None,
) -> ReadOptions:
    """Build options for reading a labeled file: label and text columns are read verbatim.

    Args:
        human: column of human labels (default: `label`).
        llm: column of LLM labels (default: `llm_label`).
        *more: further label or text columns.
        numbers: whether labels are numbers.
        encoding: file encoding (default: detected).
        separator: cell separator (default: detected).
    """
    columns = (human or "label", llm or "llm_label", *(column for column in more if column))
    return ReadOptions(columns, numbers=numbers, encoding=encoding, separator=separator)


def scale_schema(text: str) -> LabelSchema:
    """Parse a scale: `1:5` has steps of 1, `0:1:0.1` steps of 0.1, `0:100:any` no steps.

    Raises:
        ConfigError: the text is not a valid scale.
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
            f"`scale` is {text!r}: give the lower and upper bound, and a step other than 1, e.g. '0:1:0.1'."
        )
    return LabelSchema(kind="text-scale", scale=scale)


def annotation_summary(splits: Any, *, began: datetime | None = None) -> str:
    """Summarize a run: rows by status per split, requests, tokens and cost.

    Args:
        splits: labeled rows by split.
        began: start of this run; labels made before it cost nothing now.
    """
    records = last_run(provenance(splits))
    record = records[-1]
    lines = []
    for name, rows in splits.items():
        columns = [str(each["column"]) for each in records]
        codes = [Counter(rows[f"{column}_status"]) for column in columns]
        counts = [_counts({STATUSES[code]: n for code, n in each.items()}) for each in codes]
        if len(columns) == 1:
            lines.append(f"{name}: {len(rows):,} rows, {counts[0]}")
            continue
        lines.append(f"{name}: {len(rows):,} rows")
        lines += [f"  {column}: {count}" for column, count in zip(columns, counts, strict=True)]
    if began is not None and datetime.fromisoformat(record["finished_at"]) < began.replace(microsecond=0):
        lines.append(f"no request was sent; the labels are from a run that ended at {record['finished_at']}:")
    lines += _run_costs(records)
    return "\n".join(lines)


def last_run(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of the last run: one, or one for each variable of its codebook."""
    last = records[-1]
    if "codebook" not in last:
        return [last]
    codebook = last["codebook"]["hash"]
    return [record for record in records if record.get("codebook", {}).get("hash") == codebook]


def has_labels(*records: Mapping[str, Any]) -> bool:
    """Whether any row has a label or an abstention."""
    statuses = [record["tally"]["statuses"] for record in records]
    return any(counts.get(status) for counts in statuses for status in ("labelled", "abstained"))


def missing_reasons(rows: Any, column: str) -> list[str]:
    """List the most frequent reasons for missing labels; empty if no reasons are recorded."""
    names = (f"{column}_status", f"{column}_note")
    if not set(names) <= set(rows.column_names):
        return []
    tally = RunStats()
    for status, reason in zip(*(rows[name][:] for name in names), strict=True):
        named = STATUSES[status] if isinstance(status, int) and 0 <= status < len(STATUSES) else status
        if named not in ("labelled", None):
            tally.count_reason(str(named), reason or "no reason recorded")
    return [f"{count:,} rows {reason}" for reason, count in tally.reasons.most_common(SHOWN_REASONS)]


def record_summary(record: Mapping[str, Any]) -> str:
    """Summarize one split from its provenance record."""
    return records_summary([record])


def records_summary(records: Sequence[Mapping[str, Any]]) -> str:
    """Summarize one split from the records of its variables."""
    rows = f"{records[0]['tally']['rows']:,} rows"
    counts = [_counts(record["tally"]["statuses"]) for record in records]
    if len(records) == 1:
        return "\n".join([f"{rows}, {counts[0]}", *_run_costs(records)])
    lines = [f"  {record['column']}: {count}" for record, count in zip(records, counts, strict=True)]
    return "\n".join([rows, *lines, *_run_costs(records)])


def _counts(statuses: Mapping[str, int]) -> str:
    """The rows of each status."""
    return ", ".join(f"{status} {statuses[status]:,}" for status in STATUSES if statuses.get(status))


def _run_costs(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Requests, tokens and cost of a run, then what its variables lack."""
    costs = [record["cost_usd"] for record in records]
    spent = _spent({**records[0], "cost_usd": None if None in costs else sum(costs)})
    lines = [spent, *escalation_lines(records)]
    if len(records) == 1:
        return [*lines, *_problems(records[0])]
    # Every variable has its own reasons.
    return [*lines, *(f"{record['column']}: {line}" for record in records for line in _problems(record))]


def _problems(record: Mapping[str, Any]) -> list[str]:
    """Failures, truncated prompts, and the reasons of rows without a label."""
    tally = record["tally"]
    warning = truncation_warning(tally.get("truncated_prompts", {}))
    failures = (f"{count:,} rows failed with: {cause}" for cause, count in tally["failures"].items())
    return [*failures, *([warning] if warning else []), *_reasons(tally)]


def _spent(record: Mapping[str, Any]) -> str:
    """Answers, tokens and cost of a run."""
    tally, cost, client = record["tally"], record["cost_usd"], record.get("annotator", {}).get("client")
    if client in UNSENT and "escalate" not in record:
        return f"answers: {tally['requests']:,} {UNSENT[client]}; no request was sent, and nothing was paid"
    return (
        f"answers: {tally['requests']:,} requests, {tally['stored']:,} cache hits; "
        f"tokens: {tally['prompt_tokens']:,} in, {tally['completion_tokens']:,} out; "
        f"cost: {'unknown (no list price of the model; give `annotator.price`)' if cost is None else f'{cost:.4f} USD'}"
    )


def _reasons(tally: Mapping[str, Any]) -> list[str]:
    """Count rows without a label, with the most frequent reasons."""
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
