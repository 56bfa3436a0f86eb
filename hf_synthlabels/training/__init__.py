"""Train a small model on label columns. Needs the extra `train`; nothing outside imports this at module level."""

from __future__ import annotations

from hf_synthlabels.errors import import_extra

for _module in ("torch", "transformers", "accelerate"):
    import_extra(_module, "train")

from hf_synthlabels.training.config import StudentConfig  # noqa: E402
from hf_synthlabels.training.cost import RunCost  # noqa: E402
from hf_synthlabels.training.format_curve import FormatCurve, FormatPoint  # noqa: E402
from hf_synthlabels.training.held_out import HeldOut, held_out_scores  # noqa: E402
from hf_synthlabels.training.losses import weighted_cross_entropy  # noqa: E402
from hf_synthlabels.training.objective import (  # noqa: E402
    Classification,
    MultiLabel,
    Objective,
    OrdinalScale,
    RowObjective,
    ScaleRegression,
)
from hf_synthlabels.training.objective_tokens import AnswerSpan, Completion, TokenTags  # noqa: E402
from hf_synthlabels.training.once import computed_once  # noqa: E402
from hf_synthlabels.training.rows import TrainingRows, training_rows  # noqa: E402
from hf_synthlabels.training.sampler import LengthBucketedSampler, LongestFirstSampler  # noqa: E402
from hf_synthlabels.training.saved import update_student  # noqa: E402
from hf_synthlabels.training.source import DataSource, StudentFile, TrainingData, label_names  # noqa: E402
from hf_synthlabels.training.sources.forward import ForwardCorrection  # noqa: E402
from hf_synthlabels.training.sources.learning import LearningRows, learning_rows  # noqa: E402
from hf_synthlabels.training.sources.noise import (  # noqa: E402
    NoiseMethod,
    NoiseRanking,
    ReviewYield,
    errors_found,
    out_of_fold,
    rank_noise,
    review_columns,
)
from hf_synthlabels.training.sources.soft import (  # noqa: E402
    Temperature,
    at_temperature,
    fit_temperature,
    smoothed_shares,
)
from hf_synthlabels.training.sources.transition import Transition, estimate_transition  # noqa: E402
from hf_synthlabels.training.student import Student, train_student  # noqa: E402
from hf_synthlabels.training.tasks import LabelledRows, Prediction, StudentTask, student_task  # noqa: E402
from hf_synthlabels.training.token_budget import TokenBudgetSampler  # noqa: E402
from hf_synthlabels.training.trainer import StudentTrainer  # noqa: E402

__all__ = [
    "AnswerSpan",
    "Classification",
    "Completion",
    "DataSource",
    "FormatCurve",
    "FormatPoint",
    "ForwardCorrection",
    "HeldOut",
    "LabelledRows",
    "LearningRows",
    "LengthBucketedSampler",
    "LongestFirstSampler",
    "MultiLabel",
    "NoiseMethod",
    "NoiseRanking",
    "Objective",
    "OrdinalScale",
    "Prediction",
    "ReviewYield",
    "RowObjective",
    "RunCost",
    "ScaleRegression",
    "Student",
    "StudentConfig",
    "StudentFile",
    "StudentTask",
    "StudentTrainer",
    "Temperature",
    "TokenBudgetSampler",
    "TokenTags",
    "TrainingData",
    "TrainingRows",
    "Transition",
    "at_temperature",
    "computed_once",
    "errors_found",
    "estimate_transition",
    "fit_temperature",
    "held_out_scores",
    "label_names",
    "learning_rows",
    "out_of_fold",
    "rank_noise",
    "review_columns",
    "smoothed_shares",
    "student_task",
    "train_student",
    "training_rows",
    "update_student",
    "weighted_cross_entropy",
]
