"""The runs of a study over tasks as a page: what they recommend, then every question that they can answer."""

from __future__ import annotations

from dataclasses import replace

from hf_synthlabels.publishing.report.adapters.label_sections import error_sections, gates, label_sections
from hf_synthlabels.publishing.report.adapters.specification_page import specification_sections
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.studies import StudyRuns, recommend, recommendation_section, report_sections
from hf_synthlabels.studies.analysis import annotators
from hf_synthlabels.studies.analysis.base import analyze_runs
from hf_synthlabels.studies.summary import conditions_section
from hf_synthlabels.studies.wording import label_maker, reworded

FACTS = ("machine", "processors", "python", "finished_at")


def runs_page(runs: StudyRuns) -> Page:
    """The recommendation, the questions that the cells answer, every arm, and how it was made."""
    analysis = analyze_runs(runs)
    labels = reworded((*label_sections(runs), *error_sections(analysis)), label_maker(runs))
    curves = _curves(runs)
    labels = (*(section for place, each in curves for section in specification_sections(each, place)), *labels)
    sections = (*report_sections(analysis), *labels, conditions_section(runs), *annotators.annotator_sections(runs))
    is_trained = any(run.steps or run.rows for task in runs.tasks for run in task.cells)
    if not is_trained:
        warnings = (*annotators.annotator_warnings(runs), *_curve_lines(runs))
        return Page(runs.name, sections, (*annotators.ranking_lines(runs), *gates(runs), *warnings), _facts(runs))
    advice = recommend(analysis)
    basis = recommendation_section(advice) or Section("recommendation", "Basis of the recommendation", advice.evidence)
    basis = replace(basis, notes=(*basis.notes, *_remarks(runs, advice.summary)))
    if basis.exhibits or basis.notes:
        sections = (basis, *sections)
    return Page(runs.name, sections, advice.summary, _facts(runs))


def _curves(runs: StudyRuns) -> list[tuple[str, SpecificationReport]]:
    """The specification curves of the tasks that have one, with a name for their sections."""
    return [
        (f"curve_{place}", SpecificationReport.from_dict(task.specification))
        for place, task in enumerate(runs.tasks, 1)
        if task.specification is not None
    ]


def _curve_lines(runs: StudyRuns) -> list[str]:
    """What the summary says of specification curves."""
    lines = []
    for task in runs.tasks:
        if task.specification is not None:
            report = SpecificationReport.from_dict(task.specification)
            chosen = report.selection_line()
            about = f"{task.name}, " if len(runs.tasks) > 1 else ""
            lines += [f"{about}{line}" for line in (*report.warnings(), *([] if chosen is None else [chosen]))]
    return lines


def _remarks(runs: StudyRuns, summary: tuple[str, ...]) -> list[str]:
    """Gates that are not passed, and remarks on the rows that the summary does not contain."""
    remarks = gates(runs, passed=False)
    return remarks + [line for line in annotators.annotator_warnings(runs) if line not in summary]


def _facts(runs: StudyRuns) -> dict[str, str]:
    facts = dict(runs.facts or {})
    tasks = ", ".join(f"{task.name} ({len(task.truth):,} test rows)" for task in runs.tasks)
    shown = {
        "tasks": tasks,
        "seeds": ", ".join(map(str, runs.seeds)),
        "margin": f"{runs.margin:g}",
        **{name.replace("_", " "): str(facts[name]) for name in FACTS if name in facts},
    }
    if "minutes" in facts:
        shown["minutes"] = f"{facts['minutes']:g}, with {facts.get('cells_before', 0):,} cells done before"
    if "cell_minutes" in facts:
        shown["minutes of all cells"] = f"{facts['cell_minutes']:g}, loading included"
    for reference in runs.references:
        name = f"elsewhere: {reference.get('what', '?')}"
        shown[name] = f"{reference.get('value', '?')}, {reference.get('source', 'no source')}"
    return shown | {name: str(version) for name, version in dict(facts.get("versions", {})).items()}
