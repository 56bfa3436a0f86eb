"""The report of a study, human labels against LLM labels, as a page."""

from __future__ import annotations

import json
from typing import Any

from hf_synthlabels.publishing.report.adapters.validation_page import class_table, confusion, status_table
from hf_synthlabels.publishing.report.formatting import NOT_ASKED
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics.exhibits import Bars, Counts, Exhibit, Intervals, Section, Table, Value
from hf_synthlabels.studies import StudyReport
from hf_synthlabels.studies.analysis.wording import reworded
from hf_synthlabels.studies.comparisons.report import SCORES, Arm

SCORE_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
}
ARM_NAMES = {
    "human": "student, human labels",
    "llm": "student, LLM labels",
    "validation": "student, validation rows only",
}
ANNOTATOR = "the annotator itself"
DRAWN = ("accuracy", "macro_f1")


def study_page(report: StudyReport) -> Page:
    """Everything that a study found, one section for each question."""
    summary = report.summary()
    if report.validation.gate is not None:
        summary.append(f"Gate {report.validation.gate}.")
    sections = (_students(report), _comparison(report), _labels(report), _errors(report), _cost(report))
    return Page(
        f"{report.name}: {reworded('LLM labels', report.maker)} against human labels",
        reworded(sections, report.maker),
        tuple(summary),
        _facts(report),
    )


def record_facts(record: dict[str, Any]) -> dict[str, str]:
    """How labels were made, of a provenance record."""
    annotator = record.get("annotator") or {}
    said = {
        "annotator": ", ".join(f"{key} {value}" for key, value in annotator.items() if value not in (None, "")),
        "model that answered": ", ".join(record.get("returned_models") or []),
        "prompt, hash": record.get("prompt_hash"),
        "label schema, hash": record.get("schema_hash"),
        "labeled": record.get("finished_at"),
    }
    return {name: str(value) for name, value in said.items() if value}


def _students(report: StudyReport) -> Section:
    panels = {
        SCORE_NAMES[score]: (
            *((ARM_NAMES[arm.source], arm.scores[score]) for arm in report.arms),
            (ANNOTATOR, getattr(report.annotator, score)),
        )
        for score in DRAWN
    }
    rows: list[tuple[Value, ...]] = [
        (arm.description, arm.n_rows, arm.steps, *(arm.scores[score] for score in SCORES)) for arm in report.arms
    ]
    annotator, absent = report.annotator, (NOT_ASKED, NOT_ASKED)
    rows.append((ANNOTATOR, *absent, annotator.accuracy, annotator.macro_f1, annotator.weighted_f1, *absent))
    scores = "; ".join(f"{name} {score}" for name, score in panels[SCORE_NAMES["macro_f1"]])
    notes = ["A row that the annotator left without a label counts as wrong for it."]
    if report.n_test_unlabelled:
        notes.append(f"{report.n_test_unlabelled:,} test rows have no human label and are left out.")
    notes += report.warnings()
    note = f"Means over {len(report.seeds)} seeds; intervals over test rows and seeds."
    table = Table(
        "score_table",
        "All scores",
        ("trained on", "rows", "steps", *(SCORE_NAMES[s] for s in SCORES)),
        tuple(rows),
        note,
    )
    return Section(
        "students",
        "Do LLM labels train as good a student as human labels?",
        f"Macro F1 on {report.n_test:,} human-labeled test rows, means over {len(report.seeds)} seeds: {scores}.",
        (
            Intervals(
                "scores", "Students, and the annotator itself, on the same test rows", panels, "score", note=note
            ),
            table,
        ),
        tuple(notes),
    )


def _comparison(report: StudyReport) -> Section:
    marks = [("as good:", 1.0)]
    marks += [("elsewhere:", float(entry["value"])) for entry in report.references if entry["what"] == "ratio"]
    ratios = {"LLM-trained / human-trained": tuple((SCORE_NAMES[s], report.ratio[s]) for s in SCORES)}
    compared = [(SCORE_NAMES[score], report.ratio[score], report.difference[score]) for score in SCORES]
    margins = [
        (name, report.margins[key]) for key, name in (("annotator", ANNOTATOR), ("validation", ARM_NAMES["validation"]))
    ]
    tests = [
        (str(seed), test.both, test.only_a, test.only_b, test.neither, test.p_value)
        for seed, test in zip(report.seeds, report.paired, strict=True)
    ]
    exhibits: list[Exhibit] = [
        Intervals("ratio", "Ratio of the scores", ratios, "ratio", tuple(marks)),
        Table("ratio_table", "LLM-trained against human-trained", ("score", "ratio", "difference"), tuple(compared)),
        Table("margins", "LLM-trained minus others, macro F1", ("against", "difference in macro F1"), tuple(margins)),
        Table(
            "mcnemar",
            "Rows that each gets right, by seed",
            ("seed", "both", "only LLM-trained", "only human-trained", "neither", "p"),
            tuple(tests),
            "Exact McNemar test. The tests of different seeds share their rows, so they are not independent; the "
            "intervals above take rows and seeds together.",
        ),
    ]
    if report.references:
        rows = [(str(entry["what"]), float(entry["value"]), str(entry["source"])) for entry in report.references]
        exhibits.append(Table("references", "Numbers from elsewhere", ("what", "value", "source"), tuple(rows)))
    ratio = report.ratio["macro_f1"]
    answer = f"The ratio of macro F1 is {ratio} on {report.n_test:,} test rows and {len(report.seeds)} seeds. "
    return Section("comparison", "Is the difference significant?", answer + report.told_apart(), tuple(exhibits))


def _labels(report: StudyReport) -> Section:
    parts = {"validation": report.validation, "training": report.train_agreement, "test": report.annotator}
    rows = [
        (name, part.n_human, part.coverage, part.accuracy, part.accuracy_answered, part.macro_f1, part.kappa)
        for name, part in parts.items()
    ]
    heads = ("rows", "human-labeled", "coverage", "accuracy", "of the answered", "macro F1", "kappa")
    counts = confusion("labels", report.train_agreement, "Human labels against LLM labels", "LLM label, training rows")
    answer = (
        f"On the {report.validation.n_human:,} validation rows, which is what a user would have, their accuracy is "
        f"{report.validation.accuracy}; on all {report.train_agreement.n_human:,} human-labeled training rows, which "
        f"only a study has, {report.train_agreement.accuracy}."
    )
    exhibits = (
        Table("agreement", "The LLM labels against human labels", heads, tuple(rows)),
        status_table("statuses", parts),
        *(() if counts is None else (counts,)),
        class_table("class_table", report.train_agreement, "Each label, on the training rows"),
    )
    notes = ("Rows without a label count as wrong in “accuracy” and are left out of “of the answered”.",)
    return Section("labels", "How good are the LLM labels themselves?", answer, exhibits, notes)


def _errors(report: StudyReport) -> Section:
    figures = [
        Counts(
            f"errors_{arm.source}",
            f"The {ARM_NAMES[arm.source]}",
            report.names,
            report.names,
            arm.confusion,
            "answer on the test rows, all seeds",
            f"Counts over {len(report.seeds)} seeds; shaded by the share of the row.",
        )
        for arm in (report.arm("human"), report.arm("llm"))
    ]
    rows: list[tuple[Value, ...]] = [
        (name, report.arms[0].classes[place].support, *(arm.classes[place].f1 for arm in report.arms))
        for place, name in enumerate(report.names)
    ]
    heads = ("label", "human n", *(f"F1, {ARM_NAMES[arm.source]}" for arm in report.arms))
    gaps = sorted(
        (report.arm("llm").classes[place].f1 - report.arm("human").classes[place].f1, name)
        for place, name in enumerate(report.names)
    )
    answer = ""
    if gaps:
        answer = (
            f"By label the LLM-trained student's F1 differs from the human-trained one's by {gaps[0][0]:+.3f} "
            f"({gaps[0][1]}) to {gaps[-1][0]:+.3f} ({gaps[-1][1]}); means over {len(report.seeds)} seeds, without "
            "intervals."
        )
    return Section(
        "errors",
        "Where do the students err?",
        answer,
        (*figures, Table("student_classes", "F1 of each label", heads, tuple(rows))),
    )


def _cost(report: StudyReport) -> Section:
    panels = {
        "US dollars for the labels": tuple((ARM_NAMES[arm.source], arm.label_usd) for arm in report.arms),
        "seconds to label and to train once": tuple((ARM_NAMES[arm.source], _seconds(arm)) for arm in report.arms),
    }
    rows = [(arm.description, arm.n_rows, arm.label_usd, arm.label_s, arm.train_s) for arm in report.arms]
    heads = ("trained on", "labels", "US dollars for them", "seconds for them", "seconds of one training")
    known = [arm for arm in report.arms if arm.label_usd is not None]
    said = [f"{ARM_NAMES[arm.source]}: {arm.label_usd:,.2f} USD for {arm.n_rows:,} labels" for arm in known]
    answer = "; ".join(said) + "." if said else "What the labels cost is not recorded."
    note = (
        "Unknown is not zero: human labels cost what the study file says in human_usd_per_label, LLM labels what the "
        "recipe says in annotator.price."
    )
    exhibits = (
        Bars("cost", "Money and time", panels, note),
        Table("cost_table", "The same in numbers", heads, tuple(rows)),
    )
    return Section("cost", "What does each cost?", answer, exhibits)


def _seconds(arm: Arm) -> float | None:
    """Seconds for labeling and one training run; None if the labeling time is unknown."""
    return None if arm.label_s is None else arm.label_s + arm.train_s


def _facts(report: StudyReport) -> dict[str, str]:
    made = report.environment
    versions = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())
    return {
        "rows": f"{report.n_train:,} for training, {report.n_test:,} human-labeled for testing",
        "labels": f"{len(report.names)}: {', '.join(report.names)}",
        "seeds": ", ".join(map(str, report.seeds)),
        **record_facts(report.provenance),
        "student": json.dumps(report.student, ensure_ascii=False, sort_keys=True),
        "machine": f"{made.get('processors', '?')} processors, {made.get('machine', 'not recorded')}; "
        f"{made.get('minutes', '?')} minutes for the whole study",
        "software": f"Python {made.get('python', '?')}, {versions}",
        "finished": str(made.get("finished_at", "not recorded")),
    }
