"""Training of one cell and its predictions for the test rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from datasets import Dataset, Features, concatenate_datasets

from hf_synthlabels.errors import DataError, SynthLabelsError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.studies.strategies import known_strategies
from hf_synthlabels.studies.students.job import HUMAN, LABEL, Job, Outcome, student_options, training_steps
from hf_synthlabels.studies.students.regression import learn_by_regression
from hf_synthlabels.studies.students.writing import learn_to_write
from hf_synthlabels.studies.tasks.training_tables import Tables

NAMED = ("text-classification", "text-pair")
WITHOUT_NAMES = ("text-scale", "question-answering", "text-generation")


def run_job(job: Job, tables: Tables) -> Outcome:
    """Train a cell and predict the test rows; a failed cell records the error.

    The same job gives the same answers.
    """
    ways: Mapping[str, Callable[[Job, Tables], Outcome]] = {
        "encoder": _learn_with_head,
        "writer": learn_to_write,
        "tfidf": learn_by_regression,
        "vectors": learn_by_regression,
    }
    began = time.perf_counter()
    try:
        outcome = ways[job.learner](_mixed(job), tables)
    except SynthLabelsError as error:
        outcome = Outcome(job.key, job.cell, failed=str(error))
    return replace(outcome, wall_s=time.perf_counter() - began)


def check_options(jobs: Sequence[Job]) -> None:
    """Refuse options that no student has, before anything is trained.

    Args:
        jobs: all that are to be trained; one for each student and kind of label is looked at.

    Raises:
        ConfigError: an option is unknown or has an invalid value.
    """
    looked_at = {(job.cell.student, job.schema.kind): job for job in jobs if job.learner in ("encoder", "writer")}
    if not looked_at:
        return
    from hf_synthlabels.training import StudentConfig

    for job in looked_at.values():
        options = student_options(replace(job, cell=replace(job.cell, strategy="plain"), few=None), 1, "student")
        if job.learner == "writer":
            options |= {"task": "text-generation", "text_columns": ["instruction"]}
            options.pop("scale", None)
        StudentConfig.from_dict(options, where=f"`students.{job.cell.student}`")


def labeled_table(texts: Dataset, schema: LabelSchema, columns: Mapping[str, Sequence[Any]]) -> Dataset:
    """Rows with columns of labels, in the schema's own feature."""
    features = Features({name: schema.feature() for name in columns})
    added = Dataset.from_dict({name: list(values) for name, values in columns.items()}, features=features)
    return concatenate_datasets([texts, added], axis=1)


def _mixed(job: Job) -> Job:
    """Replace labels by the human labels where the strategy only mixes them."""
    if job.few is None or job.cell.strategy != "mix" or (job.learner == "encoder" and job.schema.kind in NAMED):
        return job
    labels = tuple(label if few is None else few for label, few in zip(job.labels, job.few, strict=True))
    return replace(job, labels=labels, few=None)


def _learn_with_head(job: Job, tables: Tables) -> Outcome:
    import torch

    from hf_synthlabels.studies.students.epochs import EpochAnswers
    from hf_synthlabels.training import StudentConfig, train_student

    train = labeled_table(tables.pool.select(job.rows), job.schema, {LABEL: job.labels, **_few(job)})
    train = _with_extras(train, job)
    steps = training_steps(job, job.nominal, sum(label is not None for label in job.few or ()))[0]
    names = () if job.schema.kind in WITHOUT_NAMES else job.schema.names
    before = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        with tempfile.TemporaryDirectory(prefix="synthlabels-cell-") as scratch:
            config = StudentConfig.from_dict(student_options(job, steps, scratch), where="`students`")
            watcher = EpochAnswers(tables.test, names) if job.evaluate_each_epoch else None
            student = train_student(
                config,
                train,
                names=names,
                eval=tables.validation if str(_plain(config.eval_strategy)) != "no" else None,
                callbacks=[] if watcher is None else [watcher],
            )
            began = time.perf_counter()
            answers = tuple(student.predict(tables.test).column())
            predict_s = time.perf_counter() - began
    finally:
        torch.set_num_threads(before)
    metrics, read_s = student.metrics, 0.0 if watcher is None else watcher.seconds
    return Outcome(
        job.key,
        job.cell,
        answers,
        () if watcher is None else _read(watcher.read, answers),
        int(metrics["train_steps"] + metrics.get("human_train_steps", 0)),
        sum(label is not None or few is not None for label, few in zip(job.labels, job.few or job.labels, strict=True)),
        metrics["train_seconds"] + metrics.get("human_train_seconds", 0.0) - read_s,
        predict_s,
    )


def _few(job: Job) -> dict[str, Sequence[Any]]:
    return {} if job.few is None else {HUMAN: job.few}


def _with_extras(train: Dataset, job: Job) -> Dataset:
    """Soft labels or confidence, where the strategy wants them.

    Raises:
        DataError: the source has none.
    """
    way = known_strategies()[job.cell.strategy]
    wanted = None if way is None else way.needs
    values = {"probs": job.probs, "confidence": job.confidence}.get(wanted or "")
    if wanted is not None and values is None:
        raise DataError(
            f"`strategies` has {job.cell.strategy!r}, which needs {wanted}, and the source {job.cell.source!r} has "
            "none. Let its annotator draw several answers, or leave the strategy out."
        )
    return train if wanted is None or values is None else train.add_column(wanted, list(values))


def _read(
    read: Sequence[tuple[float, tuple[Any, ...]]], answers: tuple[Any, ...]
) -> tuple[tuple[float, tuple[Any, ...]], ...]:
    """The readings, of which the last is what the student answers in the end."""
    return (*read[:-1], (read[-1][0], answers)) if read else ()


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)
