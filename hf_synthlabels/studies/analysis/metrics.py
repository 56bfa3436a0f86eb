"""Metrics: which scorers of written answers are comparable within tasks and across them, and blind to format."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import MissingExtraError
from hf_synthlabels.judging import Audit, AuditOptions, audit_metric, score_table
from hf_synthlabels.judging.scorers.text import Bleu, ExactMatch, Rouge
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1
from hf_synthlabels.statistics.exhibits import Intervals, Section, Table, Value
from hf_synthlabels.studies.analysis.base import Analysis, TaskAnalysis, analysed
from hf_synthlabels.studies.runs import StudyRuns, TaskRuns
from hf_synthlabels.studies.wording import counted, joined

STATISTICS = {
    "cit_kendall": "CIT: tau within tasks",
    "cat_offset": "CAT: offset between tasks (less is better)",
    "cat_transfer": "CAT: transfer to other tasks",
    "tfa_icc": "TFA: ICC over formats",
    "tfa_auc": "TFA: right in any format over wrong in the bare one",
}
REFERENCE_FORMAT = "label"
"""The format in which human answers are written."""

SENTENCES = {
    "question-answering": ("The answer to the question is {answer}.", "answer"),
    "text-generation": ("Here is what I would write: {answer}", "text"),
}
"""The sentence around an answer, and its key in JSON."""

PROPERTIES = {"cit": "within tasks (CIT)", "cat": "across tasks (CAT)", "tfa": "whatever the format (TFA)"}
MAX_ANSWERS = 150
"""Of a task, spread over its conditions and rows: each is written in every format."""

RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class _Row:
    task: str
    item: str
    form: str
    system: str
    answer: str
    golds: tuple[str, ...]
    right: float


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """The audit of common scorers on this study's written answers; none where nothing was written."""
    analysis = analysed(runs)
    rows = [row for task in analysis.tasks for row in _rows(task)]
    if not any(row.right for row in rows) or all(row.right for row in rows):
        return ()
    audits = _audits(rows, analysis.runs.level)
    shown = [name for name in STATISTICS if any(_known(audit.scores.get(name)) for audit in audits.values())]
    heads = ("scorer", *(STATISTICS[name] for name in shown), "CIT", "CAT", "TFA")
    table = tuple(
        (
            name,
            *(_value(audit, statistic) for statistic in shown),
            *(audit.verdicts[part].replace("_", " ") for part in ("cit", "cat", "tfa")),
        )
        for name, audit in audits.items()
    )
    answers = len({(row.item, row.system) for row in rows})
    tasks = len({row.task for row in rows})
    formats = len({row.form for row in rows})
    note = (
        f"{answers:,} answers of {counted(tasks, 'task')}, each in {formats} formats. An answer is right where its "
        "words are those of a human one. A property passes when the scorer is better than the baselines, length and "
        "ROUGE-1, in all of its statistics beyond chance."
    )
    panels = {
        STATISTICS[name]: tuple(
            (scorer, value)
            for scorer, audit in audits.items()
            if isinstance(value := _value(audit, name), Interval) and _known(value)
        )
        for name in shown[:1]
    }
    exhibits = (
        Intervals("metrics", "Agreement with being right", panels, "tau", note=note),
        Table("metrics_table", "What each scorer passes", heads, table, note),
    )
    notes = (
        "Exact match is the yardstick of being right itself, read through the format: within the bare format it agrees "
        "by construction.",
    )
    title = "Metric validity"
    return (Section("metrics", title, _answer(audits, answers, tasks), exhibits, notes),)


def _rows(task: TaskAnalysis) -> list[_Row]:
    """Answers of the students with the most rows, each in every format."""
    runs = task.runs
    if runs.kind not in SENTENCES:
        return []
    conditions = list({(condition.student, condition.labels): condition for condition in task.plain()}.values())
    found = []
    for place, condition in enumerate(conditions):
        answers = next(iter(task.conditions[condition].values())).answers
        # Every condition other rows, so that the items are many; the same step for all.
        for row in range(place, len(answers), max(1, len(answers) * len(conditions) // MAX_ANSWERS)):
            found += _in_formats(runs, row, answers[row], f"{condition.student}, {condition.labels}")
    return found


def _in_formats(runs: TaskRuns, row: int, answer: Any, system: str) -> list[_Row]:
    said = _text(answer)
    if not normalize_answer(said):
        return []
    golds = tuple(_text(gold) for gold in runs.truth[row])
    right = float(any(normalize_answer(gold) == normalize_answer(said) for gold in golds))
    sentence, key = SENTENCES[runs.kind]
    bare = said.strip()
    formats = {
        REFERENCE_FORMAT: bare,
        "sentence": sentence.replace("{answer}", bare),
        "json": json.dumps({key: bare}, ensure_ascii=False),
        "upper": bare.upper(),
    }
    return [_Row(runs.name, f"{runs.name}:{row}", form, system, text, golds, right) for form, text in formats.items()]


def _audits(rows: Sequence[_Row], level: float) -> Mapping[str, Audit]:
    scores = _scores(rows)
    baselines = {name: values for name, values in scores.items() if name == "rouge1"}
    options = AuditOptions(bootstrap=BootstrapConfig(level, RESAMPLES), reference_format=REFERENCE_FORMAT)
    return {
        name: audit_metric(
            values,
            [row.right for row in rows],
            [row.task for row in rows],
            items=[row.item for row in rows],
            formats=[row.form for row in rows],
            systems=[row.system for row in rows],
            lengths=[float(len(row.answer.split())) for row in rows],
            baselines={other: each for other, each in baselines.items() if other != name},
            options=options,
        )
        for name, values in scores.items()
    }


def _scores(rows: Sequence[_Row]) -> dict[str, list[float]]:
    """The scores that need no model, by name; ROUGE where its library is installed."""
    answers, golds = [row.answer for row in rows], [row.golds for row in rows]
    scores = score_table([ExactMatch(as_squad=True), Bleu()], answers, golds)
    scores["token_f1"] = [max(token_f1(gold, row.answer) for gold in row.golds) for row in rows]
    try:
        return scores | score_table([Rouge("rouge1"), Rouge("rougeL")], answers, golds)
    except MissingExtraError:
        return scores


def _value(audit: Audit, statistic: str) -> Value:
    found = audit.scores.get(statistic)
    return found if _known(found) else None


def _known(found: Interval | None) -> bool:
    return found is not None and not math.isnan(found.estimate)


def _answer(audits: Mapping[str, Audit], answers: int, tasks: int) -> str:
    said = []
    for part, words in (
        ("cit", "within tasks (CIT)"),
        ("cat", "across tasks (CAT)"),
        ("tfa", "whatever the format (TFA)"),
    ):
        verdicts = {name: audit.verdicts[part] for name, audit in audits.items()}
        passing = [name for name, verdict in verdicts.items() if verdict == "pass"]
        if set(verdicts.values()) <= {"not_computed", "no_baseline"}:
            said.append(f"{words} it could not be computed")
        elif not passing:
            said.append(f"{words} none passes")
        else:
            said.append(f"{words} {joined(passing)} {'pass' if len(passing) > 1 else 'passes'}")
    return f"On {answers:,} answers of {counted(tasks, 'task')}: {'; '.join(said)}."


def _text(answer: Any) -> str:
    return str(answer["text"] or "") if isinstance(answer, Mapping) else str(answer or "")
