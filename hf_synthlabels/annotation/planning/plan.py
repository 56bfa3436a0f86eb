"""Plan: what a recipe will ask, and what it will cost, before anything is spent."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from typing import Any

from hf_synthlabels.annotation.compiled import AnnotationJob, RecipeLike, compile_recipe
from hf_synthlabels.annotation.planning.dry_run import RequestDryRun
from hf_synthlabels.annotation.planning.forecast import Forecast, History
from hf_synthlabels.annotation.planning.request_counts import RequestCounter
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.source import load_source, needed_columns
from hf_synthlabels.annotation.trust.confirmation import confirmed
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.factory import known_format
from hf_synthlabels.clients.prices import supports_batches
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.resources import store_path

EXACT_ROWS = 100_000
"""Of sources up to this many rows every request is looked up, to know how many answers are stored already."""

EXACT_ROWS_WITH_ENCODER = 2_000
"""The same where an encoder chooses examples for each row, which takes its time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests, tokens, money and time of a recipe; nothing was spent to know it."""

    recipe: str
    model: str | None
    rows: int
    requests: int
    """Different ones that the rows make, stored answers included."""
    stored: int
    """Answers that are in the response store already, and cost nothing."""
    sampled: int
    """Rows whose requests were looked up; all of them up to 100,000."""
    prompt_tokens: int
    """Of the requests that are still to be sent, likely."""
    low_answer_tokens: int
    likely_answer_tokens: int
    high_answer_tokens: int | None
    """None where answers have no limit."""
    low_usd: float | None
    """None where no price is known, as all amounts of money."""
    likely_usd: float | None
    high_usd: float | None
    """With answers as long as `max_tokens` lets them be."""
    price: str
    """Where the price comes from, or why there is none."""
    seconds: float
    """At the recipe's limits, and at the pace of earlier runs or an assumed one."""
    pace: str = ""
    """What the time stands on."""
    budget: str = ""
    """Whether the budget is enough; empty without one."""
    affordable_rows: int | None = None
    """Rows, of those that are not answered yet, that the budget is likely enough for; None without one."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [
            ("rows", f"{self.rows:,}"),
            ("requests", f"{self.requests - self.stored:,} to send, {self.stored:,} of {self.requests:,} are stored"),
            ("prompt tokens", f"{self.prompt_tokens:,}"),
            (
                "answer tokens",
                f"{self.low_answer_tokens:,} low, {self.likely_answer_tokens:,} likely, "
                f"{_count(self.high_answer_tokens)} high",
            ),
            ("cost", self._cost()),
            ("price", self.price),
            ("time", f"about {_duration(self.seconds)}, {self.pace}" if self.pace else ""),
            ("budget", self.budget),
            *(("note", note) for note in self.notes),
        ]
        shown = [f"  {name:<14}{words}" for name, words in lines if words]
        return "\n".join([f"recipe {self.recipe}, model {self.model}", *shown])

    def _cost(self) -> str:
        if self.low_usd is None or self.likely_usd is None:
            return "unknown"
        high = "unlimited" if self.high_usd is None else f"{self.high_usd:,.4f}"
        return f"{self.low_usd:,.4f} low, {self.likely_usd:,.4f} likely, {high} high, in US dollars"


def plan(
    recipe: RecipeLike,
    *,
    rows: int | None = None,
    sample: int = 100,
    seed: int = 0,
    trust_recipe: bool = False,
) -> Plan:
    """What a recipe will ask and cost; spends nothing.

    The requests are made as they would be sent, and looked up in the response store: all of them up to 100,000 rows,
    otherwise those of a sample. Tokens are estimated from the texts of a sample; where the store has answers to the
    recipe's own requests, by what the server counted for them. Answers are taken to be as short as a label can be
    (low), as long as earlier answers or as a label usually is (likely), or as long as `max_tokens` lets them be (high).

    Args:
        recipe: a path, a packaged recipe's name, or a recipe. Only recipes with a server as annotator cost anything.
        rows: plan the first so many rows of each split only; see `load`.
        sample: requests whose tokens are estimated, and rows that are looked at in a larger source.
        seed: which ones.
        trust_recipe: see `load`.

    Raises:
        ConfigError: `sample` is not positive.
        SynthLabelsError: the recipe, its source or the response store can not be read.
    """
    if sample < 1:
        raise ConfigError(f"`sample` is {sample}. Give a number of rows, at least 1.")
    with confirmed(trust_recipe):
        job = compile_recipe(recipe)
    splits = load_source(job.recipe, rows=rows)
    return _planned(job, splits, sample, seed)


def plan_rows(recipe: RecipeLike, rows: Any) -> Plan:
    """The same for the rows of a data set instead of the recipe's source."""
    return _planned(compile_recipe(recipe), {"rows": rows}, 100, 0)


def _planned(job: AnnotationJob, splits: Any, sample: int, seed: int) -> Plan:
    wanted = job.recipe
    rows = sum(len(part) for part in splits.values())
    if wanted.annotator.client.kind != "openai":
        return zero_cost_plan(wanted, rows, rows * wanted.annotator.num_samples)
    generator = random.Random(seed)
    with ResponseStore(store_path()) as store:
        form = known_format(wanted.annotator.client, wanted.annotator.response_format, store)
        rehearsal = RequestDryRun(job, form or "json_schema")
        exact = rows <= max(sample, EXACT_ROWS_WITH_ENCODER if rehearsal.chooses_examples else EXACT_ROWS)
        census = RequestCounter(store, sample, generator, sends_schema=form in (None, "json_schema"))
        for part in splits.values():
            asked = part.select_columns(needed_columns(wanted))
            if not exact:
                asked = asked.select(
                    drawn_rows(len(part), sample * len(part) // rows, wanted.task.rows_per_call, generator)
                )
            census.add(rehearsal, asked)
        history = History.read(store, wanted)
    notes = plan_notes(wanted, rows, census, history, exact=exact, probed=form is not None)
    asked_per_row = wanted.annotator.num_samples / wanted.task.rows_per_call
    return build_plan(wanted, rows, census, history, notes, asked_per_row=asked_per_row)


def plan_notes(
    recipe: Recipe, rows: int, census: RequestCounter, history: History, *, exact: bool, probed: bool
) -> tuple[str, ...]:
    """What the numbers do not tell."""
    annotator, notes = recipe.annotator, []
    if not probed:
        notes.append("The endpoint is first probed for its answer forms, with one or two small requests.")
    if not exact:
        notes.append(f"Requests and stored answers are those of {census.rows:,} sampled rows, scaled up.")
    elif rows * annotator.num_samples > census.requests * recipe.task.rows_per_call:
        notes.append("Rows without text are not asked, and rows that ask the same are asked once.")
    if history.held_requests and (annotator.client.budget_usd or annotator.client.budget_tokens):
        notes.append(
            f"Killed runs hold {history.held_usd:,.4f} USD for {history.held_requests:,} requests that may have been "
            "billed: `hf-synthlabels cache prune --release-reservations` returns it."
        )
    price = annotator.client.resolved_price
    if (
        price is not None
        and price.batch_price_factor < 1
        and not annotator.client.batch
        and supports_batches(annotator.client.base_url)
    ):
        notes.append(f"With `batch: true` it costs {price.batch_price_factor:.0%} of this, answered within a day.")
    return tuple(notes)


def build_plan(
    recipe: Recipe, rows: int, census: RequestCounter, history: History, notes: tuple[str, ...], *, asked_per_row: float
) -> Plan:
    """A plan from what was counted and from what earlier runs came to.

    Args:
        recipe: whose model, limits, prices and budget count.
        rows: of the source.
        census: of their requests, or of a sample of them.
        history: of the recipe's name.
        notes: what the numbers do not tell.
        asked_per_row: requests that a row makes.
    """
    scale = rows / census.rows
    requests, stored = round(census.requests * scale), round(census.stored * scale)
    ratio = census.ratio()
    forecast = Forecast(
        recipe,
        history,
        requests=requests - stored,
        prompt_tokens=round(census.prompt_tokens() * ratio.value * (requests - stored)),
        is_learnt=ratio.is_known,
        max_prompt_tokens=census.max_prompt_tokens(),
        seen_answer_tokens=census.answer_tokens(),
    )
    affordable = forecast.affordable_requests
    low_tokens, likely_tokens, high_tokens = forecast.answer_tokens
    low_usd, likely_usd, high_usd = forecast.costs
    return Plan(
        recipe=recipe.name,
        model=recipe.annotator.client.model,
        rows=rows,
        requests=requests,
        stored=stored,
        sampled=census.rows,
        prompt_tokens=forecast.prompt_tokens,
        low_answer_tokens=low_tokens,
        likely_answer_tokens=likely_tokens,
        high_answer_tokens=high_tokens,
        low_usd=low_usd,
        likely_usd=likely_usd,
        high_usd=high_usd,
        price=forecast.price,
        seconds=forecast.seconds,
        pace=forecast.pace,
        budget=forecast.budget,
        affordable_rows=None if affordable is None else min(rows, int(affordable / asked_per_row)),
        notes=notes,
    )


def zero_cost_plan(recipe: Recipe, rows: int, requests: int) -> Plan:
    """The plan of a recipe that asks no server."""
    return Plan(
        recipe=recipe.name,
        model=recipe.annotator.client.model,
        rows=rows,
        requests=requests,
        stored=0,
        sampled=0,
        prompt_tokens=0,
        low_answer_tokens=0,
        likely_answer_tokens=0,
        high_answer_tokens=0,
        low_usd=0.0,
        likely_usd=0.0,
        high_usd=0.0,
        price=f"client {recipe.annotator.client.kind!r} asks no server",
        seconds=0.0,
    )


def drawn_rows(rows: int, wanted: int, together: int, generator: random.Random) -> list[int]:
    """Rows of a sample, in order: whole calls where several are asked together, so that they stay the same calls."""
    calls = -(-rows // together)
    chosen = sorted(generator.sample(range(calls), min(calls, max(1, wanted // together))))
    return [row for call in chosen for row in range(call * together, min(rows, (call + 1) * together))]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count(number: int | None) -> str:
    return "unlimited" if number is None else f"{number:,}"
