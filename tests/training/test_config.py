from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig


def test_defaults_differ_from_training_arguments_as_documented(tmp_path: Path) -> None:
    ours, theirs = StudentConfig(), TrainingArguments(str(tmp_path))
    differing = {name for name, value in theirs.to_dict().items() if ours.to_dict()[name] != value}
    documented = {
        "output_dir",
        "save_strategy",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "logging_nan_inf_filter",
        "disable_tqdm",
    }
    if not torch.accelerator.is_available():
        documented |= {"use_cpu", "dataloader_pin_memory"}
    # "none" becomes an empty list in both.
    assert differing == documented
    assert ours.report_to == []


def test_every_own_option_has_a_help_text() -> None:
    own = [
        option for name, option in StudentConfig.__dataclass_fields__.items() if name in StudentConfig.__annotations__
    ]
    assert own
    assert all(option.metadata["help"] for option in own)


def test_from_yaml_reads_options_and_text_numbers(tmp_path: Path) -> None:
    path = tmp_path / "student.yaml"
    # YAML 1.1 reads 5e-5 as text, for want of a point.
    path.write_text("model: some/encoder\nlearning_rate: 5e-5\nmax_steps: 7\nbucket: false\ntext_columns: [a, b]\n")
    config = StudentConfig.from_yaml(path)
    assert (config.model, config.learning_rate, config.max_steps) == ("some/encoder", 5e-5, 7)
    assert (config.bucket, config.text_columns) == (False, ["a", "b"])


def test_from_yaml_takes_the_part_named_student(tmp_path: Path) -> None:
    path = tmp_path / "student.yaml"
    path.write_text("student: {model: m}\ndata: {path: json}\n")
    assert StudentConfig.from_yaml(path).model == "m"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"learning_rat": 1}, r"student: `learning_rat` is not an option. Did you mean `learning_rate`", id="near"
        ),
        pytest.param({"zzz": 1}, r"`zzz` is not an option. Valid are model, max_length, .*TrainingArguments", id="far"),
        pytest.param({"learning_rate": "fast"}, r"`learning_rate` is 'fast'. It must be float", id="not a number"),
        pytest.param({"max_steps": 1.5}, r"`max_steps` is 1.5. It must be int", id="not whole"),
        pytest.param({"max_steps": True}, r"`max_steps` is True. It must be int", id="yes is no number"),
        pytest.param({"bucket": "yes please"}, r"`bucket` is 'yes please'. It must be bool", id="not a bool"),
        pytest.param({"max_length": None}, r"`max_length` is empty", id="empty"),
        pytest.param({"max_length": 0}, r"`max_length` is 0. Give", id="no tokens"),
        pytest.param({"text_columns": ["a", "b", "c"]}, r"`text_columns` is \['a', 'b', 'c'\]. Name", id="three texts"),
        pytest.param({"eval_strategy": "often"}, r"student: often is not a valid IntervalStrategy", id="upstream"),
    ],
)
def test_from_dict_with_a_bad_value_says_it_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        StudentConfig.from_dict(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["- a list\n", "a: b: c\n", "", "seed: 1\nseed: 2\n"])
def test_from_yaml_with_another_file_raises(tmp_path: Path, content: str) -> None:
    path = tmp_path / "student.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError):
        StudentConfig.from_yaml(path)


def test_from_yaml_without_the_file_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nosuch.yaml"):
        StudentConfig.from_yaml(tmp_path / "nosuch.yaml")


def test_a_hub_token_is_refused_and_not_said() -> None:
    with pytest.raises(ConfigError, match="`hub_token` is given") as caught:
        StudentConfig(hub_token="hf_secret")
    assert "hf_secret" not in str(caught.value)


def test_bfloat16_without_an_accelerator_means_the_cpu() -> None:
    config = StudentConfig(bf16=True)
    assert config.use_cpu == (not torch.accelerator.is_available())


OPTIONS: dict[str, Any] = {
    "model": "some/encoder",
    "task": "text-scale",
    "scale": [1.0, 5.0],
    "text_columns": ["a", "b"],
    "lora_r": 2,
    "lora_targets": ["query", "value"],
    "save_strategy": "epoch",
    "report_to": "tensorboard",
    "pad_lengths": [8, 16],
    "usd_per_hour": 1.5,
}


@pytest.mark.parametrize("form", ["command line", "dict", "yaml", "json"])
def test_the_parser_of_transformers_reads_every_form(form: str, tmp_path: Path) -> None:
    parser: Any = HfArgumentParser(StudentConfig)
    path = tmp_path / "student"
    words = [str(part) for name, value in OPTIONS.items() for part in (f"--{name}", *np.ravel(value))]
    match form:
        case "command line":
            (config,) = parser.parse_args_into_dataclasses(words)
        case "dict":
            (config,) = parser.parse_dict(dict(OPTIONS))
        case "yaml":
            path.write_text(yaml.safe_dump(OPTIONS))
            (config,) = parser.parse_yaml_file(path)
        case _:
            path.write_text(json.dumps(OPTIONS))
            (config,) = parser.parse_json_file(path)
    expected = OPTIONS | {"report_to": ["tensorboard"], "pad_lengths": [8, 16, 256]}
    assert {name: config.to_dict()[name] for name in OPTIONS} == expected


def test_the_parser_keeps_the_defaults() -> None:
    (config,) = HfArgumentParser(StudentConfig).parse_args_into_dataclasses([])
    assert config.to_dict() == StudentConfig().to_dict()
    assert (config.text_columns, config.lora_targets) == (["text"], ["all-linear"])


def test_a_config_can_be_made_of_its_dict() -> None:
    config = StudentConfig(model="m", early_stopping=2, pad_lengths=[8], lora_r=2, bf16=True, report_to="tensorboard")
    assert StudentConfig(**config.to_dict()).to_dict() == config.to_dict()
