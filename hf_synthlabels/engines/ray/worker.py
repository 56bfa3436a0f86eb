"""Workers of the two phases: one labels the rows of a shard, the other writes the shard of the result."""

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
from hf_synthlabels.annotation.compiler import open_annotator
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.engines.ray.job import Job, Shard, row_ids, texts_in
from hf_synthlabels.engines.ray.job_files import ROW_ID, finished_rows, join_labels, label_stats
from hf_synthlabels.engines.ray.remote_store import HEARTBEAT_S, RemoteBackend, RemoteBudgetActor
from hf_synthlabels.engines.ray.streaming_worker import StoppedError, StreamingWorker
from hf_synthlabels.errors import ClientError, MissingKeyError, SynthLabelsError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.resources import store_path

if TYPE_CHECKING:
    import pyarrow as pa

STOPPED = "The run was stopped. Answers so far are kept; run the same command again to resume."


@dataclass(frozen=True, slots=True)
class Assignment:
    """Job, recipe and limits of the workers of a run."""

    job: Job
    annotation: AnnotationJob
    clients: tuple[ClientConfig, ...] = ()
    """The client with its part of the rate limits, for each worker rank."""
    version: str = field(default_factory=package_version)
    """Version of this package on the machine of the command."""


def shard_item(shard: Shard, parts: Sequence[str], file: str = "") -> dict[str, Any]:
    """A shard, the names of its label files and of its file in the result, as plain values."""
    return {"shard": asdict(shard), "parts": list(parts), "file": file}


class LabelShards:
    """First phase: labels the unfinished rows of shards, and adds label files to the job.

    A call returns the shard's name, the name of the label file, and the numbers of `finished` and `over_budget` rows;
    or the class of an `error` and its `message`.
    """

    def __init__(self, assignment: Assignment, actor: RemoteBudgetActor) -> None:
        self._job = assignment.job
        self._annotation = assignment.annotation
        self._clients = assignment.clients
        self._version = assignment.version
        self._actor = actor
        self._opening = threading.Lock()
        self._worker: StreamingWorker | None = None
        self._backend: RemoteBackend | None = None
        self._reported_at = 0.0

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Label a shard."""
        shard = Shard(**item["shard"])
        try:
            return self._label(shard, item["parts"])
        except (SynthLabelsError, OSError) as error:
            return failure(error, self._job)

    def _label(self, shard: Shard, parts: Sequence[str]) -> dict[str, Any]:
        if self._backend is not None and self._backend.is_stopped:
            raise StoppedError(STOPPED)
        if package_version() != self._version:
            raise ClientError(
                f"Machine {socket.gethostname()!r} has hf-synthlabels {package_version()}, but the run started with "
                f"{self._version}; install the same version on all machines."
            )
        job = self._job
        rows = job.source(shard)
        ids = row_ids(rows, shard, job.id_column)
        finished_ids = finished_rows(job.labels(parts), job.column)
        rows_per_call = self._annotation.recipe.task.rows_per_call
        has_text = [True] * len(ids) if rows_per_call == 1 else texts_in(rows, self._annotation.recipe)
        places = unfinished_places(ids, finished_ids, has_text, rows_per_call)
        labels, stats = self._opened(rows).label(rows.take(places), shard.split)
        labels = labels.add_column(0, ROW_ID, [[ids[place] for place in places]])
        part = job.write_labels(shard, labels, stats, earlier=len(parts))
        statuses = [STATUSES[code] for code in labels.column(f"{job.column}_status").to_pylist()]
        over_budget = statuses.count("over_budget")
        finished = len(statuses) - over_budget - statuses.count("failed")
        return {"shard": shard.name, "part": part, "finished": finished, "over_budget": over_budget}

    def _opened(self, rows: pa.Table) -> StreamingWorker:
        """The streaming worker that all shards of this actor share."""
        with self._opening:
            if self._worker is None:
                from datasets import Features

                self._worker = self._open(Features.from_arrow_schema(rows.schema))
            return self._worker

    def _open(self, features: Mapping[str, Any]) -> StreamingWorker:
        import ray

        rank = self._actor.call("worker_rank", ray.get_runtime_context().get_actor_id())
        annotation = self._annotation
        backend = self._backend = RemoteBackend(self._actor.call)
        store = ResponseStore(store_path(), backend)

        def opened() -> AbstractContextManager[Annotator]:
            opened = open_annotator(annotation, features, config=self._clients[rank], store=store, alone=False)
            return cast("AbstractContextManager[Annotator]", opened)

        def on_progress(stats: RunStats) -> None:
            if backend.is_stopped:
                raise StoppedError(STOPPED)
            if time.monotonic() - self._reported_at >= HEARTBEAT_S:
                self._reported_at = time.monotonic()
                backend.report(stats.to_dict())

        mixed = annotation.recipe.task.rows_per_call == 1
        return StreamingWorker(
            opened, annotation.columns(features), annotation.label_columns, mixed=mixed, on_progress=on_progress
        )


class WriteShards:
    """Second phase: writes the rows of a shard with their labels.

    A call returns the shard's name and the statistics of its labels; or the class of an `error` and its `message`.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._job = assignment.job
        self._annotation = assignment.annotation

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Write a shard."""
        shard = Shard(**item["shard"])
        try:
            stats = self._write(shard, item["parts"], item["file"])
        except (SynthLabelsError, OSError) as error:
            return failure(error, self._job)
        return {"shard": shard.name, "stats": stats.to_dict()}

    def _write(self, shard: Shard, names: Sequence[str], file: str) -> RunStats:
        from datasets import Features

        job = self._job
        rows = job.source(shard)
        parts = job.labels(names)
        labels = join_labels(row_ids(rows, shard, job.id_column), parts, job.column)
        features = self._annotation.features(Features.from_arrow_schema(rows.schema))
        for name in labels.column_names:
            rows = rows.append_column(labels.schema.field(name), labels.column(name))
        job.output.folder("data").write_table(file, rows.cast(features.arrow_schema))
        return label_stats(labels, parts, job.column)


def unfinished_places(
    ids: Sequence[str], finished: Collection[str], has_text: Sequence[bool], rows_per_call: int
) -> list[int]:
    """Indices of the unfinished rows, and of the rows that share a request with one of them.

    Only rows with a text are part of requests.
    """
    # Number of each row's request; a row without a text gets that of the request before.
    calls = [(count - 1) // rows_per_call for count in accumulate(has_text)]
    open_calls = {call for call, row, text in zip(calls, ids, has_text, strict=True) if text and row not in finished}
    return [
        place
        for place, (call, row, text) in enumerate(zip(calls, ids, has_text, strict=True))
        if (call in open_calls if text else row not in finished)
    ]


def failure(error: SynthLabelsError | OSError, job: Job) -> dict[str, Any]:
    """An error as plain values: an exception would reach the caller as a Ray traceback, and end the other actors."""
    if isinstance(error, OSError) and not isinstance(error, SynthLabelsError):
        message = (
            f"`output` {str(job.output)!r} cannot be read or written on machine {socket.gethostname()!r}: {error}. All "
            "machines need access to it. Answers so far are kept."
        )
        return {"error": "StoreError", "message": message}
    message = str(error)
    if isinstance(error, MissingKeyError):
        message += f" It is missing on machine {socket.gethostname()!r}; set it on each machine of the cluster."
    return {"error": type(error).__name__, "message": message}
