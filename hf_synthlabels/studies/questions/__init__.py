"""The questions of a study: each looks at its runs and answers with a section of the report."""

from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.studies.questions import (
    consistency,
    costs,
    curves,
    human_or_llm,
    metrics,
    phases,
    pooled,
    prompts,
    shifts,
    synthetic_first,
)
from hf_synthlabels.studies.questions.analysis import Analysis, analysed
from hf_synthlabels.studies.questions.wording import maker_of, reworded
from hf_synthlabels.studies.runs import StudyRuns

__all__ = ["sections_of"]

QUESTIONS = (human_or_llm, pooled, shifts, curves, consistency, prompts, synthetic_first, phases, costs, metrics)


def sections_of(runs: StudyRuns | Analysis) -> tuple[Section, ...]:
    """Every question that these runs can answer, in the order of a report; one without its cells gives no section."""
    analysis = analysed(runs)
    found = tuple(section for question in QUESTIONS for section in question.sections_of(analysis))
    return reworded(found, maker_of(analysis.runs))
