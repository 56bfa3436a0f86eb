"""Dataset and model cards, rendered from recorded facts."""

from hf_synthlabels.cards.card_data import (
    DatasetFacts,
    ModelFacts,
    SplitFacts,
    StudyArm,
    StudyComparison,
    StudyResult,
    published_record,
)
from hf_synthlabels.cards.dataset_card import PROMPT_FILE, dataset_card
from hf_synthlabels.cards.licenses import check_license
from hf_synthlabels.cards.metadata import eval_results
from hf_synthlabels.cards.model_card import model_card
from hf_synthlabels.cards.publisher_fields import CardFields

__all__ = [
    "PROMPT_FILE",
    "CardFields",
    "DatasetFacts",
    "ModelFacts",
    "SplitFacts",
    "StudyArm",
    "StudyComparison",
    "StudyResult",
    "check_license",
    "dataset_card",
    "eval_results",
    "model_card",
    "published_record",
]
