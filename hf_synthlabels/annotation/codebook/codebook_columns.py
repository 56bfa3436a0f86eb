"""Label columns of a codebook: those of each variable, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hf_synthlabels.annotation.columns import LabelColumns
from hf_synthlabels.labels import Annotation

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


@dataclass(frozen=True)
class CodebookColumns:
    """The columns that the labels of several variables add to a table."""

    variables: Mapping[str, LabelColumns]

    @cached_property
    def features(self) -> datasets.Features:
        """Their features, in order."""
        from datasets import Features

        return Features({name: kind for columns in self.variables.values() for name, kind in columns.features.items()})

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of the columns."""
        return self.features.arrow_schema

    def table(
        self, annotations: Sequence[Mapping[str, Annotation]], tokens: Sequence[Sequence[str]] | None = None
    ) -> pa.Table:
        """The label columns of some rows.

        Args:
            annotations: of the rows, by variable.
            tokens: of each row, where each token gets a tag.
        """
        import pyarrow as pa

        arrays: list[pa.ChunkedArray] = []
        for name, columns in self.variables.items():
            table = columns.table([row[name] for row in annotations], tokens if columns.tags else None)
            arrays += table.columns
        return pa.Table.from_arrays(arrays, schema=self.arrow_schema)
