"""StreamingWorker: labels a stream of tables through one annotator, without pauses between tables."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import Annotator, RunStats
from hf_synthlabels.annotation.columns import LabelColumns
from hf_synthlabels.annotation.run.stream import labelled_tables
from hf_synthlabels.errors import ClientError, SynthLabelsError

if TYPE_CHECKING:
    import pyarrow as pa


class StoppedError(SynthLabelsError):
    """The run was stopped before its rows were finished."""


@dataclass(slots=True, eq=False)
class _QueuedTable:
    """A table of a `StreamingWorker`."""

    table: pa.Table
    group: str
    labels: pa.Table | None = None
    stats: dict[str, Any] | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.labels is not None or self.error is not None


class StreamingWorker:
    """Labels tables of several threads through one annotator, in the order in which they arrive.

    While the last rows of a table are in flight, the first rows of the next one are sent, so that the number of
    requests in flight stays at its limit. The annotator is opened with the first table and closed before the last one
    is returned: nothing is then in flight or reserved.

    Args:
        open_annotator: opens the annotator.
        needed: columns that it reads.
        columns: the label columns.
        mixed: whether rows of two tables may be in flight together; False if a request contains several rows.
        on_progress: receives the statistics so far after each row; its exceptions end the run.
    """

    def __init__(
        self,
        open_annotator: Callable[[], AbstractContextManager[Annotator]],
        needed: list[str],
        columns: LabelColumns,
        *,
        mixed: bool = True,
        on_progress: Callable[[RunStats], None],
    ) -> None:
        self._open_annotator = open_annotator
        self._needed = needed
        self._columns = columns
        self._mixed = mixed
        self._on_progress = on_progress
        self._stats = RunStats()
        self._reported: Mapping[str, Any] = self._stats.to_dict()
        self._waiting: deque[_QueuedTable] = deque()
        self._sent: deque[_QueuedTable] = deque()
        self._running = False
        self._changed = threading.Condition()

    def label(self, table: pa.Table, group: str = "") -> tuple[pa.Table, dict[str, Any]]:
        """Label a table; returns the label columns, and the statistics since the last table was finished.

        Args:
            table: at least one row.
            group: rows of two groups are never in flight together, so that statistics belong to one group.

        Raises:
            StoppedError: raised by `on_progress`.
            SynthLabelsError: as `Annotator.annotate`; it ends all queued tables.
        """
        queued = _QueuedTable(table, group)
        with self._changed:
            self._waiting.append(queued)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="streaming-worker", daemon=True).start()
            self._changed.wait_for(lambda: queued.is_done)
            # The last table waits until the annotator is closed, because its process may end at once.
            self._changed.wait_for(lambda: not self._running or self._sent or self._waiting)
        if queued.error is not None:
            raise queued.error
        assert queued.labels is not None
        assert queued.stats is not None
        return queued.labels, queued.stats

    def _run(self) -> None:
        """Label all queued tables, including those that arrive meanwhile."""
        while True:
            error: BaseException | None = None
            try:
                with self._open_annotator() as annotator:
                    self._serve(replace(annotator, tally=self._stats))
                if self._sent:
                    error = ClientError("The annotator stopped before all rows had an answer; run it again.")
            except BaseException as raised:
                error = raised
            with self._changed:
                if error is not None:
                    for queued in (*self._sent, *self._waiting):
                        queued.error = error
                    self._sent.clear()
                    self._waiting.clear()
                self._running = bool(self._waiting)
                self._changed.notify_all()
                if not self._running:
                    return

    def _serve(self, annotator: Annotator) -> None:
        while self._waiting:
            tables = labelled_tables(
                annotator, self._tables(), self._needed, self._columns, lambda _: self._on_progress(self._stats)
            )
            for _, labels in tables:
                with self._changed:
                    # It stays queued until it is done, so that an error reaches it.
                    queued = self._sent[0]
                    queued.stats = self._new_stats()
                    queued.labels = labels
                    self._sent.popleft()
                    self._changed.notify_all()

    def _tables(self) -> Iterator[pa.Table]:
        """Waiting tables. It never blocks, because its consumer also receives the answers."""
        while True:
            with self._changed:
                if not self._waiting or (self._sent and self._waiting[0].group != self._sent[-1].group):
                    return
                queued = self._waiting.popleft()
                self._sent.append(queued)
            yield queued.table
            if not self._mixed:
                return

    def _new_stats(self) -> dict[str, Any]:
        """Statistics since the last call."""
        now = self._stats.to_dict()
        before, self._reported = self._reported, now
        return {name: _difference(value, before[name]) for name, value in now.items()}


def _difference(now: Any, before: Any) -> Any:
    if isinstance(now, dict):
        return {key: count - before.get(key, 0) for key, count in now.items() if count != before.get(key, 0)}
    return now - before
