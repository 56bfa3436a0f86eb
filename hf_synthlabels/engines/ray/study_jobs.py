"""The cells of a study on the machines of a Ray cluster: each is a task of its own, this process keeps the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.engines.ray.cluster import connected, load_ray
from hf_synthlabels.errors import TrainingError

if TYPE_CHECKING:
    from hf_synthlabels.studies.students.job import Job, Outcome

TRIES = 3
"""Of a cell whose machine or process is lost."""

AHEAD = 2
"""Cells that wait for each one that is trained: a machine never waits for this process."""


def jobs_on(engine: Engine) -> Callable[[Sequence[Job], int], Iterable[Outcome]]:
    """What trains the cells of a study with Ray; give it to `run_study` as its `engine`.

    Texts go into Ray's object store once; models must be loadable on every machine. Outcomes come back to this process,
    which writes the journal, so machines need no folder in common and a study that is started again does what is
    missing.

    Args:
        engine: the cluster, and the share of processors and GPUs that a cell takes.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = load_ray(engine)

    def train(jobs: Sequence[Job], workers: int) -> Iterable[Outcome]:  # noqa: ARG001 - the cluster knows how many
        if jobs:
            with connected(ray, engine):
                yield from _spread(ray, engine, jobs)

    return train


def _spread(ray: Any, engine: Engine, jobs: Sequence[Job]) -> Iterable[Outcome]:
    """The outcomes of all jobs, each as it comes and kept.

    Raises:
        TrainingError: a cell failed on the cluster for another reason than its rows; what had finished is kept.
    """
    from hf_synthlabels.studies.journal import CellFiles
    from hf_synthlabels.studies.students.job import Outcome
    from hf_synthlabels.studies.tasks.training_tables import open_tables

    tables: dict[Any, Any] = {}
    for job in jobs:
        if job.place not in tables:
            opened = open_tables(job.place)
            parts = {part.name: getattr(opened, part.name) for part in fields(opened)}
            tables[job.place] = ray.put({name: None if rows is None else _table(rows) for name, rows in parts.items()})
    work = ray.remote(_work).options(
        num_cpus=engine.cpus_per_actor, num_gpus=engine.gpus_per_actor or None, max_retries=TRIES - 1
    )
    slots = engine.actors or max(1, int(ray.cluster_resources().get("CPU", 1) / max(engine.cpus_per_actor, 0.01)))
    most = slots if engine.actors else slots * AHEAD
    waiting = list(reversed(jobs))
    running: dict[Any, Job] = {}
    while waiting or running:
        while waiting and len(running) < most:
            job = waiting.pop()
            running[work.remote(job, tables[job.place])] = job
        done, _ = ray.wait(list(running), num_returns=1)
        job = running.pop(done[0])
        try:
            content = json.loads(ray.get(done[0]))
        except ray.exceptions.RayError as error:
            words = str(error).strip().splitlines()
            raise TrainingError(
                f"`engine`: a cell failed on the cluster with {words[-1][:300]!r}. What had finished is kept; run it "
                "again."
            ) from None
        CellFiles(job.folder).write(job.key, content)
        yield Outcome.from_dict(content, job.cell)


def _work(job: Job, tables: dict[str, Any]) -> str:
    """On a machine of the cluster; plain values travel back."""
    from datasets import Dataset

    from hf_synthlabels.studies.students.learning import run_job
    from hf_synthlabels.studies.tasks.training_tables import Tables

    parts = {name: None if table is None else Dataset(table) for name, table in tables.items()}
    return json.dumps(run_job(job, Tables(**parts)).to_dict())


def _table(dataset: Any) -> Any:
    """The rows as one Arrow table in memory, with what `datasets` knows of its columns."""
    return dataset.with_format("arrow")[:].combine_chunks()
