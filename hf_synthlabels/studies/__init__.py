"""Human labels against LLM labels: studies, their journal and their report; and the demo's data."""

from hf_synthlabels.studies.comparison import compare, run_study
from hf_synthlabels.studies.report import SCORES, Arm, ClassScores, StudyReport
from hf_synthlabels.studies.rows import validation_sample
from hf_synthlabels.studies.study import Reference, RowSelection, Study

__all__ = [
    "SCORES",
    "Arm",
    "ClassScores",
    "Reference",
    "RowSelection",
    "Study",
    "StudyReport",
    "compare",
    "run_study",
    "validation_sample",
]
