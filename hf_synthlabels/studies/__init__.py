"""Human labels against LLM labels: studies, their journal and their report; and the demo's data."""

from hf_synthlabels.studies.advice.recommendation import Recommendation, recommend, recommendation_section
from hf_synthlabels.studies.analysis import report_sections
from hf_synthlabels.studies.behavior.behavior_checks import check_recipe
from hf_synthlabels.studies.behavior.check_report import CheckReport
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.label_comparison import study_report
from hf_synthlabels.studies.plan import plan_study
from hf_synthlabels.studies.report import StudyReport
from hf_synthlabels.studies.runner import run_study
from hf_synthlabels.studies.runs import StudyRuns, read_runs, write_runs
from hf_synthlabels.studies.strategies import STRATEGIES
from hf_synthlabels.studies.summary import summary_table

__all__ = [
    "STRATEGIES",
    "CheckReport",
    "Recommendation",
    "Study",
    "StudyReport",
    "StudyRuns",
    "check_recipe",
    "plan_study",
    "read_runs",
    "recommend",
    "recommendation_section",
    "report_sections",
    "run_study",
    "study_report",
    "summary_table",
    "write_runs",
]
