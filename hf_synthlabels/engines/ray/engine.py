"""Annotating with Ray: one recipe on all machines of a cluster, into Parquet files, by row id in two phases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_synthlabels import errors
from hf_synthlabels.annotation import AnnotationJob, Recipe, RunStats, compile_recipe
from hf_synthlabels.annotation.builder import UNFINISHED
from hf_synthlabels.annotation.provenance import record
from hf_synthlabels.annotation.run.progress_bars import progress_bar
from hf_synthlabels.annotation.run.run_progress import status_line
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.factory import open_server, split_rate_limits, tracked_budget
from hf_synthlabels.clients.openai.transport import read_api_key
from hf_synthlabels.engines.ray.budget_actor import BudgetActor, gather_answers, merge_answers
from hf_synthlabels.engines.ray.cluster import (
    COLLECTOR,
    RemoteDesk,
    connected,
    load_ray,
    machines,
    on_this_machine,
    run_shards,
)
from hf_synthlabels.engines.ray.job import Job, Shard, is_complete, job_fingerprint, prepare
from hf_synthlabels.engines.ray.job_files import Folder
from hf_synthlabels.engines.ray.job_result import Sharded, begin_result, finish_result, read_result
from hf_synthlabels.engines.ray.worker import Assignment, LabelShards, WriteShards, item_of
from hf_synthlabels.resources import store_path

FILE_SUFFIXES = (".parquet", ".jsonl", ".csv")

WRITTEN_HERE = 32
"""So few shards are joined and written by this process sooner than others could be started for it."""

LOOK_S = 0.5
DRAIN_S = 40.0
"""How long actors are waited for when the run is to end; their clients wait 30 s for what is on the way."""


def annotate_with_ray(recipe: Recipe | dict[str, Any] | str | Path, output: str | Path) -> list[Sharded]:
    """Annotate a recipe's source on all machines of a Ray cluster: the labels are those of one machine.

    The source is cut into shards under the output folder. First the shards are labelled, each by one actor, which
    adds a file of row ids and labels; then these are joined to the source's rows, in their order. The limits of the
    annotator are shared out among the actors, and its budget is one account. A run that was stopped or killed is
    simply run again: finished rows are not looked at, and what had been answered comes from the response store of
    this machine, or from the copy under the output folder.

    Args:
        recipe: a path, a packaged recipe's name, or a recipe; its `engine` says which cluster.
        output: a folder, as a path that all machines share or as an address that fsspec knows, such as `s3://...`.

    Returns:
        The files of each split, with the provenance that also stands in `provenance.json`.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: the output is no folder, or one that can not be reached.
        DataError: the source lacks a column or rows, row ids are not unique, or the folder holds other data.
        ClientError: the cluster or the annotator can not be reached, or all first rows failed.
        StoreError: answers or results can not be written.
    """
    plan = compile_recipe(recipe)
    ray = load_ray(plan.recipe.engine)
    if Path(str(output)).suffix in FILE_SUFFIXES:
        raise errors.ConfigError(f"`output` {str(output)!r} is a file; many machines write many. Name a folder.")
    folder = Folder.at(str(output))
    fingerprint = job_fingerprint(plan)
    done = read_result(folder, fingerprint)
    if done is not None:
        return done
    if plan.client.kind == "openai":
        # Told before anything is cut or started.
        read_api_key(plan.client.api_key_env)
    began = time.monotonic()
    with connected(ray, plan.recipe.engine):
        actors = plan.recipe.engine.actors or machines(ray)
        job = prepare(plan, folder, actors=actors)
        shipped = _with_known_format(plan, folder)
        # Examples are selected once, here.
        shipped.prompt()
        clients = tuple(split_rate_limits(shipped.client, actors))
        assignment = Assignment(replace(job, shards=()), shipped, clients)
        with _bookkeeper(ray, folder, len(clients)) as desk:
            _label(ray, desk, job, assignment, plan)
        return _write(ray, job, assignment, plan, seconds=time.monotonic() - began)


def _with_known_format(job: AnnotationJob, output: Folder) -> AnnotationJob:
    """Gather known answers on this machine, and detect the response format once for all actors."""
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
def _bookkeeper(ray: Any, output: Folder, actors: int) -> Iterator[RemoteDesk]:
    """The one who writes for all, on this machine; what it wrote is copied to the output at the end."""
    options = {"num_cpus": 0, "max_concurrency": 2 * actors + 2, "scheduling_strategy": on_this_machine(ray)}
    answers = output.folder("_work", "answers")
    handle = ray.remote(BudgetActor).options(**options).remote(str(store_path()), answers, actors)
    desk = RemoteDesk(handle)
    try:
        yield desk
        desk.ask("close")
    except BaseException:
        with suppress(Exception):
            desk.ask("close")
        raise
    finally:
        ray.kill(handle)


def _label(ray: Any, desk: RemoteDesk, job: Job, assignment: Assignment, plan: AnnotationJob) -> None:
    """The first phase: every row that is not finished is asked."""
    parts = job.parts()
    shards = [shard for shard in job.shards if not is_complete(parts[shard.name])]
    while shards:
        items = [item_of(shard, parts[shard.name]) for shard in shards]
        workers = (assignment, desk.bookkeeper)

        def outcomes(items: list[dict[str, Any]] = items, workers: tuple[Any, ...] = workers) -> Iterator[Any]:
            return run_shards(ray, LabelShards, workers, items, plan.recipe.engine, actors=len(assignment.clients))

        with _shown(plan, sum(shard.rows for shard in shards), desk) as show:
            found = _collected(outcomes, desk, show)
        for outcome in found:
            parts[outcome["shard"]].append(outcome["part"])
        # What some actors had reserved and did not need is there again, when all have ended.
        wanting = {outcome["shard"] for outcome in found if outcome["over_budget"]}
        gained = any(outcome["finished"] for outcome in found)
        shards = [shard for shard in shards if shard.name in wanting] if gained else []


def _write(ray: Any, job: Job, assignment: Assignment, plan: AnnotationJob, *, seconds: float) -> list[Sharded]:
    """The second phase: the rows of the source with their labels."""
    parts = job.parts()
    files = _file_names(job.shards)
    begin_result(job.output, job.fingerprint, list(files.values()))
    items = [item_of(shard, parts[shard.name], files[shard.name]) for shard in job.shards]
    outcomes = list(_written(ray, items, assignment, plan))
    _raise_first(outcomes)
    tallies = {outcome["shard"]: outcome["tally"] for outcome in outcomes}
    splits: dict[str, tuple[list[str], dict[str, Any]]] = {}
    unfinished = 0
    for split in dict.fromkeys(shard.split for shard in job.shards):
        names = [shard.name for shard in job.shards if shard.split == split]
        tally = RunStats()
        for name in names:
            tally.add(tallies[name])
        unfinished += sum(tally.statuses[status] for status in UNFINISHED)
        made = record(plan, tally, seconds=seconds)
        splits[split] = ([files[name] for name in names], made)
    result = finish_result(job.output, job.fingerprint, splits, unfinished)
    if not unfinished:
        # All that is in it is in the result as well.
        job.output.folder("_work").remove(job.fingerprint)
    merge_answers(job.output.folder("_work", "answers"))
    return result


def _written(
    ray: Any, items: list[dict[str, Any]], assignment: Assignment, plan: AnnotationJob
) -> Iterator[dict[str, Any]]:
    if len(items) <= WRITTEN_HERE:
        return map(WriteShards(assignment), items)
    actors = len(assignment.clients)
    return run_shards(ray, WriteShards, (assignment,), items, plan.recipe.engine, actors=actors)


def _file_names(shards: Sequence[Shard]) -> dict[str, str]:
    """The file of each shard by its name, as data sets on the Hub call theirs."""
    counts = {split: sum(shard.split == split for shard in shards) for split in {shard.split for shard in shards}}
    return {shard.name: f"{shard.name}-of-{counts[shard.split]:05d}.parquet" for shard in shards}


def _collected(
    outcomes: Callable[[], Iterator[dict[str, Any]]], desk: RemoteDesk, show: Callable[[], None]
) -> list[dict[str, Any]]:
    """All outcomes of a run; when one is an error, or the user interrupts, what is on the way is still kept.

    Raises:
        SynthLabelsError: of an outcome.
        KeyboardInterrupt: the user's.
    """
    found: list[dict[str, Any]] = []
    trouble: list[BaseException] = []
    # A thread that is joined looks dead after an interrupt, so that its end is told by itself.
    ended = threading.Event()

    def collect() -> None:
        try:
            # To the end, whatever happens: Ray fetches ahead, and can not be left before it has nothing more to fetch.
            for outcome in outcomes():
                found.append(outcome)
                if "error" in outcome and not trouble:
                    try:
                        desk.ask("stop")
                    except errors.StoreError as error:
                        trouble.append(error)
        except BaseException as error:
            trouble.append(error)
        finally:
            ended.set()

    threading.Thread(target=collect, name=COLLECTOR, daemon=True).start()
    try:
        while not ended.wait(LOOK_S):
            show()
    except BaseException:
        # The one who shows can be the first to see that the bookkeeper is gone, and who then leaves the cluster while
        # outcomes are still collected has his whole process ended by Ray.
        with suppress(errors.StoreError):
            desk.ask("stop")
        ended.wait(DRAIN_S)
        raise
    if trouble:
        raise trouble[0]
    _raise_first(found)
    return found


def _raise_first(outcomes: Sequence[dict[str, Any]]) -> None:
    """Raise the error of the first outcome that has one; that a run was stopped is only said when nothing else is."""
    failed = [outcome for outcome in outcomes if "error" in outcome]
    failed.sort(key=lambda outcome: outcome["error"] == "StoppedError")
    for outcome in failed[:1]:
        raise getattr(errors, outcome["error"], errors.SynthLabelsError)(outcome["message"])


@contextmanager
def _shown(job: AnnotationJob, total: int, desk: RemoteDesk) -> Iterator[Callable[[], None]]:
    """A bar on standard error where somebody sees it, brought up to date by calling what is yielded."""
    with progress_bar(total=total, desc=job.recipe.name, unit=" rows") as bar:

        def show() -> None:
            tally = RunStats()
            tally.add(desk.ask("standing"))
            # Ray waits without a word until the cluster has processors to spare.
            words = status_line(job.client, tally, total) if desk.ask("seated") else "waiting for free processors"
            bar.set_postfix_str(words, refresh=False)
            # A row that was asked again after the death of an actor is one row.
            bar.update(min(tally.rows, total) - bar.n)

        yield show
