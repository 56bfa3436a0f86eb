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
    path.write_text("student: {model: m}\ndata: {path: json}\n")
    assert StudentConfig.from_yaml(path).model == "m"
    for content in ("- a list\n", "a: b: c\n", "", "seed: 1\nseed: 2\n"):
        path.write_text(content)
        with pytest.raises(ConfigError):
            StudentConfig.from_yaml(path)
    with pytest.raises(ConfigError, match=r"nosuch.yaml"):
        StudentConfig.from_yaml(tmp_path / "nosuch.yaml")


def test_from_dict_rejects_unknown_options_and_wrong_types(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"learning_rat": 1}, ("`learning_rat`", "`learning_rate`")),
        ({"zzz": 1}, ("`zzz`", "model, max_length", "TrainingArguments")),
        ({"humen_column": "human"}, ("`human_column`",)),
        ({"learning_rate": "fast"}, ("`learning_rate`", "float")),
        ({"max_steps": 1.5}, ("`max_steps`", "int")),
        ({"max_steps": True}, ("`max_steps`", "int")),
        ({"bucket": "yes please"}, ("`bucket`", "bool")),
        ({"max_length": None}, ("`max_length`",)),
        ({"eval_strategy": "often"}, ("IntervalStrategy",)),
    ]
    for values, named in cases:
        with subtests.test(**values), pytest.raises(ConfigError, match="student") as caught:
            StudentConfig.from_dict(values)
        assert all(name in str(caught.value) for name in named)
        assert "\n" not in str(caught.value)


HUMAN: dict[str, Any] = {"label_column": "llm", "human_column": "human"}
SOFT: dict[str, Any] = {"probs_column": "p"}


INVALID: list[tuple[dict[str, Any], str]] = [
    # One row per rule; see option_checks.
    ({"task": "poetry"}, "task"),
    ({**HUMAN, "human_strategy": "first"}, "human_strategy"),
    ({**HUMAN, "correction": "backward"}, "correction"),
    ({"max_length": 0}, "max_length"),
    ({"early_stopping": 0}, "early_stopping"),
    ({"early_stopping": True}, "early_stopping"),
    ({**HUMAN, "human_weight": 0.0}, "human_weight"),
    ({**HUMAN, "human_weight": float("nan")}, "human_weight"),
    ({"usd_per_hour": -1.0}, "usd_per_hour"),
    ({"confidence_column": "c", "confidence_power": -1.0}, "confidence_power"),
    ({**SOFT, "probs_draws": 0}, "probs_draws"),
    ({**SOFT, "probs_alpha": -0.5}, "probs_alpha"),
    ({**SOFT, "probs_temperature": "warm"}, "probs_temperature"),
    ({**SOFT, "probs_temperature": 0}, "probs_temperature"),
    ({"threshold": 1.0}, "threshold"),
    ({"lora_dropout": 1.0}, "lora_dropout"),
    ({"text_columns": ["a", "b", "c"]}, "text_columns"),
    ({"task": "text-pair"}, "text_columns"),
    ({"task": "token-classification", "text_columns": ["a", "b"]}, "text_columns"),
    ({"task": "multi-label", "probs_column": "p"}, "probs_column"),
    ({"task": "text-scale"}, "scale"),
    ({"scale": [1, 5]}, "scale"),
    ({"task": "text-scale", "scale": [5, 1]}, "scale"),
    ({"task": "text-scale", "scale": [1]}, "scale"),
    ({"task": "text-scale", "scale": [1, 5], "scale_loss": "huber"}, "scale_loss"),
    ({"token_budget": 0}, "token_budget"),
    ({"doc_stride": -1}, "doc_stride"),
    ({"lora_r": 1.5}, "lora_r"),
    ({"lora_alpha": 8.0}, "lora_alpha"),
    ({"lora_r": 2, "load_in_4bit": True, "save": "merged"}, "save"),
    ({"lora_r": 2, "lora_targets": []}, "lora_targets"),
    ({"pad_lengths": [8.5]}, "pad_lengths"),
    ({"pad_lengths": "8"}, "pad_lengths"),
    ({"token_budget": 64, "auto_find_batch_size": True}, "auto_find_batch_size"),
    ({"hub_token": "hf_secret"}, "hub_token"),
    ({"push_to_hub": True, "hub_strategy": "checkpoint"}, "hub_strategy"),
    ({"push_to_hub": True, "hub_revision": "dev"}, "hub_revision"),
    ({"human_strategy": "finetune"}, "human_column"),
    ({"correction": "forward"}, "human_column"),
    ({"human_epochs": 2}, "human_column"),
    ({**SOFT, "probs_temperature": "fit"}, "human_column"),
    ({"probs_draws": 3}, "probs_column"),
    ({"probs_temperature": 2.0}, "probs_column"),
    ({"confidence_power": 1.0}, "confidence_column"),
    ({"label_column": "human", "human_column": "human"}, "human_column"),
    ({**HUMAN, "human_strategy": "finetune", "human_weight": 2.0}, "human_weight"),
    ({**HUMAN, "human_epochs": 2.0}, "human_epochs"),
    ({**HUMAN, "human_learning_rate": 1e-5}, "human_learning_rate"),
]


def test_invalid_and_contradictory_options_are_rejected(subtests: pytest.Subtests) -> None:
    for options, field in INVALID:
        with subtests.test(options=options), pytest.raises(ConfigError, match=f"`{field}`") as caught:
            StudentConfig(**options)
        assert "hf_secret" not in str(caught.value)


def test_a_scale_is_a_list_or_a_mapping_as_in_recipes() -> None:
    valid: list[tuple[Any, list[float]]] = [
        ([1, 5], [1, 5]),
        ({"low": 1, "high": 5}, [1, 5, 1]),
        ({"low": 0, "high": 1, "step": None}, [0, 1, 0]),
        (["1", "5", "0.5"], [1, 5, 0.5]),
    ]
    for scale, expected in valid:
        assert StudentConfig(task="text-scale", scale=scale).scale == expected
    none = float("nan")
    invalid: list[Any] = [{"low": 1}, {"low": 1, "high": 5, "steps": 1}, [5, 1], [1], "1:5", [1, "much"], [0, none], 3]
    for scale in invalid:
        with pytest.raises(ConfigError, match="`scale`") as caught:
            StudentConfig(task="text-scale", scale=scale)
        assert "\n" not in str(caught.value)


def test_human_options_are_read_from_yaml_values() -> None:
    options = {"human_strategy": "finetune", "human_learning_rate": "1e-5", "human_epochs": 2, "correction": "forward"}
    config = StudentConfig.from_dict({**HUMAN, **SOFT, **options, "probs_draws": 3, "probs_temperature": "fit"})
    assert (config.human_learning_rate, config.human_epochs, config.probs_temperature) == (1e-5, 2, "fit")


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


def test_the_parser_of_transformers_reads_every_form(tmp_path: Path) -> None:
    parser: Any = HfArgumentParser(StudentConfig)
    path = tmp_path / "student"
    words = [str(part) for name, value in OPTIONS.items() for part in (f"--{name}", *np.ravel(value))]
    configs = [parser.parse_args_into_dataclasses(words), parser.parse_dict(dict(OPTIONS))]
    path.write_text(yaml.safe_dump(OPTIONS))
    configs.append(parser.parse_yaml_file(path))
    path.write_text(json.dumps(OPTIONS))
    configs.append(parser.parse_json_file(path))
    expected = OPTIONS | {"report_to": ["tensorboard"], "pad_lengths": [8, 16, 256]}
    for (config,) in configs:
        assert {name: config.to_dict()[name] for name in OPTIONS} == expected


def test_the_parser_keeps_the_defaults() -> None:
    (config,) = HfArgumentParser(StudentConfig).parse_args_into_dataclasses([])
    assert config.to_dict() == StudentConfig().to_dict()
    assert (config.text_columns, config.lora_targets) == (["text"], ["all-linear"])


def test_a_config_can_be_made_of_its_dict() -> None:
    config = StudentConfig(model="m", early_stopping=2, pad_lengths=[8], lora_r=2, bf16=True, report_to="tensorboard")
    assert StudentConfig(**config.to_dict()).to_dict() == config.to_dict()
