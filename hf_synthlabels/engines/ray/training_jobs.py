"""Training runs of a study or a grid as tasks of a Ray cluster; this process writes the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.engines.ray.cluster import connected, load_ray
from hf_synthlabels.errors import TrainingError

if TYPE_CHECKING:
    from hf_synthlabels.studies.students.job import Job, Outcome
    from hf_synthlabels.training.search import RunResult, RunTask

MAX_ATTEMPTS = 3
"""Attempts of a run whose machine or process is lost."""

QUEUED_PER_SLOT = 2
"""Tasks that are submitted for each free slot, so that no machine waits for this process."""

Item = TypeVar("Item")

_model_caches: dict[tuple[str, ...], Any] = {}
"""Encoders that this process of the cluster has loaded."""


def jobs_on(engine: Engine) -> Callable[[Sequence[Job], int], Iterable[Outcome]]:
    """Train the runs of a study with Ray: the `engine` of `run_study`.

    Texts are put into Ray's object store once. Models must be loadable on every machine. Results return to this
    process, which writes the journal: no shared folder is needed, and a restarted study runs only the missing runs.

    Args:
        engine: cluster, and the share of processors and GPUs of each run.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = load_ray(engine)

    def train(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:  # noqa: ARG001 - the cluster sets the number
        from hf_synthlabels.studies.students.job import Outcome
        from hf_synthlabels.studies.students.journal import CellFiles
        from hf_synthlabels.studies.tasks.training_tables import open_tables

        if not jobs:
            return
        with connected(ray, engine):
            tables: dict[Any, Any] = {}
            for job in jobs:
                if job.place not in tables:
                    opened = open_tables(job.place)
                    tables[job.place] = ray.put(
                        {part.name: _table(getattr(opened, part.name)) for part in fields(opened)}
                    )
            for job, content in _run_tasks(ray, engine, _train_job, jobs, lambda job: tables[job.place]):
                CellFiles(job.folder).write(job.key, content)
                yield Outcome.from_dict(content, job.cell)

    return train


def tuner_on(engine: Engine) -> Callable[[Sequence[RunTask], int], Iterable[RunResult]]:
    """Train the runs of a grid with Ray: the `engine` of `run_grid`.

    Tokenized rows are put into Ray's object store, where all runs of a machine share the memory; otherwise as
    `jobs_on`.

    Args:
        engine: cluster, and the share of processors and GPUs of each run.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = load_ray(engine)

    def train(tasks: Sequence[RunTask], workers: int) -> Iterator[RunResult]:
        from hf_synthlabels.training.search import run_tasks
        from hf_synthlabels.training.search.results import RunJournal, read_result
        from hf_synthlabels.training.search.shared_rows import open_rows

        remote = [task for task in tasks if task.save is None]
        if remote:
            with connected(ray, engine):
                tables: dict[Any, Any] = {}
                for task in remote:
                    if task.place not in tables:
                        rows = open_rows(task.place, task.names)
                        tables[task.place] = ray.put([_table(part) for part in (rows.pool, rows.validation, rows.test)])
                for task, content in _run_tasks(ray, engine, _train_task, remote, lambda task: tables[task.place]):
                    result = read_result(content)
                    RunJournal(task.folder).put(result)
                    yield result
        # A student that is saved is trained on the machine where it is saved.
        yield from run_tasks([task for task in tasks if task.save is not None], workers)

    return train


def _run_tasks(
    ray: Any,
    engine: Engine,
    function: Callable[[Any, Any], str],
    items: Sequence[Item],
    tables: Callable[[Item], Any],
) -> Iterator[tuple[Item, Any]]:
    """Call a function with each item and its tables on the cluster; yields items with results as they finish.

    Raises:
        TrainingError: a call failed, for another reason than a lost machine.
    """
    remote = ray.remote(function).options(
        num_cpus=engine.cpus_per_actor, num_gpus=engine.gpus_per_actor or None, max_retries=MAX_ATTEMPTS - 1
    )
    slots = int(ray.cluster_resources().get("CPU", 1) / max(engine.cpus_per_actor, 0.01))
    limit = engine.actors or QUEUED_PER_SLOT * max(1, slots)
    waiting = list(reversed(items))
    running: dict[Any, Item] = {}
    while waiting or running:
        while waiting and len(running) < limit:
            item = waiting.pop()
            running[remote.remote(item, tables(item))] = item
        (reference,), _ = ray.wait(list(running), num_returns=1)
        item = running.pop(reference)
        try:
            content = json.loads(ray.get(reference))
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            raise TrainingError(
                f"`engine`: a training run failed on the cluster with {lines[-1][:300]!r}. Finished runs are kept; run "
                "the same command again."
            ) from None
        yield item, content


def _train_job(job: Job, tables: dict[str, Any]) -> str:
    from hf_synthlabels.studies.students.learning import run_job
    from hf_synthlabels.studies.tasks.training_tables import Tables

    return json.dumps(run_job(job, Tables(**{name: _dataset(table) for name, table in tables.items()})).to_dict())


def _train_task(task: RunTask, tables: Sequence[Any]) -> str:
    from hf_synthlabels.training.search.run_training import ModelCache, train_run
    from hf_synthlabels.training.search.shared_rows import SharedRows

    pool, validation, test = (_dataset(table) for table in tables)
    rows = SharedRows(pool, validation, test, task.names, task.place.name)
    models = _model_caches.setdefault(task.names, ModelCache(task.names))
    return json.dumps(asdict(train_run(task.run, rows, models, task.key)))


def _table(dataset: Any) -> Any:
    """A data set as one Arrow table in memory, with its features."""
    return None if dataset is None else dataset.with_format("arrow")[:].combine_chunks()


def _dataset(table: Any) -> Any:
    from datasets import Dataset

    return None if table is None else Dataset(table)
