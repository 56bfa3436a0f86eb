"""Workers: what an actor does with a shard in each of the two phases."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from hf_synthlabels.annotation import AnnotationJob, Annotator, RunStats
from hf_synthlabels.annotation.compiled import open_annotator
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.engines.ray.cluster import RemoteDesk
from hf_synthlabels.engines.ray.job import ROW_ID, Job, Shard, row_ids, texts_in
from hf_synthlabels.engines.ray.row_join import finished_rows, joined, tally_of
from hf_synthlabels.engines.ray.shared_store import HEARTBEAT_S, SharedStore
from hf_synthlabels.engines.ray.streaming_worker import StoppedError, StreamingWorker
from hf_synthlabels.errors import ClientError, MissingKeyError, SynthLabelsError
from hf_synthlabels.labels import STATUSES

if TYPE_CHECKING:
    import pyarrow as pa

STOPPED = "The run was stopped. What was answered is kept: run it again."


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the actors of a run work on."""

    job: Job
    annotation: AnnotationJob
    clients: tuple[ClientConfig, ...] = ()
    """The client with its part of the rate limits, one for each actor."""
    version: str = field(default_factory=package_version)
    """Of this package where the run was started."""


def item_of(shard: Shard, parts: Sequence[str], file: str = "") -> dict[str, Any]:
    """A shard with the files of labels that it has, and the file that it is to become, as plain values."""
    return {"shard": asdict(shard), "parts": list(parts), "file": file}


class LabelShards:
    """The first phase: labels the rows of shards that have no labels yet, and adds a file with them to the job.

    An item comes back with the shard's name, the name of the new file, and how many rows it `finished` and how many
    are `over_budget`; or with the class of an `error` and its `message`.
    """

    def __init__(self, assignment: Assignment, bookkeeper: Any) -> None:
        self._job = assignment.job
        self._annotation = assignment.annotation
        self._clients = assignment.clients
        self._version = assignment.version
        self._desk = RemoteDesk(bookkeeper)
        self._opening = threading.Lock()
        self._conveyor: StreamingWorker | None = None
        self._store: SharedStore | None = None
        self._reported_at = 0.0

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Label a shard."""
        shard = Shard(**item["shard"])
        try:
            return self._label(shard, item["parts"])
        except (SynthLabelsError, OSError) as error:
            return failure(error, self._job)

    def _label(self, shard: Shard, parts: Sequence[str]) -> dict[str, Any]:
        if self._store is not None and self._store.is_stopped:
            raise StoppedError(STOPPED)
        if package_version() != self._version:
            raise ClientError(
                f"The machine {socket.gethostname()!r} has version {package_version()} of hf-synthlabels, but the run "
                f"was started with {self._version}. Install the same version on all machines."
            )
        job = self._job
        rows = job.source(shard)
        ids = row_ids(rows, shard, job.id_column)
        known = finished_rows(job.labels(parts), job.column)
        at_once = self._annotation.recipe.task.rows_per_call
        asked = [True] * len(ids) if at_once == 1 else texts_in(rows, self._annotation.recipe)
        places = open_places(ids, known, asked, at_once)
        labels, tally = self._opened(rows).label(rows.take(places), shard.split)
        labels = labels.add_column(0, ROW_ID, [[ids[place] for place in places]])
        part = job.write_labels(shard, labels, tally, earlier=len(parts))
        statuses = [STATUSES[code] for code in labels.column(f"{job.column}_status").to_pylist()]
        over_budget = statuses.count("over_budget")
        finished = len(statuses) - over_budget - statuses.count("failed")
        return {"shard": shard.name, "part": part, "finished": finished, "over_budget": over_budget}

    def _opened(self, rows: pa.Table) -> StreamingWorker:
        """The conveyor of this actor, which all its shards share."""
        with self._opening:
            if self._conveyor is None:
                from datasets import Features

                self._conveyor = self._open(Features.from_arrow_schema(rows.schema))
            return self._conveyor

    def _open(self, features: Mapping[str, Any]) -> StreamingWorker:
        import ray

        seat = self._desk.ask("seat", ray.get_runtime_context().get_actor_id())
        annotation = self._annotation
        store = self._store = SharedStore(self._desk)

        def opened() -> AbstractContextManager[Annotator]:
            # It has all that is asked of a store here; what it has not is for other verbs.
            return open_annotator(
                annotation, features, config=self._clients[seat], store=cast(ResponseStore, store), alone=False
            )

        def on_progress(tally: RunStats) -> None:
            if store.is_stopped:
                raise StoppedError(STOPPED)
            if time.monotonic() - self._reported_at >= HEARTBEAT_S:
                self._reported_at = time.monotonic()
                store.report(tally.to_dict())

        mixed = annotation.recipe.task.rows_per_call == 1
        return StreamingWorker(
            opened, annotation.columns(features), annotation.recipe.output, mixed=mixed, on_progress=on_progress
        )


class WriteShards:
    """The second phase: writes a shard's rows with their labels as a file of the result.

    An item comes back with the shard's name and the tally of its labels; or with the class of an `error` and its
    `message`.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._job = assignment.job
        self._annotation = assignment.annotation

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Write a shard."""
        shard = Shard(**item["shard"])
        try:
            tally = self._write(shard, item["parts"], item["file"])
        except (SynthLabelsError, OSError) as error:
            return failure(error, self._job)
        return {"shard": shard.name, "tally": tally.to_dict()}

    def _write(self, shard: Shard, names: Sequence[str], file: str) -> RunStats:
        from datasets import Features

        job = self._job
        rows = job.source(shard)
        parts = job.labels(names)
        labels = joined(row_ids(rows, shard, job.id_column), parts, job.column)
        features = self._annotation.features(Features.from_arrow_schema(rows.schema))
        for name in labels.column_names:
            rows = rows.append_column(labels.schema.field(name), labels.column(name))
        job.output.folder("data").write_table(file, rows.cast(features.arrow_schema))
        return tally_of(labels, parts, job.column)


def open_places(ids: Sequence[str], finished: Collection[str], asked: Sequence[bool], at_once: int) -> list[int]:
    """The places of the rows that are not finished, and of all that are asked in one call with one of them.

    Args:
        ids: of the rows.
        finished: the ids of those that are.
        asked: which rows are part of calls; the others have no text.
        at_once: how many are asked in one call.
    """
    # The number of each row's call; of one that is in none, that of the call before.
    calls = [(count - 1) // at_once for count in accumulate(asked)]
    wanted = {call for call, row, part in zip(calls, ids, asked, strict=True) if part and row not in finished}
    return [
        place
        for place, (call, row, part) in enumerate(zip(calls, ids, asked, strict=True))
        if (call in wanted if part else row not in finished)
    ]


def failure(error: SynthLabelsError | OSError, job: Job) -> dict[str, Any]:
    """An error as plain values: what an actor raises comes back as a trace of Ray's, and ends the others."""
    if isinstance(error, OSError) and not isinstance(error, SynthLabelsError):
        message = (
            f"`output` {str(job.output)!r} can not be read or written on the machine {socket.gethostname()!r}: "
            f"{error}. All machines must see it. What was answered is kept."
        )
        return {"error": "StoreError", "message": message}
    message = str(error)
    if isinstance(error, MissingKeyError):
        message += f" It is missing on the machine {socket.gethostname()!r}: set it on each machine of the cluster."
    return {"error": type(error).__name__, "message": message}
