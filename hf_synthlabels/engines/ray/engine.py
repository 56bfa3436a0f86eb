"""Annotation of one recipe on all machines of a Ray cluster: label shards, then join them with the source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_synthlabels import errors
from hf_synthlabels.annotation import AnnotationJob, Recipe, RunStats, compile_variable
from hf_synthlabels.annotation.builder import UNFINISHED
from hf_synthlabels.annotation.provenance import record
from hf_synthlabels.annotation.run.progress_bars import progress_bar
from hf_synthlabels.annotation.run.run_progress import status_line
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.factory import open_server, split_rate_limits, tracked_budget
from hf_synthlabels.engines.ray.budget_actor import BudgetActor, gather_answers, merge_answers
from hf_synthlabels.engines.ray.cluster import (
    COLLECTOR,
    connected,
    load_ray,
    num_machines,
    on_this_machine,
    run_shards,
)
from hf_synthlabels.engines.ray.job import Job, Shard, is_complete, job_fingerprint, prepare
from hf_synthlabels.engines.ray.job_files import Folder, Sharded, begin_result, finish_result, read_result
from hf_synthlabels.engines.ray.remote_store import RemoteBudgetActor
from hf_synthlabels.engines.ray.worker import Assignment, LabelShards, WriteShards, shard_item
from hf_synthlabels.resources import store_path

FILE_SUFFIXES = (".parquet", ".jsonl", ".csv")

MAX_LOCAL_SHARDS = 32
"""Joining this many shards in this process is faster than starting workers for it."""

PROGRESS_S = 0.5

DRAIN_S = 40.0
"""How long to wait for workers at an interrupt; their clients wait 30 s for requests in flight."""


def annotate_with_ray(recipe: Recipe | dict[str, Any] | str | Path, output: str | Path) -> list[Sharded]:
    """Annotate a recipe's source on all machines of a Ray cluster. The labels equal those of one machine.

    The source is written in shards to the output folder. Each shard is labeled by one worker, which adds a file of row
    IDs and labels; then the labels are joined with the rows, in their order. The rate limits are split among the
    workers, and the budget is one account. To resume a run that was stopped or killed, call this again: finished rows
    are skipped, and answers come from the response store of this machine or their copies in the output folder.

    Args:
        recipe: path, name of a packaged recipe, or recipe; its `engine` describes the cluster.
        output: folder that all machines share, or a URL that fsspec supports, such as `s3://...`.

    Returns:
        The files of each split, with the provenance that is also in `provenance.json`.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: the output is not a folder, or cannot be reached.
        DataError: the source lacks a column or rows, row IDs are not unique, or the folder contains other data.
        ClientError: the cluster or the annotator cannot be reached, or all first rows failed.
        StoreError: answers or results cannot be written.
    """
    plan = compile_variable(recipe)
    ray = load_ray(plan.recipe.engine)
    if Path(str(output)).suffix in FILE_SUFFIXES:
        raise errors.ConfigError(f"`output` {str(output)!r} is a file; name a folder, with a file for each shard.")
    folder = Folder.at(str(output))
    fingerprint = job_fingerprint(plan)
    done = read_result(folder, fingerprint)
    if done is not None:
        return done
    if plan.client.kind == "openai":
        # Raises before any work starts.
        plan.client.endpoint.api_key()
    began = time.monotonic()
    with connected(ray, plan.recipe.engine):
        actors = plan.recipe.engine.actors or num_machines(ray)
        job = prepare(plan, folder, actors=actors)
        shipped = _with_response_format(plan, folder)
        # Examples are selected once, here.
        shipped.prompt()
        clients = tuple(split_rate_limits(shipped.client, actors))
        assignment = Assignment(replace(job, shards=()), shipped, clients)
        with _budget_actor(ray, folder, len(clients)) as actor:
            _label(ray, actor, job, assignment, plan)
        return _write(ray, job, assignment, plan, seconds=time.monotonic() - began)


def _with_response_format(job: AnnotationJob, output: Folder) -> AnnotationJob:
    """Copy earlier answers to this machine, and detect the response format once for all workers."""
    if job.client.kind not in ("openai", "transformers"):
        # Answers of other clients are not stored.
        return job
    with ResponseStore(store_path()) as store:
        gather_answers(output.folder("_work", "answers"), store)
        if job.response_format != "auto":
            return job
        with tracked_budget(job.client, job.recipe.name, store) as budget:
            server = open_server(job.client, job.client_use({}), store, budget)
    return replace(job, response_format=server.sampling.response_format)


@contextmanager
def _budget_actor(ray: Any, output: Folder, workers: int) -> Iterator[RemoteBudgetActor]:
    """The budget actor on this machine; at the end, its answers are copied to the output."""
    options = {"num_cpus": 0, "max_concurrency": 2 * workers + 2, "scheduling_strategy": on_this_machine(ray)}
    answers = output.folder("_work", "answers")
    handle = ray.remote(BudgetActor).options(**options).remote(str(store_path()), answers, workers)
    actor = RemoteBudgetActor(handle)
    try:
        yield actor
        actor.call("close")
    except BaseException:
        with suppress(Exception):
            actor.call("close")
        raise
    finally:
        ray.kill(handle)


def _label(ray: Any, actor: RemoteBudgetActor, job: Job, assignment: Assignment, plan: AnnotationJob) -> None:
    """First phase: label all unfinished rows."""
    parts = job.parts()
    shards = [shard for shard in job.shards if not is_complete(parts[shard.name])]
    while shards:
        items = [shard_item(shard, parts[shard.name]) for shard in shards]
        workers = (assignment, actor)

        def outcomes(items: list[dict[str, Any]] = items, workers: tuple[Any, ...] = workers) -> Iterator[Any]:
            return run_shards(ray, LabelShards, workers, items, plan.recipe.engine, actors=len(assignment.clients))

        with _progress(plan, sum(shard.rows for shard in shards), actor) as show:
            results = _collect(outcomes, actor, show)
        for outcome in results:
            parts[outcome["shard"]].append(outcome["part"])
        # Reservations that were not spent are available again, now that all workers have ended.
        over_budget = {outcome["shard"] for outcome in results if outcome["over_budget"]}
        progressed = any(outcome["finished"] for outcome in results)
        shards = [shard for shard in shards if shard.name in over_budget] if progressed else []


def _write(ray: Any, job: Job, assignment: Assignment, plan: AnnotationJob, *, seconds: float) -> list[Sharded]:
    """Second phase: write the rows of the source with their labels."""
    parts = job.parts()
    files = _file_names(job.shards)
    begin_result(job.output, job.fingerprint, list(files.values()))
    items = [shard_item(shard, parts[shard.name], files[shard.name]) for shard in job.shards]
    outcomes = list(_join(ray, items, assignment, plan))
    _raise_first(outcomes)
    stats_by_shard = {outcome["shard"]: outcome["stats"] for outcome in outcomes}
    splits: dict[str, tuple[list[str], dict[str, Any]]] = {}
    unfinished = 0
    for split in dict.fromkeys(shard.split for shard in job.shards):
        names = [shard.name for shard in job.shards if shard.split == split]
        stats = RunStats()
        for name in names:
            stats.add(stats_by_shard[name])
        unfinished += sum(stats.statuses[status] for status in UNFINISHED)
        provenance = record(plan, stats, seconds=seconds)
        splits[split] = ([files[name] for name in names], provenance)
    result = finish_result(job.output, job.fingerprint, splits, unfinished)
    if not unfinished:
        # The result contains all of it.
        job.output.folder("_work").remove(job.fingerprint)
    merge_answers(job.output.folder("_work", "answers"))
    return result


def _join(
    ray: Any, items: list[dict[str, Any]], assignment: Assignment, plan: AnnotationJob
) -> Iterator[dict[str, Any]]:
    if len(items) <= MAX_LOCAL_SHARDS:
        return map(WriteShards(assignment), items)
    actors = len(assignment.clients)
    return run_shards(ray, WriteShards, (assignment,), items, plan.recipe.engine, actors=actors)


def _file_names(shards: Sequence[Shard]) -> dict[str, str]:
    """The file name of each shard, as in data sets on the Hub."""
    counts = {split: sum(shard.split == split for shard in shards) for split in {shard.split for shard in shards}}
    return {shard.name: f"{shard.name}-of-{counts[shard.split]:05d}.parquet" for shard in shards}


def _collect(
    outcomes: Callable[[], Iterator[dict[str, Any]]], actor: RemoteBudgetActor, show: Callable[[], None]
) -> list[dict[str, Any]]:
    """All outcomes of a run; after an error or an interrupt, answers in flight are still stored.

    Raises:
        SynthLabelsError: an outcome is an error.
        KeyboardInterrupt: the user interrupts the run.
    """
    results: list[dict[str, Any]] = []
    failures: list[BaseException] = []
    # After an interrupt of `join`, a running thread looks dead, so the thread signals its end.
    ended = threading.Event()

    def collect() -> None:
        try:
            # Iterate to the end in any case: Ray prefetches, and cannot be shut down before it has finished.
            for outcome in outcomes():
                results.append(outcome)
                if "error" in outcome and not failures:
                    try:
                        actor.call("stop")
                    except errors.StoreError as error:
                        failures.append(error)
        except BaseException as error:
            failures.append(error)
        finally:
            ended.set()

    threading.Thread(target=collect, name=COLLECTOR, daemon=True).start()
    try:
        while not ended.wait(PROGRESS_S):
            show()
    except BaseException:
        # If the progress bar is the first to notice that the actor has died, leaving the cluster while outcomes are
        # collected would make Ray end this process.
        with suppress(errors.StoreError):
            actor.call("stop")
        ended.wait(DRAIN_S)
        raise
    if failures:
        raise failures[0]
    _raise_first(results)
    return results


def _raise_first(outcomes: Sequence[dict[str, Any]]) -> None:
    """Raise the first error among the outcomes; `StoppedError` only if there is no other."""
    failed = [outcome for outcome in outcomes if "error" in outcome]
    failed.sort(key=lambda outcome: outcome["error"] == "StoppedError")
    for outcome in failed[:1]:
        raise getattr(errors, outcome["error"], errors.SynthLabelsError)(outcome["message"])


@contextmanager
def _progress(job: AnnotationJob, total: int, actor: RemoteBudgetActor) -> Iterator[Callable[[], None]]:
    """A progress bar; yields the function that updates it."""
    with progress_bar(total=total, desc=job.recipe.name, unit=" rows") as bar:

        def show() -> None:
            stats = RunStats()
            stats.add(actor.call("total_stats"))
            # Ray waits silently until the cluster has free processors.
            line = status_line(job.client, stats, total) if actor.call("num_started") else "waiting for free processors"
            bar.set_postfix_str(line, refresh=False)
            # A row that is labeled again after the death of a worker counts once.
            bar.update(min(stats.rows, total) - bar.n)

        yield show
