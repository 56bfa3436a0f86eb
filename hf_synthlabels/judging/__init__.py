"""Rubric, judge, judgment and their audit, and the scorers that a judge is compared with."""

from hf_synthlabels.judging.audit.audit import AuditOptions, audit_metric
from hf_synthlabels.judging.audit.audit_report import Audit, Comparison, FormatAudit, MetricAudit, TaskAudit
from hf_synthlabels.judging.audit.bias import BiasReport, SelfPreference, judge_bias, self_preference
from hf_synthlabels.judging.judge import Judge, Judged, items_of
from hf_synthlabels.judging.judgment import JUDGMENT_STATUSES, Judgment
from hf_synthlabels.judging.jury import Jury, JuryJudged, JuryWeights, measured_weights
from hf_synthlabels.judging.pairwise import PairJudgment, PairsJudged, PairSummary, judge_pairs, stream_pairs
from hf_synthlabels.judging.parsing.reply_parser import Extraction, judged, read_reply
from hf_synthlabels.judging.prompt import Item, JudgePrompt
from hf_synthlabels.judging.rubric import Rubric, read_rubric, rubric_path
from hf_synthlabels.judging.run.config import JudgeFile, read_judge
from hf_synthlabels.judging.run.judge_columns import judge_features, judge_table, with_judge_features
from hf_synthlabels.judging.run.judge_run import JudgedSplit, judge_to_files, plan_judge
from hf_synthlabels.judging.run.judge_tables import judge_dataset
from hf_synthlabels.judging.scorers.base import Scorer, score_table
from hf_synthlabels.judging.scorers.bert_score import BertScore
from hf_synthlabels.judging.scorers.bleu import BleuAccuracy, ThresholdPoint, answer_bleu, bleu_accuracy
from hf_synthlabels.judging.scorers.models import EmbeddingSimilarity, RewardModel
from hf_synthlabels.judging.scorers.text import Bleu, ExactMatch, Rouge
from hf_synthlabels.judging.summary import JudgeSummary

__all__ = [
    "JUDGMENT_STATUSES",
    "Audit",
    "AuditOptions",
    "BertScore",
    "BiasReport",
    "Bleu",
    "BleuAccuracy",
    "Comparison",
    "EmbeddingSimilarity",
    "ExactMatch",
    "Extraction",
    "FormatAudit",
    "Item",
    "Judge",
    "JudgeFile",
    "JudgePrompt",
    "JudgeSummary",
    "Judged",
    "JudgedSplit",
    "Judgment",
    "Jury",
    "JuryJudged",
    "JuryWeights",
    "MetricAudit",
    "PairJudgment",
    "PairSummary",
    "PairsJudged",
    "RewardModel",
    "Rouge",
    "Rubric",
    "Scorer",
    "SelfPreference",
    "TaskAudit",
    "ThresholdPoint",
    "answer_bleu",
    "audit_metric",
    "bleu_accuracy",
    "items_of",
    "judge_bias",
    "judge_dataset",
    "judge_features",
    "judge_pairs",
    "judge_table",
    "judge_to_files",
    "judged",
    "measured_weights",
    "plan_judge",
    "read_judge",
    "read_reply",
    "read_rubric",
    "rubric_path",
    "score_table",
    "self_preference",
    "stream_pairs",
    "with_judge_features",
]
