"""Training of small models on label columns. Needs the extra `train`; import it inside functions only."""

from __future__ import annotations

from hf_synthlabels.errors import import_extra

for _module in ("torch", "transformers", "accelerate"):
    import_extra(_module, "train")

from hf_synthlabels.training.callbacks import FormatCurve  # noqa: E402
from hf_synthlabels.training.config import StudentConfig  # noqa: E402
from hf_synthlabels.training.data.training_data import TrainingData  # noqa: E402
from hf_synthlabels.training.evaluation import main_process_only  # noqa: E402
from hf_synthlabels.training.prediction import Prediction  # noqa: E402
from hf_synthlabels.training.saving.saved_student import update_student  # noqa: E402
from hf_synthlabels.training.student import Student, held_out_scores  # noqa: E402
from hf_synthlabels.training.student_file import DataSource, StudentFile  # noqa: E402
from hf_synthlabels.training.student_training import train_student  # noqa: E402
from hf_synthlabels.training.tasks.objectives import (  # noqa: E402
    AnswerSpan,
    Classification,
    Completion,
    MultiLabel,
    Objective,
    ScaleRegression,
    TokenTags,
)
from hf_synthlabels.training.trainer import StudentTrainer  # noqa: E402
from hf_synthlabels.training.weak_supervision.annotator_errors import (  # noqa: E402
    estimate_transition,
    fit_temperature,
)
from hf_synthlabels.training.weak_supervision.noise import out_of_fold, rank_noise  # noqa: E402

__all__ = [
    "AnswerSpan",
    "Classification",
    "Completion",
    "DataSource",
    "FormatCurve",
    "MultiLabel",
    "Objective",
    "Prediction",
    "ScaleRegression",
    "Student",
    "StudentConfig",
    "StudentFile",
    "StudentTrainer",
    "TokenTags",
    "TrainingData",
    "estimate_transition",
    "fit_temperature",
    "held_out_scores",
    "main_process_only",
    "out_of_fold",
    "rank_noise",
    "train_student",
    "update_student",
]
