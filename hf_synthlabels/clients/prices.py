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

SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
"""A day behind a model's name, for one version of it. Four digits are left alone: where they stand for a month,
versions have prices of their own; and `-latest` is another model every year."""

MIN_CACHED_PROMPT = 1024
"""Tokens; servers keep no shorter prompt in their cache."""

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"})

OWN_BATCHES = re.compile(
    r"api\.anthropic\.com|.*\.googleapis\.com|api\.mistral\.ai|api\.deepseek\.com|openrouter\.ai|api\.x\.ai"
    r"|api\.cohere\.(?:com|ai)|api\.perplexity\.ai|bedrock.*\.amazonaws\.com"
)
"""Hosts without batches, or with an interface for them that is not OpenAI's."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in US dollars."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    """For prompt tokens that the server had cached; None when they cost the same."""
    batch_price_factor: float = 1.0
    """What is paid of it for requests in batches."""
    seen: str = ""
    """The day of a list price."""
    source: str = ""
    cache_write_usd_per_mtok: float | None = None
    """For prompt tokens that the server puts into its cache, where it asks more for them."""
    long_prompt_tokens: int | None = None
    """From longer prompts on, a request costs up to `long_prompt_factor` times as much."""
    long_prompt_factor: float = 1.0

    def usd(self, usage: Usage, *, batch: bool = False, requests: int = 1) -> float:
        """What so many tokens cost, at most: where the price depends on what servers do not tell, the higher one.

        Args:
            usage: of one request, or of several together.
            batch: whether they went in a batch.
            requests: how many there were; whether prompts are long is judged by their mean.
        """
        cached_price, write_price = self.cached_input_usd_per_mtok, self.cache_write_usd_per_mtok
        cached = 0 if cached_price is None else min(usage.cached_tokens, usage.prompt_tokens)
        mean_prompt = usage.prompt_tokens / max(1, requests)
        input_price = self.input_usd_per_mtok
        if write_price is not None and mean_prompt >= MIN_CACHED_PROMPT:
            # How much of a prompt was put into the cache is not told, so all of it counts.
            input_price = write_price
        prompt = (usage.prompt_tokens - cached) * input_price + cached * (cached_price or 0.0)
        usd = (prompt + usage.completion_tokens * self.output_usd_per_mtok) / 1e6
        if self.long_prompt_tokens is not None and mean_prompt > self.long_prompt_tokens:
            usd *= self.long_prompt_factor
        return usd * self.batch_price_factor if batch else usd


def list_price(model: str, base_url: str) -> Price | None:
    """The list price of a model at its provider's own address; None when it is not known, never a neighbour's.

    A dated version (`gpt-4.1-mini-2025-04-14`) has the price of its model, unless it is listed with its own.
    """
    prices = _prices().get(_host(base_url), {})
    return prices.get(model) or prices.get(SNAPSHOT.sub("", model))


def is_local(base_url: str) -> bool:
    """Whether an address is on this machine, where nobody sends a bill."""
    return _host(base_url) in LOCAL_HOSTS


def supports_batches(base_url: str) -> bool:
    """Whether requests can be sent to an address in batches; True for hosts that are not known."""
    return OWN_BATCHES.fullmatch(_host(base_url)) is None


def _host(base_url: str) -> str:
    return (urlsplit(base_url).hostname or "").casefold()


@cache
def _prices() -> dict[str, dict[str, Price]]:
    content: list[dict[str, Any]] = yaml.safe_load(
        files("hf_synthlabels.clients").joinpath("prices.yaml").read_text(encoding="utf-8")
    )
    return {
        host: {name: _price(entry, provider.get("batch", 1.0)) for name, entry in provider["models"].items()}
        for provider in content
        for host in provider["hosts"]
    }


def _price(entry: dict[str, Any], batch_price_factor: float) -> Price:
    long = entry.get("long") or {}
    return Price(
        float(entry["input"]),
        float(entry["output"]),
        entry.get("cached"),
        float(batch_price_factor),
        str(entry["seen"]),
        entry["source"],
        entry.get("cache_write"),
        long.get("over"),
        float(long.get("factor", 1.0)),
    )
