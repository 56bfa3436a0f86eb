"""Rubric, judge, judgment and their audit, and the scorers that a judge is compared with."""

from hf_synthlabels.judging.baselines import Scorer, score_table
from hf_synthlabels.judging.bleu import BleuAccuracy, ThresholdPoint, answer_bleu, bleu_accuracy
from hf_synthlabels.judging.scorers_bert import BertScore
from hf_synthlabels.judging.scorers_model import EmbeddingSimilarity, RewardModel
from hf_synthlabels.judging.scorers_text import Bleu, ExactMatch, Rouge

__all__ = [
    "BertScore",
    "Bleu",
    "BleuAccuracy",
    "EmbeddingSimilarity",
    "ExactMatch",
    "RewardModel",
    "Rouge",
    "Scorer",
    "ThresholdPoint",
    "answer_bleu",
    "bleu_accuracy",
    "score_table",
]
