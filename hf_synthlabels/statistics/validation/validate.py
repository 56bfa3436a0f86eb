"""validate: the predicted labels of a data set against its human ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.classification import KindAgreement, agreement
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix
from hf_synthlabels.statistics.agreement.weighted import share, weighted_agreement
from hf_synthlabels.statistics.arrays import MISSING, encode
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.human_rows import SampleColumns
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    feature_kind,
    one_spelling,
    read_names,
)
from hf_synthlabels.statistics.validation.gate import Gate
from hf_synthlabels.statistics.validation.measures import MEASURES, check_measure, check_validated_kind
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.task_agreement import (
    LabelColumns,
    check_numbers,
    kind_agreement,
    label_columns,
)

if TYPE_CHECKING:
    from hf_synthlabels.labels import LabelSchema

CHOICES = ("text-classification", "text-pair")


MIN_CLASS_ROWS = 5
"""Human-labelled rows of a class below which no interval of a mean over classes keeps its coverage."""


SHOWN_CLASSES = 5


def validate(
    dataset: Table,
    *,
    human: str = "label",
    llm: str = "llm_label",
    names: Sequence[str] | None = None,
    status: str | None = None,
    gate: Gate | str | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    schema: LabelSchema | None = None,
    kind: str | None = None,
    tokens: str | None = None,
    clusters: str | None = None,
    strata: str | None = None,
    normalize_labels: bool = False,
) -> ValidationReport:
    """Compare predicted labels with human ones, with an interval on every number.

    Rows without a human label are counted but not scored. Of the others, those without a predicted label are mistakes;
    the report shows them apart as coverage. The intervals suppose that the human-labelled rows are a random sample of
    the rows that the labels will be used for; or, where there is a column `inclusion_probability`, that they were drawn
    with these inclusion probabilities: rows without one are not scored, and unequal ones give inverse weights.

    Args:
        dataset: one split, for example a `datasets.Dataset`. A label is a name or a number of a ClassLabel, and by its
            kind a list of these, a number, a list of entities (`start`, `end`, `label`; or a tag for each token, with
            `tokens`), an answer (`text` and `start`, or as SQuAD has it, with one or several answers) or a text (for
            humans also a list of texts, of which the best counts).
        human: the column of human labels; None (in a ClassLabel also -1) where there is none. An empty list of names or
            of entities is a label; an empty list of answers or of texts is none.
        llm: the column of predicted labels; the same.
        names: all label names; by default those of the schema, of the ClassLabel of `human`, or else of `llm`, or else
            all values that occur, sorted.
        status: the column that says why a row has a predicted label or none; by default `<llm>_status` if there is one.
        gate: a score that the labels must reach, as a Gate or as text such as "macro_f1>=0.7" or "mae<=0.5".
        level: confidence level of each interval.
        resamples: of the bootstrap.
        seed: of the bootstrap; the same seed gives the same report.
        schema: the kind, the names and the scale of the labels.
        kind: of label, where there is no schema; by default what the type of the column `llm` tells. Texts and whole
            numbers are taken for names: say "text-generation" or "text-scale" where they are not, and "text-pair"
            for pairs. Without a schema, a scale goes from the least to the greatest number that occurs, in steps of 1
            if all are whole.
        tokens: the column of token lists, for token-classification: entities may then stand as tags, and token accuracy
            is told. The texts are the tokens with a space between each two.
        clusters: the column of cluster ids, such as articles or authors: rows of one cluster are not independent, so
            every interval is computed from whole clusters.
        strata: the column of the strata that rows, or clusters, were drawn from separately.
        normalize_labels: whether names that differ only in case or white space are one class. Without it a note reports
            such names with their counts. For kinds with one name per row.

    Raises:
        DataError: `dataset` is not one split, is empty, lacks a column, has no human label at all, or has a value
            that is not a label of that kind, or of which a human-labelled row has no cluster or stratum.
        ConfigError: `names`, `kind`, `gate`, `level` or `resamples` can not be used.
    """
    bootstrap = BootstrapConfig(level, resamples, seed)
    kind = _kind(dataset, llm, schema, kind)
    if isinstance(gate, str):
        gate = Gate.parse(gate)
    if gate is not None:
        check_measure(gate.metric, kind)
    if isinstance(names, str):
        raise ConfigError(f"`names` is {names!r}: give a list of names.")
    if schema is not None and schema.names:
        names = names or schema.names
    facts: dict[str, Any] = {"kind": kind, "human": human, "llm": llm}
    facts |= {"level": level, "resamples": resamples, "seed": seed}
    sample = SampleColumns.read(dataset, clusters, strata, _skipped(dataset, llm, status))
    if kind in CHOICES:
        result, counts, matrix, majority = _choices(
            dataset, human, llm, names, bootstrap, sample, normalize=normalize_labels
        )
    else:
        columns = label_columns(dataset, kind, human, llm, tokens=tokens, status=_status_column(dataset, llm, status))
        columns, notes = _counted(columns, sample)
        result, counts = kind_agreement(columns, names, None if schema is None else schema.scale, bootstrap)
        result, matrix, majority = replace(result, notes=(*notes, *result.notes)), None, None
    return ValidationReport(
        **facts,
        **counts,
        statuses=_statuses(dataset, llm, status),
        scores=result.scores,
        classes=result.classes,
        matrix=matrix,
        tables=result.breakdowns,
        notes=result.notes,
        gate=None if gate is None else gate.judge(result.scores[gate.metric], counts["n_human"], counts["n_rows"]),
        majority=majority,
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


def _choices(
    dataset: Table,
    human: str,
    llm: str,
    names: Sequence[str] | None,
    bootstrap: BootstrapConfig,
    sample: SampleColumns,
    *,
    normalize: bool,
) -> tuple[KindAgreement, dict[str, Any], ConfusionMatrix, tuple[str, Interval]]:
    """Agreement of one name per row: its scores, the rows that were counted, the confusion matrix, the baseline."""
    human_labels, human_names = read_names(dataset, human)
    llm_labels, llm_names = read_names(dataset, llm)
    if len(human_labels) != len(llm_labels):
        raise DataError(
            f"`{human}` has {len(human_labels):,} rows and `{llm}` {len(llm_labels):,}: give one each per row."
        )
    if all(label is None for label in human_labels):
        raise DataError(f"`{human}` has no label in any of {len(human_labels):,} rows: label some rows by hand first.")
    if known := names or human_names or llm_names:
        for column in (human, llm):
            check_numbers(dataset, column, known)
    (human_labels, llm_labels), spelling = one_spelling([human_labels, llm_labels], known or (), normalize=normalize)
    names = known or _occurring(human_labels, llm_labels)
    human_codes, llm_codes = encode(human_labels, names, field=human), encode(llm_labels, names, field=llm)
    rows = sample.scored(human_codes != MISSING)
    scored, kept = rows.counted, None if rows.design is None else rows.design.take(rows.counted)
    matrix = ConfusionMatrix.from_codes(human_codes[scored], llm_codes[scored], names)
    if kept is None:
        scores = agreement(matrix, level=bootstrap.level, resamples=bootstrap.resamples, seed=bootstrap.seed)
    else:
        scores = weighted_agreement(human_codes[scored], llm_codes[scored], kept, tuple(names), bootstrap)
    notes = (*spelling, *rows.notes, *rare_classes(matrix))
    counts = {
        "n_rows": len(human_labels),
        "n_labelled": int((llm_codes != MISSING).sum()),
        "n_human": matrix.n,
        "n_answered": matrix.answered,
    }
    intervals = {name: getattr(scores, name) for name in MEASURES["text-classification"]}
    top = int(np.argmax(matrix.array.sum(axis=1)))
    majority = (matrix.names[top], share(human_codes[scored] == top, None, kept, bootstrap.level))
    return KindAgreement(intervals, scores.classes, notes=notes), counts, matrix, majority


def _counted(columns: LabelColumns, sample: SampleColumns) -> tuple[LabelColumns, tuple[str, ...]]:
    """The columns without the human labels of rows that are not scored, and with the sampling design."""
    values = columns.human.values
    labelled = np.array([value is not None and value != "" and value == value for value in values], dtype=np.bool_)
    rows = sample.scored(labelled)
    kept = [value if scored else None for value, scored in zip(values, rows.counted, strict=True)]
    return replace(columns, human=replace(columns.human, values=kept), design=rows.design), rows.notes


def _skipped(dataset: Table, llm: str, status: str | None) -> NDArray[np.bool_] | None:
    """The rows that were never sent to the annotator; None where no status says so."""
    column = _status_column(dataset, llm, status)
    if column is None:
        return None
    labels, _ = read_names(dataset, column)
    return np.array([label == "skipped" for label in labels], dtype=np.bool_)


def rare_classes(matrix: ConfusionMatrix) -> tuple[str, ...]:
    """A note on classes that are too rare for an interval of macro F1 or kappa to be trusted."""
    absent = set(matrix.absent)
    support = [(name, sum(row)) for name, row in zip(matrix.names, matrix.counts, strict=True) if name not in absent]
    rare = [f"{name} ({count})" for name, count in support if count < MIN_CLASS_ROWS]
    if len(matrix.names) < 2 or not rare:
        return ()
    shown = ", ".join(rare[:SHOWN_CLASSES]) + (f" and {len(rare) - SHOWN_CLASSES} more" if len(rare) > 5 else "")
    return (
        f"Classes with fewer than {MIN_CLASS_ROWS} human-labelled rows: {shown}. The intervals of macro F1 and kappa "
        "are not reliable for them; label more rows of these classes.",
    )


def _occurring(*columns: list[str | None]) -> list[str]:
    return sorted({label for labels in columns for label in labels if label is not None})


def _statuses(dataset: Table, llm: str, status: str | None) -> dict[str, int] | None:
    """Rows by status, the most frequent first; None when there is no such column and none was asked for."""
    column = _status_column(dataset, llm, status)
    if column is None:
        return None
    labels, _ = read_names(dataset, column)
    counts = Counter("(none)" if label is None else label for label in labels)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _status_column(dataset: Table, llm: str, status: str | None) -> str | None:
    column = status or f"{llm}_status"
    return column if status is not None or column in (getattr(dataset, "column_names", None) or ()) else None
