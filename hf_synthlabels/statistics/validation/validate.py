"""Validation of the LLM labels of a data set against its human labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.statistics.agreement.base import KindAgreement
from hf_synthlabels.statistics.agreement.classification import classification_agreement
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix, rare_classes
from hf_synthlabels.statistics.arrays import MISSING, Mask, check_lengths, encode
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.confidence.confidence_columns import ConfidenceCheck, with_confidence
from hf_synthlabels.statistics.design.human_rows import ScoredRows, scored_rows
from hf_synthlabels.statistics.design.sampling_design import share_interval
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.raters.table_raters import with_majority
from hf_synthlabels.statistics.sequential.anytime_agreement import anytime_agreement
from hf_synthlabels.statistics.sequential.table_look import anytime_kind_agreement, check_has_sequence, look_at
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    feature_kind,
    one_spelling,
    read_names,
)
from hf_synthlabels.statistics.validation.gate import Gate
from hf_synthlabels.statistics.validation.measures import check_measure, check_validated_kind
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.report_parts import ReportRows, with_parts
from hf_synthlabels.statistics.validation.table_variables import TableVariable
from hf_synthlabels.statistics.validation.task_agreement import (
    check_numbers,
    kind_agreement,
    label_columns,
)

if TYPE_CHECKING:
    from hf_synthlabels.labels import Scale

CHOICES = ("text-classification", "text-pair")


def validate(
    dataset: Table,
    *,
    human: str = "label",
    llm: str = "llm_label",
    names: Sequence[str] | None = None,
    gate: Gate | str | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    schema: LabelSchema | None = None,
    kind: str | None = None,
    tokens: str | None = None,
    clusters: str | None = None,
    strata: str | None = None,
    votes: str | Sequence[str] | None = None,
    normalize_labels: bool = False,
    confidence: ConfidenceCheck | str | bool = True,
    sequential: bool = False,
) -> ValidationReport:
    """Compare LLM labels with human labels, with an interval on every score.

    Args:
        dataset: one split, such as a `datasets.Dataset`; its column `inclusion_probability`, if any, gives the weights.
        human: column of human labels; rows without one (None, or -1 in a ClassLabel) are not scored.
        llm: column of LLM labels; `<llm>_status`, if there is one, has their status.
        names: label names; by default those of the schema, of the columns, or all that occur, sorted.
        gate: a score and its threshold, such as "macro_f1>=0.7" or "mae<=0.5".
        level: confidence level.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        schema: task type, names and scale of the labels.
        kind: task type without a schema; by default that of the type of the column `llm`.
        tokens: column of token lists, for token-classification with tags.
        clusters: column of cluster ids, such as articles or authors, for cluster-robust intervals.
        strata: column of the strata within which rows, or clusters, were sampled.
        votes: column of several human labels, or one for each rater; by default `<human>_votes` if there is one.
        normalize_labels: whether names that differ only in case or white space are one class.
        confidence: its column or a check (default: `<llm>_confidence`, else `<llm>_probs`), or False for none.
        sequential: whether intervals and gate hold at all looks, while rows are being labeled in random order.

    Raises:
        DataError: a column is missing or holds other values, or there is no human label.
        ConfigError: an option is invalid, or the task type does not have the gate's score.
    """
    bootstrap, kind = BootstrapConfig(level, resamples, seed), _kind(dataset, llm, schema, kind)
    dataset = with_majority(dataset, human, llm, kind, votes, normalize=normalize_labels)
    columns = _Columns(dataset, human, llm, tokens, clusters, strata, normalize_labels, sequential)
    report = columns.checked(_validate(columns, kind, names, schema, gate, bootstrap), schema, confidence)
    return report if sequential else with_parts(report, columns.rows, votes, names, schema)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns to validate."""

    dataset: Table
    human: str
    llm: str
    tokens: str | None
    clusters: str | None
    strata: str | None
    normalize: bool
    sequential: bool

    @property
    def status(self) -> str | None:
        """The column of the status of LLM labels; None if there is none."""
        return name if (name := f"{self.llm}_status") in (getattr(self.dataset, "column_names", None) or ()) else None

    @property
    def rows(self) -> ReportRows:
        """The table and its design, for further parts of the report."""
        return ReportRows(self.dataset, self.tokens, self.clusters, self.strata, self.normalize, self.scored)

    def scored(self, labeled: Mask) -> ScoredRows:
        """The rows that are scored, of those with a human label."""
        skipped = None
        if self.status is not None:
            skipped = np.array([label == "skipped" for label in read_names(self.dataset, self.status)[0]])
        return scored_rows(self.dataset, labeled, clusters=self.clusters, strata=self.strata, skipped=skipped)

    def statuses(self) -> dict[str, int] | None:
        """Rows by status, the most frequent first; None without a status column."""
        if self.status is None:
            return None
        counts = Counter("(none)" if label is None else label for label in read_names(self.dataset, self.status)[0])
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def checked(
        self, report: ValidationReport, schema: LabelSchema | None, confidence: ConfidenceCheck | str | bool
    ) -> ValidationReport:
        """The report with a check of the confidence, unless that is False."""
        if confidence is False:
            return report
        variable = TableVariable(self.llm, self.human, report.kind, schema, self.tokens)
        options = {"clusters": self.clusters, "strata": self.strata, "normalize": self.normalize}
        check = ConfidenceCheck(confidence if isinstance(confidence, str) else None)
        check = confidence if isinstance(confidence, ConfidenceCheck) else check
        return with_confidence(report, self.dataset, variable, check, **options)


class _Scored(NamedTuple):
    """Scores with the counts of rows, and for single-label classification the confusion matrix and the baseline."""

    result: KindAgreement
    counts: dict[str, Any]
    matrix: ConfusionMatrix | None = None
    majority: tuple[str, Interval] | None = None


def _validate(
    columns: _Columns,
    kind: str,
    names: Sequence[str] | None,
    schema: LabelSchema | None,
    gate: Gate | str | None,
    bootstrap: BootstrapConfig,
) -> ValidationReport:
    gate = Gate.parse(gate) if isinstance(gate, str) else gate
    if gate is not None:
        check_measure(gate.metric, kind)
    if isinstance(names, str):
        raise ConfigError(f"`names` is {names!r}: give a list of names.")
    names = names or (schema.names if schema is not None and schema.names else None)
    if kind in CHOICES:
        scored = _classification(columns, names, bootstrap)
    else:
        scored = _other_kind(columns, kind, names, None if schema is None else schema.scale, bootstrap)
    result, counts = scored.result, scored.counts
    if gate is not None and columns.sequential:
        check_has_sequence(gate.metric, result.scores)
    return ValidationReport(
        kind=kind,
        human=columns.human,
        llm=columns.llm,
        level=bootstrap.level,
        resamples=bootstrap.resamples,
        seed=bootstrap.seed,
        **counts,
        statuses=columns.statuses(),
        scores=result.scores,
        classes=result.classes,
        matrix=scored.matrix,
        tables=result.breakdowns,
        notes=result.notes,
        gate=None if gate is None else gate.judge(result.scores[gate.metric], counts["n_human"], counts["n_rows"]),
        majority=scored.majority,
    )


def _kind(dataset: Table, llm: str, schema: LabelSchema | None, kind: str | None) -> str:
    """The kind of the labels: the schema's, the one that is given, or what the type of the column tells.

    Raises:
        ConfigError: there is no such kind, or schema and kind contradict each other.
    """
    if kind is not None:
        check_validated_kind(kind)
        if schema is not None and schema.kind != kind:
            raise ConfigError(f"`kind` is {kind!r} and the schema's {schema.kind!r}: leave one of them out.")
        return kind
    return schema.kind if schema is not None else feature_kind(column_feature(dataset, llm))


def _classification(columns: _Columns, names: Sequence[str] | None, bootstrap: BootstrapConfig) -> _Scored:
    """Scores of single-label classification."""
    human, llm = columns.human, columns.llm
    human_labels, human_names = read_names(columns.dataset, human)
    llm_labels, llm_names = read_names(columns.dataset, llm)
    check_lengths(**{human: human_labels, llm: llm_labels})
    if all(label is None for label in human_labels):
        raise DataError(f"`{human}` has no label in any of {len(human_labels):,} rows: label some rows by hand first.")
    if known := names or human_names or llm_names:
        for column in (human, llm):
            check_numbers(columns.dataset, column, known)
    labels, spelling = one_spelling([human_labels, llm_labels], known or (), normalize=columns.normalize)
    names = known or sorted({label for column in labels for label in column if label is not None})
    human_codes, llm_codes = encode(labels[0], names, field=human), encode(labels[1], names, field=llm)
    rows = columns.scored(human_codes != MISSING)
    scored, design = rows.counted, None if rows.design is None else rows.design.take(rows.counted)
    matrix = ConfusionMatrix.from_codes(human_codes[scored], llm_codes[scored], names)
    top = int(np.argmax(matrix.array.sum(axis=1)))
    if columns.sequential:
        look = look_at(columns.dataset, scored, bootstrap.level, columns.clusters)
        result = anytime_agreement(human_codes[scored], llm_codes[scored], names, look, llm_codes)
        share = look.share(human_codes[scored] == top)
    else:
        result = classification_agreement(human_codes[scored], llm_codes[scored], names, bootstrap, design)
        share = share_interval(human_codes[scored] == top, None, design, bootstrap.level)
    counts = {
        "n_rows": len(human_labels),
        "n_labelled": int((llm_codes != MISSING).sum()),
        "n_human": matrix.n,
        "n_answered": matrix.answered,
    }
    notes = (*spelling, *rows.notes, *result.notes, *rare_classes(matrix))
    return _Scored(replace(result, notes=notes), counts, matrix, (matrix.names[top], share))


def _other_kind(
    columns: _Columns,
    kind: str,
    names: Sequence[str] | None,
    scale: Scale | None,
    bootstrap: BootstrapConfig,
) -> _Scored:
    """Scores of every other task type."""
    labels = label_columns(
        columns.dataset, kind, columns.human, columns.llm, tokens=columns.tokens, status=columns.status
    )
    values = labels.human.values
    labeled = np.array([value is not None and value != "" and value == value for value in values], dtype=np.bool_)
    rows = columns.scored(labeled)
    kept = [value if scored else None for value, scored in zip(values, rows.counted, strict=True)]
    labels = replace(labels, human=replace(labels.human, values=kept), design=rows.design)
    result, counts = kind_agreement(labels, names, scale, bootstrap)
    if columns.sequential:
        variable = TableVariable(columns.llm, columns.human, kind, tokens=columns.tokens)
        result = anytime_kind_agreement(
            result, columns.dataset, variable, rows.counted, scale, bootstrap.level, columns.clusters
        )
    return _Scored(replace(result, notes=(*rows.notes, *result.notes)), counts)
