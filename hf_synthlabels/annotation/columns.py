"""Label columns: how annotations stand in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.recipe import Output
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import STATUSES, Annotation, LabelSchema, encode

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

__all__ = ["label_features", "label_table", "with_label_features"]


def label_features(schema: LabelSchema, output: Output) -> datasets.Features:
    """The features of the columns that an annotation adds, in their order."""
    from datasets import ClassLabel, Features, List, Value

    columns: dict[str, Any] = {
        output.column: schema.feature(),
        f"{output.column}_status": ClassLabel(names=list(STATUSES)),
        f"{output.column}_confidence": Value("float32"),
        f"{output.column}_raw": Value("string"),
        f"{output.column}_reason": Value("string"),
    }
    if output.probabilities:
        columns[f"{output.column}_probs"] = List(Value("float32"))
    return Features(columns)


def with_label_features(source: datasets.Features, schema: LabelSchema, output: Output) -> datasets.Features:
    """The features of the annotated table: the source's columns, then the label columns.

    Raises:
        RecipeError: the source already has one of the columns.
    """
    from datasets import Features

    added = label_features(schema, output)
    if taken := [name for name in added if name in source]:
        raise RecipeError(
            f"`output.column` {output.column!r} would overwrite the source's column {taken[0]!r}. Choose another name."
        )
    return Features({**source, **added})


def label_table(annotations: Sequence[Annotation], schema: LabelSchema, output: Output) -> pa.Table:
    """The label columns of some rows as an Arrow table; probabilities follow the order of the schema's names."""
    import pyarrow as pa

    features = label_features(schema, output)
    columns: dict[str, list[Any]] = {
        output.column: [encode(schema, a.label) for a in annotations],
        f"{output.column}_status": [STATUSES.index(a.status) for a in annotations],
        f"{output.column}_confidence": [a.confidence for a in annotations],
        f"{output.column}_raw": [a.raw for a in annotations],
        f"{output.column}_reason": [a.reason or None for a in annotations],
    }
    if output.probabilities:
        columns[f"{output.column}_probs"] = [
            None if a.label is None or a.probabilities is None else [a.probabilities[name] for name in schema.names]
            for a in annotations
        ]
    return pa.table(columns, schema=features.arrow_schema)
