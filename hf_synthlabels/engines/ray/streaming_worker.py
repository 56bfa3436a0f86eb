"""StreamingWorker: a stream of tables through one annotator, so that no table waits for a slow row of another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import Annotator, Output, RunStats
from hf_synthlabels.annotation.run.stream import labelled_tables
from hf_synthlabels.errors import ClientError, SynthLabelsError

if TYPE_CHECKING:
    import pyarrow as pa


class StoppedError(SynthLabelsError):
    """The run was asked to end before its rows did."""


@dataclass(slots=True, eq=False)
class _Load:
    """A table on the conveyor."""

    table: pa.Table
    group: str
    labels: pa.Table | None = None
    tally: dict[str, Any] | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.labels is not None or self.error is not None


class StreamingWorker:
    """Labels tables that several threads bring, with one annotator for all, in the order in which they come.

    While the last rows of a table are on the way, the first of the next are sent: as long as there is another table,
    as many requests are on the way as may be. The annotator is opened when the first table comes, and closed when
    there is none left, before the last is handed back: nothing is then on the way or reserved.

    Args:
        open_annotator: makes the annotator.
        needed: the columns that it reads.
        output: the names of the label columns.
        mixed: whether rows of two tables may be on the way at once; not, where several rows are asked for in one call.
        on_progress: told the tally so far after each row; what it raises ends the run.
    """

    def __init__(
        self,
        open_annotator: Callable[[], AbstractContextManager[Annotator]],
        needed: list[str],
        output: Output,
        *,
        mixed: bool = True,
        on_progress: Callable[[RunStats], None],
    ) -> None:
        self._open_annotator = open_annotator
        self._needed = needed
        self._output = output
        self._mixed = mixed
        self._on_progress = on_progress
        self._tally = RunStats()
        self._told: Mapping[str, Any] = self._tally.to_dict()
        self._waiting: deque[_Load] = deque()
        self._sent: deque[_Load] = deque()
        self._running = False
        self._changed = threading.Condition()

    def label(self, table: pa.Table, group: str = "") -> tuple[pa.Table, dict[str, Any]]:
        """The label columns of a table that has rows, and what was asked since the last table was finished.

        Args:
            table: the rows.
            group: rows of two groups are never on the way at once, so that the tallies of a group's tables count what
                was asked for it and nothing else.

        Raises:
            StoppedError: `on_progress` said so.
            SynthLabelsError: as `Annotator.annotate`; all tables that are on the conveyor end with it.
        """
        load = _Load(table, group)
        with self._changed:
            self._waiting.append(load)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="conveyor", daemon=True).start()
            self._changed.wait_for(lambda: load.is_done)
            # The last one waits until the annotator is closed: its process may be ended at once.
            self._changed.wait_for(lambda: not self._running or self._sent or self._waiting)
        if load.error is not None:
            raise load.error
        assert load.labels is not None
        assert load.tally is not None
        return load.labels, load.tally

    def _run(self) -> None:
        """Label all tables there are, and those that come meanwhile."""
        while True:
            error: BaseException | None = None
            try:
                with self._open_annotator() as annotator:
                    # One tally for as long as the conveyor lives.
                    self._serve(replace(annotator, tally=self._tally))
                if self._sent:
                    error = ClientError("The annotator stopped before all rows had an answer. Run it again.")
            except BaseException as problem:
                error = problem
            with self._changed:
                if error is not None:
                    self._fail(error)
                self._running = bool(self._waiting)
                self._changed.notify_all()
                if not self._running:
                    return

    def _serve(self, annotator: Annotator) -> None:
        while self._waiting:
            tables = labelled_tables(
                annotator, self._tables(), self._needed, self._output, lambda _: self._on_progress(self._tally)
            )
            for _, labels in tables:
                with self._changed:
                    # Until it is done it is in the queue, where an error finds it.
                    load = self._sent[0]
                    load.tally = self._difference()
                    load.labels = labels
                    self._sent.popleft()
                    self._changed.notify_all()

    def _tables(self) -> Iterator[pa.Table]:
        """The tables that are waiting; it never waits for one itself, since answers are received where it is read."""
        while True:
            with self._changed:
                if not self._waiting or (self._sent and self._waiting[0].group != self._sent[-1].group):
                    return
                load = self._waiting.popleft()
                self._sent.append(load)
            yield load.table
            if not self._mixed:
                return

    def _difference(self) -> dict[str, Any]:
        """What the tally has grown by since it was last asked."""
        now = self._tally.to_dict()
        before, self._told = self._told, now
        return {name: _minus(value, before[name]) for name, value in now.items()}

    def _fail(self, error: BaseException) -> None:
        for load in (*self._sent, *self._waiting):
            load.error = error
        self._sent.clear()
        self._waiting.clear()


def _minus(now: Any, before: Any) -> Any:
    if isinstance(now, dict):
        return {key: count - before.get(key, 0) for key, count in now.items() if count != before.get(key, 0)}
    return now - before
