"""Targets of routing: a share of kept labels that must hold with a stated probability."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from hf_synthlabels.errors import ConfigError

Metric = Literal["accuracy", "precision", "recall"]
METRICS: tuple[Metric, ...] = get_args(Metric)

FORM = re.compile(r"\s*(\w+)\s*(?:\[(.+)\])?\s*>=\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class RoutingTarget:
    """A metric and the value that it must reach.

    - accuracy: share of correct labels among the kept rows.
    - precision of a class: share of correct labels among the kept rows that the LLM gave this class.
    - recall of a class: share of the rows of this class that end up with it, if humans label the rows not kept.

    Raises:
        ConfigError: the metric is unknown, its class is missing or not allowed, or the value is not between 0 and 1.
    """

    metric: Metric
    value: float
    class_name: str | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ConfigError(f"`target` has the metric {self.metric!r}: give one of {', '.join(METRICS)}.")
        if not 0 < self.value < 1:
            raise ConfigError(f"`target` has the value {self.value!r}: give a number between 0 and 1, such as 0.9.")
        if (self.metric == "accuracy") != (self.class_name is None):
            form = "accuracy>=0.9" if self.metric == "accuracy" else f"{self.metric}[NAME]>=0.9"
            raise ConfigError(
                f"`target` is {self}: accuracy has no class, precision and recall have one. Write {form!r}."
            )

    def __str__(self) -> str:
        name = "" if self.class_name is None else f"[{self.class_name}]"
        return f"{self.metric}{name} >= {self.value:g}"

    @classmethod
    def parse(cls, text: str) -> RoutingTarget:
        """Read a target such as `accuracy>=0.9` or `precision[biased]>=0.95`."""
        match = FORM.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"`target` is {text!r}: write a metric, >= and a value, such as 'accuracy>=0.9' or "
                "'precision[NAME]>=0.9'."
            )
        metric, name, number = match.groups()
        try:
            value = float(number)
        except ValueError:
            raise ConfigError(f"`target` has the value {number!r}: give a number between 0 and 1.") from None
        return cls(cast("Metric", metric), value, None if name is None else name.strip())
