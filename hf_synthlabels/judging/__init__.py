"""LLM judges: rubrics, judges and juries, their audit, and scorers to compare them with."""

from hf_synthlabels.judging.audit.audit import audit_metric
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.judging.audit.bias import judge_bias, self_preference
from hf_synthlabels.judging.audit.report import Audit
from hf_synthlabels.judging.config import JudgeFile, read_judge
from hf_synthlabels.judging.judge import Judge, Judged
from hf_synthlabels.judging.judge_run import judge_to_files, plan_judge
from hf_synthlabels.judging.judge_tables import judge_dataset
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.jury import Jury, measured_weights
from hf_synthlabels.judging.pairwise import PairJudgment, judge_pairs
from hf_synthlabels.judging.parsing.reply_parser import Extraction, read_reply
from hf_synthlabels.judging.rubric import Rubric, read_rubric
from hf_synthlabels.judging.scorers.base import Scorer, score_table
from hf_synthlabels.judging.scorers.bleu import bleu_accuracy
from hf_synthlabels.judging.summary import JudgeSummary

__all__ = [
    "Audit",
    "AuditOptions",
    "Extraction",
    "Judge",
    "JudgeFile",
    "JudgeSummary",
    "Judged",
    "Judgment",
    "Jury",
    "PairJudgment",
    "Rubric",
    "Scorer",
    "audit_metric",
    "bleu_accuracy",
    "judge_bias",
    "judge_dataset",
    "judge_pairs",
    "judge_to_files",
    "measured_weights",
    "plan_judge",
    "read_judge",
    "read_reply",
    "read_rubric",
    "score_table",
    "self_preference",
]
