"""Rubric, judge, judgment and their audit, and the scorers that a judge is compared with."""

from hf_synthlabels.judging.baselines import Scorer, score_table
from hf_synthlabels.judging.bleu import BleuAccuracy, ThresholdPoint, answer_bleu, bleu_accuracy
from hf_synthlabels.judging.scorers_text import Bleu, ExactMatch, Rouge

__all__ = [
    "Bleu",
    "BleuAccuracy",
    "ExactMatch",
    "Rouge",
    "Scorer",
    "ThresholdPoint",
    "answer_bleu",
    "bleu_accuracy",
    "score_table",
]
