"""Strategies: ways to learn from many LLM labels and a few human labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_EPOCHS = 20
"""The students of the few human rows get the steps of the others, but no more than so many epochs."""
HUMAN_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to learn; `options` are keys of StudentConfig."""

    name: str
    description: str
    options: Mapping[str, Any]
    labels: str = "both"
    """`llm`, `human` (the few), `both`, or `all_human`: every human label of the training rows, as an
    upper reference."""
    needs: str | None = None
    """`probs` or `confidence`: left out where there is no such column."""
    on_top: bool = False
    """Whether the steps of human rows that come after are on top of those of the others."""


BASELINES: tuple[Strategy, ...] = (
    Strategy("human_only", "the human rows alone", {}, "human"),
    Strategy("llm_only", "the LLM labels alone", {}, "llm"),
    Strategy(
        "llm_then_human", "LLM labels, then the human rows at a fifth of the rate", {"human_strategy": "finetune"}
    ),
)
"""What every strategy has to beat."""

STRATEGIES: tuple[Strategy, ...] = (
    *BASELINES,
    Strategy("mix", "human labels instead of the LLM's, all rows together", {"human_strategy": "mix"}),
    Strategy("mix_x4", "the same, human rows counting four times", {"human_strategy": "mix", "human_weight": 4.0}),
    Strategy("forward", "forward correction of all rows", {"human_strategy": "none", "correction": "forward"}),
    Strategy(
        "forward_mix", "forward correction, human rows mixed in", {"human_strategy": "mix", "correction": "forward"}
    ),
    Strategy(
        "forward_then_human",
        "forward correction, then the human rows",
        {"human_strategy": "finetune", "correction": "forward"},
    ),
    Strategy(
        "soft",
        "soft labels at a fitted temperature",
        {"human_strategy": "none", "probs_temperature": "fit"},
        needs="probs",
    ),
    Strategy("weighted", "LLM rows weighted by consistency", {"confidence_power": 1.0}, "llm", needs="confidence"),
    Strategy("all_human", "human labels of all rows, for reference", {}, "all_human"),
)


def known_strategies() -> dict[str, Strategy | None]:
    """Strategies by name; `plain` uses the source's labels alone."""
    others = {each.name: each for each in STRATEGIES if each.labels == "both" or each.needs is not None}
    return {"plain": None, **others}
