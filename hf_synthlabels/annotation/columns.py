"""Label columns: annotations as columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.recipe.recipe import Output
from hf_synthlabels.errors import ConfigError, RecipeError
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


@dataclass(frozen=True)
class LabelColumns:
    """The columns that the labels of one variable add to a table."""

    schema: LabelSchema
    output: Output
    """The names of the columns."""
    tags: bool = False
    """Whether each token gets a tag."""
    annotators: bool = False
    """Whether there is a second annotator, so that a column names the one that labeled each row."""
    agreement: bool = False
    """Whether the agreement of samples has a separate column, since the confidence is a stated one."""

    @cached_property
    def features(self) -> datasets.Features:
        """Their features, in order."""
        from datasets import ClassLabel, Features, List, Value

        name = self.output.column
        columns: dict[str, Any] = {
            name: self.schema.feature(),
            f"{name}_status": ClassLabel(names=list(STATUSES)),
            f"{name}_confidence": Value("float32"),
            f"{name}_raw": Value("string"),
            f"{name}_note": Value("string"),
        }
        if self.schema.kind == "text-scale":
            columns[f"{name}_expected"] = Value("float64")
        if self.agreement:
            columns[f"{name}_agreement"] = Value("float32")
        if self.output.probabilities:
            columns[f"{name}_probs"] = List(Value("float32"))
        if self.annotators:
            columns[f"{name}_annotator"] = Value("string")
        if self.tags:
            columns[f"{name}_tags"] = List(ClassLabel(names=bio_tags(self.schema)))
        return Features(columns)

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of the columns."""
        return self.features.arrow_schema

    def table(self, annotations: Sequence[Annotation], tokens: Sequence[Sequence[str]] | None = None) -> pa.Table:
        """The label columns of some rows; probabilities follow the order of the schema's names.

        Args:
            annotations: of the rows.
            tokens: of each row, where each token gets a tag; rows without a label have none.
        """
        import pyarrow as pa

        name, names = self.output.column, self.schema.names
        columns: dict[str, list[Any]] = {
            name: [encode(self.schema, a.label) for a in annotations],
            f"{name}_status": [STATUSES.index(a.status) for a in annotations],
            f"{name}_confidence": [a.confidence for a in annotations],
            f"{name}_raw": [a.raw for a in annotations],
            f"{name}_note": [a.reason or None for a in annotations],
        }
        if self.schema.kind == "text-scale":
            columns[f"{name}_expected"] = [a.expected for a in annotations]
        if self.agreement:
            columns[f"{name}_agreement"] = [a.agreement for a in annotations]
        if self.output.probabilities:
            columns[f"{name}_probs"] = [
                None if a.label is None or a.probabilities is None else [a.probabilities[each] for each in names]
                for a in annotations
            ]
        if self.annotators:
            columns[f"{name}_annotator"] = [a.annotator for a in annotations]
        if tokens is not None:
            rows = zip(annotations, tokens, strict=True)
            columns[f"{name}_tags"] = [_tags(self.schema, annotation, row) for annotation, row in rows]
        return pa.table(columns, schema=self.arrow_schema)


def joined_features(
    source: datasets.Features,
    added: datasets.Features,
    column: str,
    error_type: type[ConfigError] = RecipeError,
    *,
    field: str = "output.column",
) -> datasets.Features:
    """The source's features, then those of the added columns.

    Args:
        source: the features of the rows.
        added: the features of the added columns.
        column: the value of `output.column`, for the error.
        error_type: of the error.
        field: the key that names the column, for the error.

    Raises:
        ConfigError: of the given type: the source already has one of the columns.
    """
    from datasets import Features

    if existing := [name for name in added if name in source]:
        raise error_type(
            f"`{field}` {column!r} would overwrite the source's column {existing[0]!r}. Choose another name."
        )
    return Features({**source, **added})


def _tags(schema: LabelSchema, annotation: Annotation, tokens: Sequence[str] | None) -> list[int] | None:
    if annotation.label is None:
        return None
    names = {name: code for code, name in enumerate(bio_tags(schema))}
    label = annotation.label if isinstance(annotation.label, tuple) else ()
    entities = [item for item in label if isinstance(item, Entity)]
    return [names[tag] for tag in to_bio(token_offsets([str(token) for token in tokens or ()]), entities)]
