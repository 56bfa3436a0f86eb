"""Token prices: list prices with their date and source, or user-defined ones."""

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
"""Date suffix of a model version. Four digits are not matched, because such versions are priced separately; neither is
`-latest`, which changes."""

MIN_CACHED_PROMPT = 1024
"""Shorter prompts are not cached by servers."""

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"})

OWN_BATCHES = re.compile(
    r"api\.anthropic\.com|.*\.googleapis\.com|api\.mistral\.ai|api\.deepseek\.com|openrouter\.ai|api\.x\.ai"
    r"|api\.cohere\.(?:com|ai)|api\.perplexity\.ai|bedrock.*\.amazonaws\.com"
)
"""Hosts without a batch API that is compatible with OpenAI's."""


@dataclass(frozen=True, slots=True)
class Price:
    """Price per million tokens, in US dollars."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    """Price of cached prompt tokens; None if it is the same."""
    batch_price_factor: float = 1.0
    """Factor for requests in batches."""
    seen: str = ""
    """Date of a list price."""
    source: str = ""
    cache_write_usd_per_mtok: float | None = None
    """Price of prompt tokens that the server writes to its cache, if it is higher."""
    long_prompt_tokens: int | None = None
    """A request with a longer prompt costs up to `long_prompt_factor` times as much."""
    long_prompt_factor: float = 1.0

    def usd(self, usage: Usage, *, batch: bool = False, requests: int = 1) -> float:
        """Maximum cost of a usage: the higher price applies where servers do not report which one does.

        Args:
            usage: of one request, or of several together.
            batch: whether they were sent in a batch.
            requests: their number; the mean prompt decides whether prompts are long.
        """
        cached_price, write_price = self.cached_input_usd_per_mtok, self.cache_write_usd_per_mtok
        cached = 0 if cached_price is None else min(usage.cached_tokens, usage.prompt_tokens)
        mean_prompt = usage.prompt_tokens / max(1, requests)
        input_price = self.input_usd_per_mtok
        if write_price is not None and mean_prompt >= MIN_CACHED_PROMPT:
            # Servers do not report how many tokens they wrote to the cache, so all count.
            input_price = write_price
        prompt = (usage.prompt_tokens - cached) * input_price + cached * (cached_price or 0.0)
        usd = (prompt + usage.completion_tokens * self.output_usd_per_mtok) / 1e6
        if self.long_prompt_tokens is not None and mean_prompt > self.long_prompt_tokens:
            usd *= self.long_prompt_factor
        return usd * self.batch_price_factor if batch else usd


def list_price(model: str, base_url: str) -> Price | None:
    """List price of a model at its provider's URL; None if unknown, never the price of a similar model.

    A dated version (`gpt-4.1-mini-2025-04-14`) has the price of its model, unless it is listed separately.
    """
    prices = _prices().get(_host(base_url), {})
    return prices.get(model) or prices.get(SNAPSHOT.sub("", model))


def is_local(base_url: str) -> bool:
    """Whether a server is on this machine, and therefore free."""
    return _host(base_url) in LOCAL_HOSTS


def supports_batches(base_url: str) -> bool:
    """Whether a server accepts batches; True for unknown hosts."""
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
