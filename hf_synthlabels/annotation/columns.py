"""Annotations as the label columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.recipe.recipe import Output
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import (
    STATUSES,
    Annotation,
    Entity,
    LabelSchema,
    bio_tags,
    encode,
    to_bio,
    token_offsets,
)

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


def label_features(schema: LabelSchema, output: Output, *, tags: bool = False) -> datasets.Features:
    """The features of the columns that an annotation adds, in their order; `tags` adds one tag for each token."""
    from datasets import ClassLabel, Features, List, Value

    columns: dict[str, Any] = {
        output.column: schema.feature(),
        f"{output.column}_status": ClassLabel(names=list(STATUSES)),
        f"{output.column}_confidence": Value("float32"),
        f"{output.column}_raw": Value("string"),
        f"{output.column}_note": Value("string"),
    }
    if output.probabilities:
        columns[f"{output.column}_probs"] = List(Value("float32"))
    if tags:
        columns[f"{output.column}_tags"] = List(ClassLabel(names=bio_tags(schema)))
    return Features(columns)


def with_label_features(
    source: datasets.Features, schema: LabelSchema, output: Output, *, tags: bool = False
) -> datasets.Features:
    """The features of the annotated table: the source's columns, then the label columns.

    Raises:
        RecipeError: the source already has one of the columns.
    """
    from datasets import Features

    added = label_features(schema, output, tags=tags)
    if taken := [name for name in added if name in source]:
        raise RecipeError(
            f"`output.column` {output.column!r} would overwrite the source's column {taken[0]!r}. Choose another name."
        )
    return Features({**source, **added})


def label_table(
    annotations: Sequence[Annotation],
    schema: LabelSchema,
    output: Output,
    tokens: Sequence[Sequence[str]] | None = None,
) -> pa.Table:
    """The label columns of some rows as an Arrow table; probabilities follow the order of the schema's names.

    Args:
        annotations: of the rows.
        schema: what the labels mean.
        output: the names of the columns.
        tokens: of each row, where each token gets a tag; rows without a label have none.
    """
    import pyarrow as pa

    features = label_features(schema, output, tags=tokens is not None)
    columns: dict[str, list[Any]] = {
        output.column: [encode(schema, a.label) for a in annotations],
        f"{output.column}_status": [STATUSES.index(a.status) for a in annotations],
        f"{output.column}_confidence": [a.confidence for a in annotations],
        f"{output.column}_raw": [a.raw for a in annotations],
        f"{output.column}_note": [a.reason or None for a in annotations],
    }
    if output.probabilities:
        columns[f"{output.column}_probs"] = [
            None if a.label is None or a.probabilities is None else [a.probabilities[name] for name in schema.names]
            for a in annotations
        ]
    if tokens is not None:
        columns[f"{output.column}_tags"] = [_tags(schema, a, row) for a, row in zip(annotations, tokens, strict=True)]
    return pa.table(columns, schema=features.arrow_schema)


def _tags(schema: LabelSchema, annotation: Annotation, tokens: Sequence[str] | None) -> list[int] | None:
    if annotation.label is None:
        return None
    names = {name: code for code, name in enumerate(bio_tags(schema))}
    label = annotation.label if isinstance(annotation.label, tuple) else ()
    entities = [item for item in label if isinstance(item, Entity)]
    return [names[tag] for tag in to_bio(token_offsets([str(token) for token in tokens or ()]), entities)]
