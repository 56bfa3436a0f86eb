"""What a run needs of an annotator and of the columns that its annotations become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients import ChatClient

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


class RowAnnotator(Protocol):
    """Annotates rows: with the label of one variable, or of each variable of a codebook."""

    @property
    def tally(self) -> RunStats:
        """The counts of the run."""

    @property
    def client(self) -> ChatClient:
        """Completes the requests."""

    @property
    def form(self) -> RowForm:
        """What of a row is shown."""

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
        """The annotation of each row, in the order of the rows."""


class AnnotationColumns(Protocol):
    """The columns of annotations."""

    @property
    def features(self) -> datasets.Features:
        """Their features, in order."""

    def table(self, annotations: Sequence[Any], tokens: Sequence[Sequence[str]] | None = None) -> pa.Table:
        """The columns of some rows."""
