"""Analyses of a study: each turns its runs into sections of the report."""

from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.studies.analysis import consistency, costs, curves, human_or_llm, phases, shifts, strategies
from hf_synthlabels.studies.analysis import synthetic_first as llm_then_human
from hf_synthlabels.studies.analysis.annotators import comparison_sections
from hf_synthlabels.studies.analysis.base import Analysis, analysed
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import maker_of, reworded

__all__ = ["sections_of"]

ANALYSES = (
    human_or_llm.sections_of,
    human_or_llm.pooled_sections,
    shifts.sections_of,
    curves.sections_of,
    consistency.sections_of,
    comparison_sections,
    strategies.sections_of,
    llm_then_human.sections_of,
    phases.sections_of,
    costs.sections_of,
)


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Sections of all analyses that these runs allow, in the order of the report."""
    analysis = analysed(runs)
    found = tuple(section for sections in ANALYSES for section in sections(analysis))
    return reworded(found, maker_of(analysis.runs))
