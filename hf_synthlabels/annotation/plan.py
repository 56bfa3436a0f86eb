"""Plan: what a recipe will ask, and what it will cost, before anything is spent."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

from hf_synthlabels.annotation.annotate import read_recipe
from hf_synthlabels.annotation.annotator import Annotator
from hf_synthlabels.annotation.opening import make_prompt, sampling, store_path
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.source import load_source, needed_columns
from hf_synthlabels.clients import (
    Price,
    RequestKeys,
    ResponseFormat,
    ResponseStore,
    ScriptedClient,
    Usage,
    chat_identity,
    estimate_message_tokens,
    estimate_tokens,
    recorded_format,
)
from hf_synthlabels.labels import LabelSchema

__all__ = ["Plan", "plan"]

EXACT_ROWS = 20_000
"""Sources up to this many rows are rendered whole, to know how many answers are stored already."""

LATENCY_S = 1.0
"""How long an answer is taken to need where nothing is known."""

REASONING_TOKENS = 120
WORDY_TOKENS = 60
"""Typical lengths of a few sentences of reasons, and of a free text, where no answer was seen yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests, tokens, money and time of a recipe; nothing was spent to know it."""

    recipe: str
    model: str | None
    rows: int
    requests: int
    """Of all rows, stored answers included."""
    stored: int
    """Answers that are in the response store already, and cost nothing."""
    sampled: int
    """Rows that were rendered to know it; all of them up to 20,000."""
    prompt_tokens: int
    low_answer_tokens: int
    likely_answer_tokens: int
    high_answer_tokens: int
    low_usd: float | None
    likely_usd: float | None
    high_usd: float | None
    price: str
    """Where the price comes from, or why there is none."""
    seconds: float
    """At the recipe's limits, or a second for an answer."""
    budget: str = ""
    """Whether the budget is enough; empty without one."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        to_ask = self.requests - self.stored
        lines = [
            f"recipe {self.recipe}, model {self.model}",
            f"rows      {self.rows:>12,}",
            f"requests  {to_ask:>12,} to send ({self.requests:,} in all, {self.stored:,} answers stored already)",
            f"tokens in {self.prompt_tokens:>12,}",
            f"tokens out{self.likely_answer_tokens:>12,} likely "
            f"({self.low_answer_tokens:,} at least, {self.high_answer_tokens:,} at most)",
        ]
        if self.likely_usd is None:
            lines.append(f"cost           unknown: {self.price}")
        else:
            lines.append(
                f"cost      {self.likely_usd:>12,.4f} USD likely ({self.low_usd:,.4f} low, {self.high_usd:,.4f} high)"
            )
            lines.append(f"price          {self.price}")
        lines.append(f"time      {_duration(self.seconds):>12} about")
        if self.budget:
            lines.append(f"budget         {self.budget}")
        return "\n".join([*lines, *(f"note           {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class _Rendered:
    """What a number of rows will be asked as."""

    rows: int
    requests: int
    stored: int
    prompt_tokens: int
    """Of the requests that are not stored."""


def plan(recipe: Recipe | dict[str, Any] | str | Path, *, sample: int = 500, seed: int = 0) -> Plan:
    """What a recipe will ask and cost; spends nothing.

    Rows are rendered as they would be sent, all of them up to 20,000, otherwise a sample. Prompt tokens are estimated
    from the text, and corrected by what the server counted in earlier runs of the recipe. The answers are taken to
    be as short as a label can be (low), as long as earlier answers or as labels are (likely), or as long as
    `max_tokens` lets them be (high).

    Args:
        recipe: a path, a packaged recipe's name, or a recipe. Only recipes with a server as teacher cost anything.
        sample: rows that are rendered of a larger source.
        seed: which ones.

    Raises:
        SynthLabelsError: the recipe or its source can not be read.
    """
    wanted = read_recipe(recipe)
    splits = load_source(wanted)
    rows = sum(len(part) for part in splits.values())
    if wanted.teacher.client != "openai":
        return _free(wanted, rows)
    exact = rows <= EXACT_ROWS
    generator = random.Random(seed)
    parts = []
    for part in splits.values():
        count = len(part) if exact else max(1, sample * len(part) // rows)
        chosen = sorted(generator.sample(range(len(part)), count))
        columns = part.select_columns(needed_columns(wanted)).select(chosen)
        parts.append((len(part) / count, columns))
    notes: list[str] = []
    with ResponseStore(store_path()) as store:
        form = _form(wanted, store, notes)
        rendered = [_scaled(_render(wanted, form, part, store), factor) for factor, part in parts]
        seen = _seen(store, wanted)
        spent = _spent(store, wanted)
    total = _Rendered(rows, *(sum(getattr(part, name) for part in rendered) for name in _Rendered.__slots__[1:]))
    if not exact:
        notes.append(f"Of {rows:,} rows a sample of {sum(len(part) for _, part in parts):,} was rendered.")
    return _priced(wanted, total, seen, spent, notes, sampled=sum(len(part) for _, part in parts))


def _free(recipe: Recipe, rows: int) -> Plan:
    model = recipe.teacher.model
    words = f"client {recipe.teacher.client!r} asks no server"
    requests = rows * recipe.teacher.draws
    return Plan(recipe.name, model, rows, requests, 0, rows, 0, 0, 0, 0, 0.0, 0.0, 0.0, words, 0.0)


def _form(recipe: Recipe, store: ResponseStore, notes: list[str]) -> ResponseFormat:
    teacher = recipe.teacher
    if teacher.response_format != "auto":
        return teacher.response_format
    known = recorded_format(store, base_url=teacher.base_url.rstrip("/"), model=str(teacher.model))
    if known is None:
        notes.append("The endpoint will first be probed for its answer forms, with one or two small requests.")
    return known or "json_schema"


def _render(recipe: Recipe, form: ResponseFormat, rows: Any, store: ResponseStore) -> _Rendered:
    prompt = make_prompt(recipe, as_json=form != "text")
    teacher = recipe.teacher
    keys = RequestKeys(chat_identity(str(teacher.model), teacher.base_url.rstrip("/"), sampling(teacher, form)))
    nobody = ScriptedClient({})
    annotator = Annotator(prompt.schema, prompt, nobody, draws=teacher.draws, form=recipe.task.form())
    requests = stored = prompt_tokens = 0
    pending = annotator.requests(rows)
    while batch := list(islice(pending, 500)):
        named = [keys.of(request) for request in batch]
        known = store.get(named)
        requests += len(batch)
        stored += sum(key in known for key in named)
        prompt_tokens += sum(
            estimate_message_tokens(request.messages)
            for request, key in zip(batch, named, strict=True)
            if key not in known
        )
    return _Rendered(len(rows), requests, stored, prompt_tokens)


def _scaled(rendered: _Rendered, factor: float) -> _Rendered:
    counts = (round(getattr(rendered, name) * factor) for name in _Rendered.__slots__)
    return _Rendered(*counts)


def _seen(store: ResponseStore, recipe: Recipe) -> tuple[int, int, int]:
    """Requests, prompt tokens and answer tokens of earlier runs of the recipe with this model."""
    query = (
        "SELECT coalesce(sum(requests), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0) "
        "FROM runs WHERE scope = ? AND model = ?"
    )
    requests, prompt, answer = store.select(query, (recipe.name, recipe.teacher.model))[0]
    return int(requests), int(prompt), int(answer)


def _spent(store: ResponseStore, recipe: Recipe) -> tuple[float, int]:
    """Dollars and tokens that all runs of the recipe's name have spent or may have."""
    query = (
        "SELECT coalesce(sum(max(granted_usd, coalesce(usd, 0) + uncertain_usd)), 0), "
        "coalesce(sum(max(granted_tokens, prompt_tokens + completion_tokens + uncertain_tokens)), 0) "
        "FROM runs WHERE scope = ?"
    )
    usd, tokens = store.select(query, (recipe.name,))[0]
    return float(usd), int(tokens)


def _answer_tokens(recipe: Recipe, schema: LabelSchema, seen: tuple[int, int, int]) -> tuple[float, float, float]:
    """Low, likely and high number of tokens of one answer."""
    teacher, task = recipe.teacher, recipe.task
    names = [estimate_tokens(name) for name in schema.names] or [1]
    frame = 6 if teacher.response_format != "text" else 1
    low = (min(names) + frame) * task.rows_per_call
    likely = (mean(names) + frame + 4 * (task.rows_per_call > 1)) * task.rows_per_call
    if task.reasoning or teacher.reasons:
        likely += REASONING_TOKENS
    if schema.kind in ("text-generation", "token-classification", "question-answering"):
        likely += WORDY_TOKENS
    if seen[0]:
        likely = seen[2] / seen[0]
    high = float(teacher.longest_answer or 4 * likely)
    return min(low, likely), min(likely, high), max(high, likely)


def _priced(
    recipe: Recipe,
    total: _Rendered,
    seen: tuple[int, int, int],
    spent: tuple[float, int],
    notes: list[str],
    *,
    sampled: int,
) -> Plan:
    teacher = recipe.teacher
    to_ask = total.requests - total.stored
    low, likely, high = (round(tokens * to_ask) for tokens in _answer_tokens(recipe, recipe.schema_of_labels(), seen))
    price = teacher.known_price
    # The estimate of the prompt may be a fifth off either way, the count of its bytes is never exceeded.
    costs = [
        None if price is None else price.usd(Usage(round(total.prompt_tokens * share), answer))
        for share, answer in ((0.8, low), (1.0, likely), (1.2, high))
    ]
    return Plan(
        recipe.name,
        teacher.model,
        total.rows,
        total.requests,
        total.stored,
        sampled,
        total.prompt_tokens,
        low,
        likely,
        high,
        costs[0],
        costs[1],
        costs[2],
        _price_words(recipe, price),
        _seconds(recipe, to_ask, total.prompt_tokens + likely),
        _budget_words(recipe, costs[1], costs[2], total.prompt_tokens + likely, spent),
        tuple(notes),
    )


def _price_words(recipe: Recipe, price: Price | None) -> str:
    if recipe.teacher.price is not None:
        return "from the recipe"
    if price is None:
        return f"no list price of {recipe.teacher.model!r} at {recipe.teacher.base_url} is known; give `teacher.price`"
    return f"list price seen on {price.seen} at {price.source}"


def _seconds(recipe: Recipe, requests: int, tokens: int) -> float:
    teacher = recipe.teacher
    at_least = [requests * LATENCY_S / teacher.max_in_flight]
    if teacher.requests_per_minute is not None:
        at_least.append(60 * requests / teacher.requests_per_minute)
    if teacher.tokens_per_minute is not None:
        at_least.append(60 * tokens / teacher.tokens_per_minute)
    return max(at_least)


def _budget_words(
    recipe: Recipe, likely_usd: float | None, high_usd: float | None, tokens: int, spent: tuple[float, int]
) -> str:
    teacher = recipe.teacher
    words = []
    if teacher.budget_usd is not None and likely_usd is not None and high_usd is not None:
        left = teacher.budget_usd - spent[0]
        verdict = "enough at most" if high_usd <= left else "likely enough" if likely_usd <= left else "not enough"
        words.append(f"{teacher.budget_usd:g} USD, {spent[0]:.4f} of it spent: {verdict}")
        if likely_usd > left and likely_usd > 0:
            words.append(f"about {max(0.0, left) / likely_usd:.0%} of the rows can be labelled")
    if teacher.budget_tokens is not None:
        left_tokens = teacher.budget_tokens - spent[1]
        verdict = "likely enough" if tokens <= left_tokens else "not enough"
        words.append(f"{teacher.budget_tokens:,} tokens, {spent[1]:,} of them spent: {verdict}")
    return "; ".join(words)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
