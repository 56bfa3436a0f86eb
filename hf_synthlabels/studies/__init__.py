"""Human labels against LLM labels: studies, their journal and their report; and the demo's data."""

from hf_synthlabels.studies.annotators import AnnotatorReport, AnnotatorResult, compare_annotators
from hf_synthlabels.studies.comparison import compare, run_study
from hf_synthlabels.studies.questions import sections_of
from hf_synthlabels.studies.recommendation import Recommendation, recommend
from hf_synthlabels.studies.report import SCORES, Arm, ClassScores, StudyReport
from hf_synthlabels.studies.rows import validation_sample
from hf_synthlabels.studies.runs import CellName, CellRun, StudyRuns, TaskRuns
from hf_synthlabels.studies.runs_file import read_runs, write_runs
from hf_synthlabels.studies.strategies import BASELINES, STRATEGIES, Strategy, StrategyRows, compare_strategies
from hf_synthlabels.studies.strategy_report import StrategyArm, StrategyReport
from hf_synthlabels.studies.strategy_study import StrategyStudy, read_study, run_strategies
from hf_synthlabels.studies.study import AnnotatorStudy, Reference, RowSelection, Study
from hf_synthlabels.studies.sweep import PlannedCell, SweepStudy, arms_section, plan_sweep, run_sweep, summary_table

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
    "SweepStudy",
    "TaskRuns",
    "arms_section",
    "compare",
    "compare_annotators",
    "compare_strategies",
    "plan_sweep",
    "read_runs",
    "read_study",
    "recommend",
    "run_strategies",
    "run_study",
    "run_sweep",
    "sections_of",
    "summary_table",
    "validation_sample",
    "write_runs",
]
