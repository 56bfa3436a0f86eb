"""The runs of a grid on the machines of a Ray cluster: Ray Tune deals them out, this process keeps the journal."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.engines.ray.cluster import connected, load_ray
from hf_synthlabels.errors import TrainingError, import_extra

if TYPE_CHECKING:
    from hf_synthlabels.training.search import RunResult, RunTask

TRIES = 3
"""Of a run whose machine or process is lost."""

_models: dict[tuple[str, ...], Any] = {}
"""Encoders that this process of the cluster has loaded."""


def tuner_on(engine: Engine) -> Callable[[Sequence[RunTask], int], Iterable[RunResult]]:
    """What trains the runs of a grid with Ray Tune; give it to `run_grid` as its `engine`.

    Tokenised rows go into Ray's object store, where all runs of a machine read the same pages; models must be
    loadable on every machine. Results come back to this process, which writes the journal, so machines need no
    folder in common and a grid that is started again does what is missing. Every result is that of one machine.

    Args:
        engine: the cluster, and the share of processors and GPUs that a run takes.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = load_ray(engine)
    tune = import_extra("ray.tune", "ray")

    def train(tasks: Sequence[RunTask], workers: int) -> Iterable[RunResult]:
        from hf_synthlabels.training.search import run_tasks

        remote = [task for task in tasks if task.save is None]
        if remote:
            with connected(ray, engine):
                yield from _tuned(ray, tune, engine, remote)
        # A student that is to be kept is trained where it is kept.
        yield from run_tasks([task for task in tasks if task.save is not None], workers)

    return train


def _tuned(ray: Any, tune: Any, engine: Engine, tasks: Sequence[RunTask]) -> list[RunResult]:
    """All tasks as trials of one grid search.

    Raises:
        TrainingError: a run failed on the cluster; what had finished is in the journal.
    """
    from hf_synthlabels.training.search.shared_rows import open_rows

    found: dict[str, RunResult] = {}
    tables = {}
    for task in tasks:
        if task.place not in tables:
            rows = open_rows(task.place, task.names)
            parts = (rows.pool, rows.validation, rows.test)
            tables[task.place] = ray.put(tuple(None if part is None else _table(part) for part in parts))
    contents = [{"task": task, "tables": tables[task.place]} for task in tasks]
    with tempfile.TemporaryDirectory(prefix="synthlabels-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(_trainable(tune), {"cpu": engine.cpus_per_actor, "gpu": engine.gpus_per_actor}),
            param_space={"number": tune.grid_search(list(range(len(tasks)))), "contents": ray.put(contents)},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=engine.actors),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[_keeper(tune, tasks, found)],
                failure_config=tune.FailureConfig(max_failures=TRIES - 1),
                log_to_file=False,
            ),
        )
        grid = tuner.fit()
        if grid.errors:
            words = str(grid.errors[0]).strip().splitlines()
            raise TrainingError(
                f"`engine`: {len(grid.errors)} of {len(tasks)} runs failed on the cluster, the first with "
                f"{words[-1][:300]!r}. What had finished is kept; run it again."
            )
    return list(found.values())


def _trainable(tune: Any) -> Any:
    """A class of Ray's, made where Ray is there: one run is one step; its process then takes the next run."""

    class OneRun(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: Mapping[str, Any]) -> None:
            self.number, self.contents = config["number"], config["contents"]

        def reset_config(self, new_config: Mapping[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            import ray

            content = ray.get(self.contents)[self.number]
            return {"outcome": _train(content["task"], ray.get(content["tables"])), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """A run is done anew, not gone on with."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """There is nothing to load."""

    return OneRun


def _keeper(tune: Any, tasks: Sequence[RunTask], found: dict[str, RunResult]) -> Any:
    """Writes each result into the journal as it comes."""
    from hf_synthlabels.training.search.runs import RunJournal, read_result

    class Keeper(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, *_: Any, result: Mapping[str, Any], **__: Any) -> None:
            if "outcome" in result:
                done = read_result(json.loads(result["outcome"]))
                RunJournal(tasks[0].folder).put(done)
                found[done.key] = done

    return Keeper()


def _train(task: RunTask, tables: Sequence[Any]) -> str:
    from datasets import Dataset

    from hf_synthlabels.training.search.run_training import ModelCache, train_run
    from hf_synthlabels.training.search.shared_rows import SharedRows

    pool, validation, test = (None if table is None else Dataset(table) for table in tables)
    if pool is None or validation is None:
        raise ValueError("a grid has rows to train on and rows to choose on")
    rows = SharedRows(pool, validation, test, task.names, task.place.name)
    models = _models.setdefault(task.names, ModelCache(task.names))
    return json.dumps(asdict(train_run(task.run, rows, models, task.key)))


def _table(dataset: Any) -> Any:
    """The rows as one Arrow table in memory, with what `datasets` knows of its columns."""
    return dataset.with_format("arrow")[:].combine_chunks()
