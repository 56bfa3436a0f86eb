"""What tokens cost: list prices with the day on which they were seen, or the caller's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import yaml

from hf_synthlabels.clients.base import Usage

__all__ = ["Price", "list_price"]

SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")
"""What providers put behind a model's name for one version of it."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in US dollars."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    """For prompt tokens that the server had cached; None when they cost the same."""
    batch_share: float = 1.0
    """What is paid of it for requests in batches."""
    seen: str = ""
    """The day of a list price."""
    source: str = ""

    def usd(self, usage: Usage, *, batch: bool = False) -> float:
        """What so many tokens cost."""
        cached = self.cached_input_usd_per_mtok
        known = 0 if cached is None else usage.cached_tokens
        prompt = (usage.prompt_tokens - known) * self.input_usd_per_mtok + known * (cached or 0.0)
        usd = (prompt + usage.completion_tokens * self.output_usd_per_mtok) / 1e6
        return usd * self.batch_share if batch else usd


def list_price(model: str, base_url: str) -> Price | None:
    """The list price of a model at its provider's own address; None when it is not known, never a neighbour's.

    A dated version (`gpt-4.1-mini-2025-04-14`) has the price of its model.
    """
    host = (urlsplit(base_url).hostname or "").casefold()
    prices = _prices().get(host, {})
    return prices.get(model) or prices.get(SNAPSHOT.sub("", model))


@cache
def _prices() -> dict[str, dict[str, Price]]:
    content: list[dict[str, Any]] = yaml.safe_load(
        files("hf_synthlabels.clients").joinpath("prices.yaml").read_text(encoding="utf-8")
    )
    return {
        provider["host"]: {
            name: Price(
                float(entry["input"]),
                float(entry["output"]),
                None if entry.get("cached") is None else float(entry["cached"]),
                float(provider.get("batch", 1.0)),
                str(entry["seen"]),
                str(entry["source"]),
            )
            for name, entry in provider["models"].items()
        }
        for provider in content
    }
