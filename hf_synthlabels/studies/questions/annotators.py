"""Annotators of a study: which model was asked what, how its answers were read, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hf_synthlabels.statistics.exhibits import Section, Table, Value
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.studies.runs import StudyRuns, TaskRuns

PARTS = {"train": "training rows", "test": "test rows"}
LONG = ("labels", "prompt", "question", "guidelines")
"""Facts with rows of their own."""


def sections_of(runs: StudyRuns) -> tuple[Section, ...]:
    """How each annotator was asked and what became of its rows; none where that was not recorded."""
    asked = [(task, name, each) for task in runs.tasks for name, each in task.annotators.items()]
    if not asked:
        return ()
    facts = tuple(row for task, name, each in asked for row in _facts(f"{task.name}, {name}", each["facts"]))
    labels = tuple(
        (f"{task.name}, {name}", label, definition or "no definition given")
        for task, name, each in asked
        for label, definition in each["facts"].get("labels", {}).items()
    )
    statuses = [row for task, name, each in asked for row in _statuses(task, name, each, runs.level)]
    exhibits = [
        Table("asked", "How each annotator was asked", ("annotator", "what", "value"), facts),
        Table(
            "statuses",
            "What became of the rows",
            ("annotator", "rows", "asked", "coverage", "by status"),
            tuple(statuses),
            "Coverage: share of the rows asked about that have a label.",
        ),
    ]
    if labels:
        exhibits.insert(1, Table("definitions", "Labels", ("annotator", "label", "definition"), labels))
    unread = tuple(
        f"{task.name}, {name}, {PARTS[part]}: {answer}{f' ({why})' if why else ''}"
        for task, name, each in asked
        for part in PARTS
        for answer, why in each.get(part, {}).get("unread", {}).items()
    )
    return (Section("annotators", "Who labelled, and what was asked?", _answer(asked), tuple(exhibits), unread),)


def warnings_of(runs: StudyRuns) -> tuple[str, ...]:
    """What a reader must know before any score: texts that are trained and tested on."""
    found = []
    for name, facts in dict(runs.facts or {}).get("tasks", {}).items():
        if not facts.get("shared_texts"):
            continue
        what = f"{facts['shared_texts']:,} training rows of {name} have texts that are also among its test rows"
        found.append(
            f"{what}; they were left out."
            if facts.get("shared_texts_dropped")
            else f"Warning: {what}, so the scores of its students are too high for new texts."
        )
    return tuple(found)


def _facts(where: str, facts: Mapping[str, Any]) -> Iterator[tuple[Value, ...]]:
    for name, value in facts.items():
        if name == "labels":
            continue
        if name == "price":
            prices = {key: amount for key, amount in value.items() if amount not in (None, "", 1.0)}
            value = ", ".join(f"{key.replace('_', ' ')} {amount}" for key, amount in prices.items())
        yield (where, name, str(value))


def _statuses(task: TaskRuns, name: str, each: Mapping[str, Any], level: float) -> Iterator[tuple[Value, ...]]:
    for part, rows in PARTS.items():
        counts = each.get(part, {}).get("statuses")
        if counts:
            asked = sum(counts.values()) - counts.get("skipped", 0)
            coverage = wilson(counts.get("labelled", 0), asked, level) if asked else None
            listed = ", ".join(f"{status} {count:,}" for status, count in counts.items())
            yield (f"{task.name}, {name}", rows, asked, coverage, listed)


def _answer(asked: list[tuple[TaskRuns, str, Mapping[str, Any]]]) -> str:
    said = []
    for task, name, each in asked:
        facts = each["facts"]
        model = facts.get("model that answered") or facts.get("model") or facts["client"]
        kind = (
            "a sentence encoder that compares texts with label names" if facts["client"] == "embedding" else "a model"
        )
        said.append(f"{name} on {task.name} is {kind}: {model} (client {facts['client']}).")
    return " ".join(said[:3]) + (f" {len(said) - 3:,} more are in the table." if len(said) > 3 else "")
