"""Sampling of rows for human annotation, and the annotation sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.codebook.codebook import PLACEHOLDER
from hf_synthlabels.annotation.codebook.codebook_keys import COLUMN_SUFFIXES
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels.spelling import normalize_spelling, spelling_note
from hf_synthlabels.statistics import HumanSample, draw_sample
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.design.human_sample import NO_LABEL_STRATUM, Allocation, Design
from hf_synthlabels.statistics.robustness.tuned_rows import TUNED_ON
from hf_synthlabels.statistics.validation.table_variables import TableVariable, Variables
from hf_synthlabels.tables import embed_records, provenance_path, write_table
from hf_synthlabels.tables.sheets import DIGEST_COLUMN, row_digest, text_columns

ExistingLabels = Literal["random", "stratified", "ignore"]
EXISTING_LABELS: tuple[ExistingLabels, ...] = get_args(ExistingLabels)

SAMPLE_KIND = "human-sample"
"""`kind` of a sample's provenance record."""

MAX_NAMES = 200
"""Maximum number of distinct values that are treated as class names."""

SHEET_ORDER = 1
"""Separates the random order of the sheet from the random sample, which has the same seed."""

ROW = "row"
"""Sheet column with the row number in the table."""


def sample_rows(
    rows: Any,
    n: int,
    *,
    human: str = "label",
    llm: str = "llm_label",
    design: Design = "random",
    confidence: str | None = None,
    allocation: Allocation = "proportional",
    existing_labels: ExistingLabels | None = None,
    seed: int = 0,
    normalize_labels: bool = False,
    variables: Variables | None = None,
    stratify: Sequence[str] = (),
) -> tuple[Any, HumanSample]:
    """Sample rows for human annotation and store their inclusion probabilities in `inclusion_probability`.

    Design and seed are recorded in the provenance. Sampling again adds `n` rows to the sample.

    Args:
        rows: a `datasets.Dataset` with LLM labels.
        n: number of rows to sample.
        human: column of human labels; need not exist yet.
        llm: column of LLM labels.
        design: as in `draw_sample`, like `allocation`.
        confidence: column of the LLM's confidence, for the design `confidence` (default: `<llm>_confidence`).
        allocation: allocation of a stratified sample.
        existing_labels: how rows with existing human labels were sampled: "random", "stratified" (at random within
            each LLM label), or "ignore" to leave them out of the sample.
        seed: random seed.
        normalize_labels: merge strata whose LLM labels differ only in case or white space.
        variables: variables of a codebook that share the sample, unless `llm` is one of them.
        stratify: columns whose combinations of values are the strata (default: `llm`).

    Returns: the table with the column, and the sample.

    Raises:
        DataError: a column is missing, it is unknown how human labels were sampled, or there are too few rows.
        ConfigError: as in `draw_sample`.
    """
    asked = asked_variables(variables, human, llm)
    columns, option = _stratum_columns(asked, stratify, design), "stratify" if stratify else "llm"
    strata = _strata(rows, columns, option, normalize_labels)
    earlier = _existing_probabilities(rows, [each.human for each in asked.values()], existing_labels)
    values = _confidence(rows, next(iter(asked)) if len(asked) == 1 else None, confidence)
    values = values if _needs_confidence(design, earlier) else None
    sample = draw_sample(strata, n, design=design, confidence=values, allocation=allocation, earlier=earlier, seed=seed)
    existing_labels = existing_labels if PROBABILITY not in rows.column_names and earlier is not None else None
    record = _record(asked, allocation if design == "stratified" else None, existing_labels, stratify)
    return _with_sample(rows, sample, record), sample


def _stratum_columns(asked: Variables, stratify: Sequence[str], design: str) -> list[str]:
    """The columns of the strata: the named ones, or the LLM labels of the only variable."""
    if not stratify and len(asked) > 1 and design == "stratified":
        raise ConfigError(f"`design` is 'stratified': name the strata with `--stratify`, from {', '.join(asked)}.")
    return list(stratify or (asked if len(asked) == 1 else ()))


def _record(
    asked: Variables, allocation: str | None, existing_labels: str | None, stratify: Sequence[str]
) -> dict[str, Any]:
    """What the provenance of a sample says about the labels."""
    name, single = next(iter(asked.items()))
    record: dict[str, Any] = {"human": None, "llm": None, "allocation": allocation, "existing_labels": existing_labels}
    if stratify:
        record["stratify"] = list(stratify)
    if len(asked) == 1:
        return record | {"human": single.human, "llm": name}
    return record | {"variables": {name: each.human for name, each in asked.items()}}


def asked_variables(variables: Variables | None, human: str, llm: str) -> dict[str, TableVariable]:
    """The variables that annotators label: one with the column `llm`, or all of a codebook."""
    return dict(variables) if variables and llm not in variables else {llm: TableVariable(llm, human)}


def _strata(rows: Any, columns: Sequence[str], option: str, normalize_labels: bool) -> list[Any]:
    """Stratum of each row: its label, or its labels of several columns; lists and entities are one value."""
    parts = []
    for column in columns:
        if column not in rows.column_names:
            raise DataError(f"`{option}` {column!r} is not a column. Columns: {', '.join(rows.column_names)}.")
        labels = label_texts(rows, column)
        labels = [json.dumps(label, sort_keys=True) if isinstance(label, list | dict) else label for label in labels]
        parts.append(normalize_spelling(labels) if normalize_labels else labels)
    if len(parts) == 1:
        return parts[0]
    cells = zip(*parts, strict=True) if parts else ([""] for _ in range(len(rows)))
    return [" / ".join(NO_LABEL_STRATUM if label is None else str(label) for label in cell) for cell in cells]


def _confidence(rows: Any, llm: str | None, confidence: str | None) -> list[Any] | None:
    """Confidence of the LLM in each row; None without the column."""
    if confidence is not None and confidence not in rows.column_names:
        raise DataError(f"`confidence` {confidence!r} is not a column. Columns: {', '.join(rows.column_names)}.")
    column = confidence or f"{llm}_confidence"
    return list(rows[column]) if column in rows.column_names else None


def _with_sample(rows: Any, sample: HumanSample, record: dict[str, Any]) -> Any:
    """The table with inclusion probabilities, and the record of the sample in its provenance."""
    kept = rows.remove_columns([PROBABILITY]) if PROBABILITY in rows.column_names else rows
    sampled = kept.add_column(PROBABILITY, list(sample.probabilities), feature=_float_type())
    record = {
        "column": PROBABILITY,
        "kind": SAMPLE_KIND,
        **record,
        **sample.record(),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "package_version": package_version(),
    }
    sampled.info.description = embed_records([*provenance(rows), record], rows.info.description)
    return sampled


def annotation_sheet(
    rows: Any,
    sample: HumanSample,
    *,
    human: str = "label",
    llm: str = "llm_label",
    variables: Variables | None = None,
) -> Any:
    """Build the annotation sheet: row number, digest, texts and empty labels; without the LLM's columns.

    Rows are in random order, so that those labeled so far are always a random part of the sample.

    Args:
        rows: table returned by `sample_rows`.
        sample: the sample.
        human: column of human labels.
        llm: column of LLM labels.
        variables: of a codebook; the sheet has a column for each, or only for the one that `llm` names.
    """
    numbers = np.random.default_rng((SHEET_ORDER, sample.seed)).permutation(sample.rows).astype(int).tolist()
    drawn = rows.select(numbers)
    humans = [each.human for each in asked_variables(variables, human, llm).values()]
    texts = sheet_texts(drawn, human, llm, variables)
    digests = [row_digest(row, texts) for row in drawn.select_columns(texts)] if texts else [""] * len(drawn)
    given = {name: label_texts(drawn, name) if name in drawn.column_names else [None] * len(drawn) for name in humans}
    hidden = {*_hidden(drawn, human, llm, variables), *_recorded_answers(drawn), *humans}
    drawn = drawn.remove_columns([name for name in drawn.column_names if name in hidden])
    order = drawn.column_names
    number = ROW if ROW not in order else f"_{ROW}"
    drawn = drawn.add_column(number, numbers)
    if DIGEST_COLUMN not in order:
        drawn = drawn.add_column(DIGEST_COLUMN, digests, feature=_text_type())
    for name, values in given.items():
        labels = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
        drawn = drawn.add_column(name, labels, feature=_text_type())
    # The digest comes first: programs that do not know byte order marks read it as part of the first name.
    return drawn.select_columns([DIGEST_COLUMN, number, *(name for name in order if name != DIGEST_COLUMN), *humans])


def sheet_texts(rows: Any, human: str, llm: str, variables: Variables | None = None) -> list[str]:
    """Text columns of the sheet, which identify a row."""
    hidden = {*_hidden(rows, human, llm, variables), DIGEST_COLUMN}
    return [name for name in text_columns(rows.features) if name not in hidden]


def _hidden(rows: Any, human: str, llm: str, variables: Variables | None) -> list[str]:
    """Columns without texts for annotators: labels of humans and LLMs, and the sampling design."""
    known = variables or {}
    hidden = {PROBABILITY, TUNED_ON, human, llm, *known, *(each.human for each in known.values())}
    # Other columns may begin with the name of a variable.
    hidden |= {f"{name}_{suffix}" for name in known for suffix in COLUMN_SUFFIXES}
    prefix = None if llm in known else f"{llm}_"
    return [name for name in rows.column_names if name in hidden or (prefix and name.startswith(prefix))]


def _recorded_answers(rows: Any) -> list[str]:
    """Columns with the answers that an LLM label column was read from."""
    columns = {
        str(record.get("annotator", {}).get("column")).replace(PLACEHOLDER, str(record["column"]))
        for record in provenance(rows)
    }
    return [name for name in rows.column_names if name in columns]


def write_sampled(rows: Any, output: str | Path) -> list[Path]:
    """Write a sampled table and its provenance file `<file>.provenance.json`."""
    files = write_table({"train": rows}, output)
    return [*files, *(beside for beside in map(provenance_path, files) if beside.is_file())]


def _needs_confidence(design: Design, earlier: Any) -> bool:
    """Whether this sample or an existing one may depend on the LLM's confidence."""
    if design == "confidence":
        return True
    return earlier is not None and earlier.dtype != np.bool_ and len(np.unique(earlier[~np.isnan(earlier)])) > 1


def _existing_probabilities(rows: Any, humans: Sequence[str], existing_labels: ExistingLabels | None) -> Any:
    """Inclusion probabilities of existing human labels, NaN outside the sample; None without any."""
    if PROBABILITY in rows.column_names:
        return np.array(rows[PROBABILITY], dtype=np.float64)
    columns = [label_texts(rows, human) for human in humans if human in rows.column_names]
    labeled = [any(value is not None for value in values) for values in zip(*columns, strict=True)]
    if not any(labeled) or existing_labels == "ignore":
        return None
    if existing_labels is None:
        names = "`, `".join(humans)
        raise DataError(
            f"`{names}` has labels in {sum(labeled):,} rows outside any sample: give `--existing-labels random` if "
            "these rows were sampled at random, `stratified` if at random within each LLM label, or `ignore` to "
            "leave them out."
        )
    drawn = np.array(labeled)
    return drawn if existing_labels == "stratified" else np.where(drawn, drawn.mean(), np.nan)


def label_texts(rows: Any, column: str) -> list[Any]:
    """Labels of a column as names; None if missing."""
    feature = rows.features[column]
    values = [None if value is None or value != value or value == "" else value for value in rows[column]]
    if not hasattr(feature, "int2str"):
        return values
    return [None if value is None or value < 0 else feature.names[value] for value in values]


def spelling_warning(rows: Any, human: str, llm: str) -> str:
    """Warn about labels of the two columns that differ only in case or white space; empty if there are none."""
    columns = [label_texts(rows, name) for name in (human, llm) if name in rows.column_names]
    labels = [label for column in columns for label in column if isinstance(label, str)]
    # Columns with more distinct values hold texts, not class names.
    return "" if len(set(labels)) > MAX_NAMES else spelling_note(labels)


def _float_type() -> Any:
    from datasets import Value

    return Value("float64")


def _text_type() -> Any:
    from datasets import Value

    return Value("string")
