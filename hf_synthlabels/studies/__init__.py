"""Human labels against LLM labels: studies, their journal and their report; and the demo's data."""

from hf_synthlabels.studies.analysis import sections_of
from hf_synthlabels.studies.comparisons.annotators import AnnotatorReport, AnnotatorResult, compare_annotators
from hf_synthlabels.studies.comparisons.comparison import compare, run_comparison
from hf_synthlabels.studies.comparisons.report import SCORES, Arm, ClassScores, StudyReport
from hf_synthlabels.studies.comparisons.strategy_comparison import StrategyRows, compare_strategies
from hf_synthlabels.studies.comparisons.strategy_report import StrategyArm, StrategyReport
from hf_synthlabels.studies.comparisons.strategy_study import StrategyStudy, read_study, run_strategies
from hf_synthlabels.studies.comparisons.study import AnnotatorStudy, ComparisonStudy
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import Reference, RowSelection
from hf_synthlabels.studies.plan import PlannedCell, plan_study
from hf_synthlabels.studies.recommendation import Recommendation, recommend
from hf_synthlabels.studies.runner import run_study
from hf_synthlabels.studies.runs import CellName, CellRun, StudyRuns, TaskRuns, read_runs, write_runs
from hf_synthlabels.studies.strategies import BASELINES, STRATEGIES, Strategy
from hf_synthlabels.studies.summary import conditions_section, summary_table
from hf_synthlabels.studies.tasks.rows import validation_sample

__all__ = [
    "BASELINES",
    "SCORES",
    "STRATEGIES",
    "AnnotatorReport",
    "AnnotatorResult",
    "AnnotatorStudy",
    "Arm",
    "CellName",
    "CellRun",
    "ClassScores",
    "ComparisonStudy",
    "PlannedCell",
    "Recommendation",
    "Reference",
    "RowSelection",
    "Strategy",
    "StrategyArm",
    "StrategyReport",
    "StrategyRows",
    "StrategyStudy",
    "Study",
    "StudyReport",
    "StudyRuns",
    "TaskRuns",
    "compare",
    "compare_annotators",
    "compare_strategies",
    "conditions_section",
    "plan_study",
    "read_runs",
    "read_study",
    "recommend",
    "run_comparison",
    "run_strategies",
    "run_study",
    "sections_of",
    "summary_table",
    "validation_sample",
    "write_runs",
]
