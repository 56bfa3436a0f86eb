"""Credits: how right each single label is, so that two annotators can be compared row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.statistics.agreement.answers import token_f1
from hf_synthlabels.statistics.label_ids import MISSING, Floats, encode
from hf_synthlabels.statistics.validation.dataset_columns import Table
from hf_synthlabels.statistics.validation.label_columns import read_label, read_names
from hf_synthlabels.statistics.validation.task_agreement import label_columns

CREDITS = {
    "text-classification": "right or wrong",
    "text-pair": "right or wrong",
    "multi-label": "Jaccard",
    "text-scale": "1 - error / length of the scale",
    "token-classification": "entity F1 of the row",
    "question-answering": "token F1",
    "text-generation": "token F1",
}
"""What the credit of a row is, by the kind of label."""


def row_credits(dataset: Table, schema: LabelSchema, *, human: str, llm: str, tokens: str | None = None) -> Floats:
    """How right each predicted label is, from 0 to 1; shape (rows,).

    1 for the human label and 0 for none at all; in between by the kind of label: see `CREDITS`. Of several right
    answers the best counts. nan where there is no human label.

    Args:
        dataset: one split.
        schema: the kind, the names and the scale of the labels.
        human: the column of human labels.
        llm: the column of predicted labels.
        tokens: the column of token lists, where entities stand as tags.

    Raises:
        DataError: a column is missing, or holds what is not a label of the schema.
    """
    kind = schema.kind
    if kind in ("text-classification", "text-pair"):
        codes, found = (encode(read_names(dataset, column)[0], schema.names, field=column) for column in (human, llm))
        return np.where(codes == MISSING, np.nan, codes == found)
    status = f"{llm}_status" if f"{llm}_status" in dataset.column_names else None
    columns = label_columns(dataset, kind, human, llm, tokens=tokens, status=status)
    credit, words = _credit_of(kind, schema.scale), columns.tokens
    earned = np.full(len(columns.human.values), np.nan)
    for row in range(len(earned)):
        said, answer = (
            read_label(column, row, kind, schema.names, schema.scale, words[row] if words else None)
            for column in (columns.human, columns.llm)
        )
        if said is not None:
            earned[row] = 0.0 if answer is None or row in columns.unlabelled else credit(said, answer)
    return earned


def _credit_of(kind: str, scale: Scale | None) -> Callable[[Any, Any], float]:
    match kind:
        case "multi-label":
            return lambda truth, found: _shared(set(truth), set(found), jaccard=True)
        case "text-scale":
            assert scale is not None
            return lambda truth, found: 1 - abs(truth - found) / (scale.high - scale.low)
        case "token-classification":
            return lambda truth, found: _shared(set(truth), set(found), jaccard=False)
        case "question-answering":
            return lambda truth, found: max(token_f1(each[0], found[0][0]) for each in truth)
        case _:
            return lambda truth, found: max(token_f1(each, found[0]) for each in truth)


def _shared(truth: set[Any], found: set[Any], *, jaccard: bool) -> float:
    """What two sets have in common: Jaccard's index, or F1; two empty ones are equal."""
    if not truth and not found:
        return 1.0
    shared = len(truth & found)
    return shared / len(truth | found) if jaccard else 2 * shared / (len(truth) + len(found))
