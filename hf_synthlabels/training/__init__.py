"""Train a small model on label columns. Needs the extra `train`; nothing outside imports this at module level."""

from __future__ import annotations

from hf_synthlabels.errors import import_extra

for _module in ("torch", "transformers", "accelerate"):
    import_extra(_module, "train")

from hf_synthlabels.training.callbacks.cost import RunCost  # noqa: E402
from hf_synthlabels.training.config import StudentConfig  # noqa: E402
from hf_synthlabels.training.data.samplers import LengthBucketedSampler, LongestFirstSampler  # noqa: E402
from hf_synthlabels.training.data.token_budget import TokenBudgetSampler  # noqa: E402
from hf_synthlabels.training.data.training_rows import TrainingRows, training_rows  # noqa: E402
from hf_synthlabels.training.distributed.main_process import main_process_only  # noqa: E402
from hf_synthlabels.training.evaluation.format_curve import FormatCurve, FormatPoint  # noqa: E402
from hf_synthlabels.training.evaluation.held_out import HeldOut, held_out_scores  # noqa: E402
from hf_synthlabels.training.saving.saved_student import update_student  # noqa: E402
from hf_synthlabels.training.student import Student, train_student  # noqa: E402
from hf_synthlabels.training.student_file import DataSource, StudentFile, TrainingData, label_names  # noqa: E402
from hf_synthlabels.training.tasks import LabelledRows, Prediction, StudentTask, student_task  # noqa: E402
from hf_synthlabels.training.tasks.losses import weighted_cross_entropy  # noqa: E402
from hf_synthlabels.training.tasks.objectives import (  # noqa: E402
    Classification,
    MultiLabel,
    Objective,
    OrdinalScale,
    RowObjective,
    ScaleRegression,
)
from hf_synthlabels.training.tasks.token_objectives import AnswerSpan, Completion, TokenTags  # noqa: E402
from hf_synthlabels.training.trainer import StudentTrainer  # noqa: E402
from hf_synthlabels.training.weak_supervision.forward_correction import ForwardCorrection  # noqa: E402
from hf_synthlabels.training.weak_supervision.learning_rows import LearningRows, learning_rows  # noqa: E402
from hf_synthlabels.training.weak_supervision.noise import (  # noqa: E402
    NoiseMethod,
    NoiseRanking,
    ReviewYield,
    errors_found,
    out_of_fold,
    rank_noise,
    review_columns,
)
from hf_synthlabels.training.weak_supervision.soft_labels import (  # noqa: E402
    Temperature,
    at_temperature,
    fit_temperature,
    smoothed_shares,
)
from hf_synthlabels.training.weak_supervision.transition import Transition, estimate_transition  # noqa: E402

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
    "errors_found",
    "estimate_transition",
    "fit_temperature",
    "held_out_scores",
    "label_names",
    "learning_rows",
    "main_process_only",
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
