"""Strategies: ways to learn from many LLM labels and a few human labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_EPOCHS = 20
"""Few rows get the steps of all rows, but no more than so many epochs."""
HUMAN_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to learn; `options` are keys of StudentConfig."""

    name: str
    description: str
    options: Mapping[str, Any]
    uses_human: bool = True
    """Whether it learns from human labels besides the source's."""
    needs: str | None = None
    """`probs` or `confidence`, which the source must have."""
    on_top: bool = False
    """Whether the steps on human rows that come after are additional; otherwise they replace steps on LLM rows."""


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "llm_then_human", "LLM labels, then the human rows at a fifth of the rate", {"human_strategy": "finetune"}
    ),
    Strategy(
        "llm_then_human_on_top",
        "the same, the human rows' steps on top",
        {"human_strategy": "finetune"},
        on_top=True,
    ),
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
    Strategy(
        "weighted", "LLM rows weighted by consistency", {"confidence_power": 1.0}, uses_human=False, needs="confidence"
    ),
)


def known_strategies() -> dict[str, Strategy | None]:
    """Strategies by name; `plain` uses the source's labels alone."""
    return {"plain": None, **{each.name: each for each in STRATEGIES}}
