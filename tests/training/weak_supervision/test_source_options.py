from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig

Config = Callable[..., StudentConfig]
HUMAN: dict[str, Any] = {"label_column": "llm", "human_column": "human"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"human_strategy": "finetune"}, "`human_strategy` is 'finetune', which needs human labels"),
        ({"correction": "forward"}, "`correction` is 'forward', which needs human labels"),
        ({"human_weight": 4.0}, "`human_weight` is 4.0, which needs human labels"),
        ({"human_epochs": 2}, "`human_epochs` is 2, which needs human labels"),
        ({"probs_column": "p", "probs_temperature": "fit"}, "`probs_temperature` is 'fit', which needs human labels"),
        ({"label_column": "human", "human_column": "human"}, "`human_column` is 'human', as is `label_column`"),
        ({**HUMAN, "human_strategy": "first"}, "`human_strategy` is 'first'. Give one of mix, finetune, none"),
        ({**HUMAN, "correction": "backward"}, "`correction` is 'backward'. Give one of none, forward"),
        (
            {**HUMAN, "human_strategy": "finetune", "human_weight": 2.0},
            "`human_weight` is 2.0 and `human_strategy` 'finetune'",
        ),
        ({**HUMAN, "human_epochs": 2.0}, "`human_epochs` is 2.0 and `human_strategy` 'mix'"),
        ({**HUMAN, "human_learning_rate": 1e-5}, "`human_learning_rate` is 1e-05 and `human_strategy` 'mix'"),
        ({**HUMAN, "human_weight": 0.0}, "`human_weight` is 0.0. Give a number above 0"),
        ({**HUMAN, "human_weight": float("nan")}, "`human_weight` is nan"),
        ({"confidence_power": 1.0}, "`confidence_power` is 1.0, but `confidence_column` is not given"),
        ({"confidence_column": "c", "confidence_power": -1.0}, "`confidence_power` is -1.0"),
        ({"probs_draws": 3}, "`probs_draws` is 3, but `probs_column` names no soft labels"),
        ({"probs_temperature": 2.0}, "`probs_temperature` is 2.0, but `probs_column` names no soft labels"),
        ({"probs_column": "p", "probs_draws": 0}, "`probs_draws` is 0"),
        ({"probs_column": "p", "probs_alpha": -0.5}, "`probs_alpha` is -0.5"),
        ({"probs_column": "p", "probs_temperature": "warm"}, "`probs_temperature` is 'warm'"),
        ({"probs_column": "p", "probs_temperature": 0}, "`probs_temperature` is 0"),
    ],
)
def test_wrong_options_are_told(config: Config, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**options)
    assert told in str(caught.value)


def test_options_can_be_read_from_yaml_values(config: Config) -> None:
    read = StudentConfig.from_dict(
        {
            **HUMAN,
            "human_strategy": "finetune",
            "human_learning_rate": "1e-5",
            "human_epochs": 2,
            "correction": "forward",
            "probs_column": "p",
            "probs_draws": 3,
            "probs_temperature": "fit",
            "use_cpu": True,
        }
    )
    assert (read.human_learning_rate, read.human_epochs, read.probs_temperature) == (1e-5, 2, "fit")
    with pytest.raises(ConfigError, match="Did you mean `human_column`"):
        StudentConfig.from_dict({"humen_column": "human"})


def test_defaults_change_nothing(config: Config) -> None:
    plain = config()
    assert (plain.correction, plain.confidence_power, plain.probs_temperature, plain.human_column) == (
        "none",
        0,
        1,
        None,
    )
