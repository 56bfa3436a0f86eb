"""Generative students: instruction tuning on a base mix and a task's rows, with strict parsing of the answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from hf_synthlabels.annotation import Task
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema, answer_text, decode, encode, parse
from hf_synthlabels.statistics.agreement.answers import token_f1
from hf_synthlabels.studies.students.job import Job, Outcome, student_options, training_steps
from hf_synthlabels.studies.tasks.training_tables import INSTRUCTION, OUTPUT, Tables


def instruction_text(task: Task, schema: LabelSchema) -> str:
    """Instruction of a generative student: the recipe's instructions and the valid answers."""
    lines = [task.instructions_or_default()]
    match schema.kind:
        case "text-classification" | "text-pair":
            lines.append(f"Answer with one of: {', '.join(schema.names)}.")
        case "multi-label":
            lines.append(f"Answer with all that fit, separated by commas, or none: {', '.join(schema.names)}.")
        case "text-scale":
            lines.append(f"Answer with a number on the scale {schema.scale}.")
        case "token-classification":
            lines.append(f'Answer with a JSON list of {{"text", "label"}}; the labels are: {", ".join(schema.names)}.')
        case "question-answering":
            lines.append("Answer with words of the context and nothing else.")
        case "text-generation":
            pass
    return "\n".join(lines)


def learn_to_write(job: Job, tables: Tables) -> Outcome:
    """Train a causal language model on base rows and the cell's rows, and read what it writes for the test rows.

    Raises:
        DataError: there is nothing to learn from.
        SynthLabelsError: as `train_student` says.
    """
    import torch

    from hf_synthlabels.studies.students.epochs import EpochAnswers
    from hf_synthlabels.training import StudentConfig, train_student

    own = _examples(job, tables)
    train = own if tables.base is None else concatenate_datasets([tables.base, own])
    if not len(train):
        raise DataError(f"`sources` {job.cell.source!r} has no label in {len(job.rows)} rows. Look at its answers.")
    asked = Dataset.from_dict({INSTRUCTION: _instructions(job, tables.test)})
    n_base = 0 if tables.base is None else len(tables.base)
    before = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        with tempfile.TemporaryDirectory(prefix="synthlabels-cell-") as scratch:
            options = student_options(job, training_steps(job, job.nominal + n_base, 0)[0], scratch)
            # So that steps are counted in examples; packed ones are gone through by epochs.
            packed = options.setdefault("packing", False)
            options |= {"text_columns": [INSTRUCTION], "label_column": OUTPUT, "task": "text-generation"}
            config = StudentConfig.from_dict(options | ({"max_steps": -1} if packed else {}), where="`students`")
            watcher = EpochAnswers(asked, ()) if job.evaluate_each_epoch else None
            student = train_student(config, train, callbacks=[] if watcher is None else [watcher])
            began = time.perf_counter()
            said = student.predict(asked).labels
            predict_s = time.perf_counter() - began
            score = None if tables.held_out is None else _base_score(student, tables.held_out)
    finally:
        torch.set_num_threads(before)
    read = () if watcher is None else tuple((epoch, _read(job, tables.test, texts)) for epoch, texts in watcher.read)
    return Outcome(
        job.key,
        job.cell,
        _read(job, tables.test, said),
        read,
        int(student.metrics["train_steps"]),
        len(own),
        student.metrics["train_seconds"] - (0.0 if watcher is None else watcher.seconds),
        predict_s,
        base_score=score,
    )


def _examples(job: Job, tables: Tables) -> Dataset:
    """The cell's labeled rows as instructions with their answers."""
    kept = [place for place, label in enumerate(job.labels) if label is not None]
    rows = tables.pool.select([job.rows[place] for place in kept])
    labels = [decode(job.schema, job.labels[place], codes=True) for place in kept]
    answers = ["" if label is None else answer_text(label, as_json=False) for label in labels]
    return Dataset.from_dict(
        {INSTRUCTION: _instructions(job, rows), OUTPUT: answers}, features=None if kept else _none()
    )


def _none() -> Any:
    from datasets import Features, Value

    return Features({INSTRUCTION: Value("string"), OUTPUT: Value("string")})


def _instructions(job: Job, rows: Dataset) -> list[str]:
    shown = [job.form.read(row) for row in rows]
    return [f"{job.prompt}\n\n{'' if row is None else row.text}" for row in shown]


def _read(job: Job, test: Dataset, said: Sequence[Any]) -> tuple[Any, ...]:
    """What is a label of the schema, as its value; None for anything else."""
    if job.schema.kind == "text-generation":
        return tuple(said)
    found = []
    for row, text in zip(test, said, strict=True):
        shown = job.form.read(row)
        context, question = ("", "") if shown is None else (shown.context, shown.question)
        answer = parse(job.schema, str(text or ""), context, question)
        label = None if answer.label == "abstain" else answer.label
        found.append(encode(job.schema, label))
    return tuple(found)


def _base_score(student: Any, held_out: Dataset) -> float:
    """Mean F1 of the words that it writes for instructions of the base, against their answers."""
    said = student.predict(held_out.select_columns([INSTRUCTION])).labels
    return float(
        np.mean([token_f1(gold, str(text or "")) for gold, text in zip(held_out[OUTPUT][:], said, strict=True)])
    )
