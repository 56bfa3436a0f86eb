"""Analyses of a study: each turns its runs into sections of the report."""

from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.studies.analysis import consistency, costs, curves, human_or_llm, phases, shifts, strategies
from hf_synthlabels.studies.analysis import synthetic_first as llm_then_human
from hf_synthlabels.studies.analysis.annotators import comparison_sections
from hf_synthlabels.studies.analysis.base import Analysis, analyze_runs
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import label_maker, reworded

__all__ = ["report_sections"]

ANALYSES = (
    human_or_llm.report_sections,
    human_or_llm.pooled_sections,
    shifts.report_sections,
    curves.report_sections,
    consistency.report_sections,
    comparison_sections,
    strategies.report_sections,
    llm_then_human.report_sections,
    phases.report_sections,
    costs.report_sections,
)


def report_sections(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Sections of all analyses that these runs allow, in the order of the report."""
    analysis = analyze_runs(runs)
    found = tuple(section for sections in ANALYSES for section in sections(analysis))
    return reworded(found, label_maker(analysis.runs))
