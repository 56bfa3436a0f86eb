"""Raters of a table: the majority as the human label, soft labels of disputed rows, and the report of a validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Mask
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.human_rows import ScoredRows
from hf_synthlabels.statistics.design.sampling_design import subset_design
from hf_synthlabels.statistics.raters.rater_report import RaterReport, rater_report
from hf_synthlabels.statistics.raters.votes import CHOICES, Votes, label_codes_of, read_votes, votes_columns
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    class_names,
    column_feature,
    column_values,
    one_spelling,
    read_names,
)
from hf_synthlabels.statistics.validation.label_columns import label_column, label_names, read_label, read_tokens

NAMED = ("multi-label", "token-classification")


class MajorityTable:
    """A table whose human labels are the majority of the votes."""

    def __init__(self, table: Table, human: str, labels: Sequence[Any]) -> None:
        self._table, self._human, self._labels = table, human, list(labels)
        self.column_names = [*table.column_names, human]
        self.features = getattr(table, "features", None)

    def __getitem__(self, column: str) -> list[Any]:
        return self._labels if column == self._human else column_values(self._table, column)


def with_majority(
    table: Table, human: str, llm: str, kind: str, votes: str | Sequence[str] | None = None, *, normalize: bool = False
) -> Table:
    """The table itself, or with the majority of the votes if it has votes and no column of human labels."""
    columns = votes_columns(table, human, votes)
    if not columns or human in table.column_names or kind not in (*CHOICES, "text-scale"):
        return table
    read = read_votes(table, columns, kind, names=_names(table, llm, columns), normalize=normalize)
    return MajorityTable(table, human, read.majority_labels())


def soft_labels(votes: Votes, human: Sequence[Any], *, numeric: bool, every: bool = False) -> list[Any]:
    """Human labels in which rows without a majority have the shares of their votes, or of numbers their mean.

    Args:
        votes: of the rows.
        human: labels of the rows, None where missing; labels of rows with a majority are kept.
        numeric: whether labels are numbers.
        every: whether all rows with votes have shares, so that the estimand is the label of a random rater.
    """
    labels, counts = list(human), votes.counts
    rows = votes.given > 0 if every else votes.disputed & np.array([label is None for label in human])
    for row in np.flatnonzero(rows).tolist():
        if numeric:
            labels[row] = float(np.nanmean(votes.numbers[row]))
        else:
            shares = (counts[row] / counts[row].sum()).tolist()
            labels[row] = {str(label): share for label, share in zip(votes.labels, shares, strict=True) if share}
    return labels


def table_raters(
    table: Table,
    columns: Sequence[str],
    kind: str,
    llm: str,
    scored: Callable[[Mask], ScoredRows],
    bootstrap: BootstrapConfig,
    *,
    names: Sequence[str] | None = None,
    scale: Any = None,
    tokens: str | None = None,
    normalize: bool = False,
) -> RaterReport:
    """The report on the votes of the scored rows.

    Args:
        table: one split.
        columns: of votes.
        kind: task type.
        llm: column of LLM labels; `<llm>_probs` has their probabilities.
        scored: gives the rows to score, of those with a label, and their design.
        bootstrap: level, resamples and seed.
        names: class names.
        scale: of numbers.
        tokens: column of token lists.
        normalize: whether class names that differ only in case or white space are equal.
    """
    known = names or _names(table, llm, columns)
    token_lists = None if tokens is None else read_tokens(table, tokens)
    if kind in NAMED and not known:
        known = label_names([label_column(table, llm, kind)], kind)
    votes = read_votes(table, columns, kind, names=known, scale=scale, tokens=token_lists, normalize=normalize)
    labels = _llm_labels(table, llm, kind, known or (), scale, token_lists)
    if kind in CHOICES and normalize:
        labels = one_spelling([labels], [str(label) for label in votes.labels], normalize=True)[0][0]
    codes, rows = label_codes_of(votes, kind, labels), scored(votes.given > 0)
    kept = rows.counted
    numbers = np.array([np.nan if label is None else label for label in labels]) if kind == "text-scale" else None
    probabilities = _probabilities(table, llm, votes) if kind in CHOICES else None
    return rater_report(
        Votes(votes.column, votes.codes[kept], votes.raters, votes.labels),
        kind,
        codes[kept],
        numbers=None if numbers is None else numbers[kept],
        distribution=None if probabilities is None else probabilities[kept],
        design=subset_design(rows.design, kept),
        bootstrap=bootstrap,
    )


def _names(table: Table, llm: str, columns: Sequence[str]) -> Sequence[str] | None:
    """Class names of the LLM column, or of the votes if they have names; otherwise all labels of the LLM and raters."""
    return next((names for each in (llm, *columns) if (names := class_names(column_feature(table, each)))), None)


def _llm_labels(
    table: Table,
    llm: str,
    kind: str,
    names: Sequence[str],
    scale: Any,
    tokens: Sequence[Sequence[str]] | None,
) -> list[Any]:
    """Labels of the LLM, None where missing."""
    if kind in CHOICES:
        return list(read_names(table, llm)[0])
    column = label_column(table, llm, kind)
    status = f"{llm}_status"
    statuses = read_names(table, status)[0] if status in table.column_names else ["labelled"] * len(column.values)
    return [
        read_label(column, row, kind, names, scale, tokens[row] if tokens else None)
        if statuses[row] in (None, "labelled")
        else None
        for row in range(len(column.values))
    ]


def _probabilities(table: Table, llm: str, votes: Votes) -> Floats | None:
    """The LLM's probabilities of the labels of the votes; None where the column is missing or of other classes."""
    column, names = f"{llm}_probs", class_names(column_feature(table, llm))
    if column not in table.column_names or not names or set(votes.labels) != set(names):
        return None
    cells = column_values(table, column)
    lists = [cell if isinstance(cell, list | tuple) and len(cell) == len(names) else None for cell in cells]
    if all(cell is None for cell in lists):
        return None
    order = [list(names).index(label) for label in votes.labels]
    values = np.array([[np.nan] * len(names) if cell is None else cell for cell in lists], dtype=np.float64)
    totals = values.sum(axis=1, keepdims=True)
    shares: Floats = np.where(totals > 0, values / np.where(totals > 0, totals, 1), np.nan)[:, order]
    return shares
