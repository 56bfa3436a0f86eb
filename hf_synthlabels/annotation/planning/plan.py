"""Plan: what a recipe will ask, and what it will cost, before anything is spent."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hf_synthlabels.annotation.codebook.codebook_job import CodebookJob
from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.compiler import Job, RecipeLike, compile_recipe
from hf_synthlabels.annotation.planning.dry_run import DryRun, dry_run
from hf_synthlabels.annotation.planning.forecast import (
    LEARNT_PROMPT_SPREAD,
    PROMPT_SPREAD,
    THOUGHTS_TOKENS,
    Forecast,
    History,
    price_source,
    usual_answer_tokens,
)
from hf_synthlabels.annotation.planning.plan_report import Plan, with_second_annotator
from hf_synthlabels.annotation.planning.request_sample import RequestSample
from hf_synthlabels.annotation.recipe.source import load_source
from hf_synthlabels.annotation.trust.confirmation import confirmed
from hf_synthlabels.clients import ResponseFormat, ResponseStore
from hf_synthlabels.clients.config import ClientConfig, FormatKey
from hf_synthlabels.clients.factory import known_format
from hf_synthlabels.clients.prices import supports_batches
from hf_synthlabels.clients.token_estimates import estimate_tokens
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.resources import store_path

EXACT_ROWS = 100_000
"""Of sources up to this many rows every request is looked up, to know how many answers are stored already."""

EXACT_ROWS_WITH_ENCODER = 2_000
"""The same where an encoder chooses examples for each row, which takes its time."""


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
        SynthLabelsError: the recipe, its source or the response store cannot be read.
    """
    with confirmed(trust_recipe):
        job = compile_recipe(recipe)
    splits = load_source(job.recipe, rows=rows)
    planned = _planned(job, splits, sample, seed)
    return planned if isinstance(job, AnnotationJob) else _with_comparison(planned, job, splits, sample, seed)


def plan_rows(recipe: RecipeLike, rows: Any) -> Plan:
    """The plan for the rows of a data set instead of the recipe's source."""
    job, splits = compile_recipe(recipe), {"rows": rows}
    return _planned(job, splits, 100, 0)


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests to be planned: those of a recipe, or of a judge file."""

    kind: str
    """What the plan calls it: `recipe` or `judge`."""
    name: str
    """The name of the budget."""
    config: ClientConfig
    response_format: FormatKey
    columns: Sequence[str]
    """The columns that are read."""
    usual_tokens: tuple[float, float]
    """Low and likely length of an answer, where none is known."""
    dry_run: Callable[[ResponseFormat, Any], DryRun]
    """From the response format and the features of the rows."""
    num_samples: int = 1
    """Requests for each row, or for the rows of one call."""
    rows_per_call: int = 1
    exact_rows: int | None = None
    """Up to this many rows every request is looked up; None for the default."""


def plan_requests(work: Workload, splits: Mapping[str, Any], *, sample: int = 100, seed: int = 0) -> Plan:
    """Estimate the requests and the cost of a workload without sending anything.

    Raises:
        ConfigError: `sample` is not positive.
        StoreError: the response store cannot be read.
    """
    if sample < 1:
        raise ConfigError(f"`sample` must be at least 1, got {sample}.")
    config, rows, name = work.config, sum(len(part) for part in splits.values()), f"{work.kind} {work.name}"
    if config.kind != "openai":
        price, requests = f"client {config.kind!r} asks no server", rows * work.num_samples
        return Plan(name, config.model, rows, requests, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, price, 0.0, is_sent=False)
    generator = random.Random(seed)
    is_exact = rows <= max(sample, work.exact_rows or EXACT_ROWS)
    with ResponseStore(store_path()) as store:
        known = known_format(config, work.response_format, store)
        counted = RequestSample(store, sample, generator, sends_schema=known in (None, "json_schema"))
        for part in splits.values():
            read = part.select_columns(list(work.columns))
            if not is_exact:
                share = sample * len(part) // rows
                read = read.select(sampled_rows(len(part), share, work.rows_per_call, generator))
            counted.add(work.dry_run(known or "json_schema", part.features), read)
        history = History.read(store, work.name, config.model)
    notes = _notes(work, rows, counted, history, is_exact=is_exact, is_probed=known is not None)
    return _estimate(work, rows, counted, history, notes)


def _workload(job: Job) -> Workload:
    recipe = job.recipe
    selection = recipe.annotator.example_selection
    return Workload(
        "recipe",
        recipe.name,
        job.client,
        job.response_format,
        job.columns(),
        _usual_tokens(job),
        lambda response_format, _: dry_run(job, response_format),
        recipe.annotator.num_samples,
        job.recipe.task.strategy().rows_per_call if isinstance(job, AnnotationJob) else 1,
        EXACT_ROWS_WITH_ENCODER if selection is not None and selection.method == "nearest" else None,
    )


def _usual_tokens(job: Job) -> tuple[float, float]:
    """Low and likely length of an answer; of a codebook, the mean over its requests."""
    lengths = [
        usual_answer_tokens(
            each.schema, each.recipe.task.strategy(), as_json=job.response_format != "text", is_reasoning_model=False
        )
        for each in job.variables.values()
    ]
    requests = 1 if isinstance(job, AnnotationJob) else len(job.recipe.groups)
    # In a joint answer each value follows the name of its variable.
    names = 0 if len(lengths) == requests else sum(estimate_tokens(name) for name in job.variables)
    low, likely = (sum(each) + names for each in zip(*lengths, strict=True))
    thoughts = THOUGHTS_TOKENS if job.client.is_reasoning_model else 0
    return low / requests, likely / requests + thoughts


def _planned(job: Job, splits: Mapping[str, Any], sample: int, seed: int) -> Plan:
    """The plan, with the requests of a second annotator: none low, an assumed share of the rows likely, all high."""
    plan = plan_requests(_workload(job), splits, sample=sample, seed=seed)
    escalate, second = job.recipe.annotator.escalate, job.second
    if escalate is None or second is None:
        return plan
    other = plan_requests(_workload(second), splits, sample=sample, seed=seed)
    return with_second_annotator(plan, other, escalate.expected_share)


def _with_comparison(plan: Plan, job: CodebookJob, splits: Mapping[str, Any], sample: int, seed: int) -> Plan:
    """The plan of a codebook, with a note of what the other grouping of its variables takes."""
    if len(job.variables) == 1 or job.client.kind != "openai":
        return plan
    group: Literal["joint", "separate"] = "separate" if len(job.recipe.groups) < len(job.variables) else "joint"
    other = _planned(job.regrouped(group), splits, sample, seed)
    cost = "at an unknown cost" if other.likely_usd is None else f"and likely cost {other.likely_usd:,.4f} USD"
    notes = [
        f"With `task.group: {group}` it would take {other.requests:,} requests with {other.prompt_tokens:,} prompt "
        f"tokens, {cost}."
    ]
    if any(job.recipe.conditions.values()):
        notes.append("Variables with `ask_if` are counted in all rows; separate ones are only sent where it holds.")
    return replace(plan, notes=(*plan.notes, *notes))


def _notes(
    work: Workload, rows: int, sample: RequestSample, history: History, *, is_exact: bool, is_probed: bool
) -> tuple[str, ...]:
    config, notes = work.config, []
    if not is_probed:
        notes.append("The endpoint is first probed for its response formats, with one or two small requests.")
    if not is_exact:
        notes.append(f"Requests and stored answers are extrapolated from {sample.rows:,} sampled rows.")
    elif rows * work.num_samples > sample.requests * work.rows_per_call:
        notes.append("Rows without text are skipped, and equal rows are sent once.")
    if history.held_requests and (config.budget_usd or config.budget_tokens):
        notes.append(
            f"Killed runs hold {history.held_usd:,.4f} USD for {history.held_requests:,} requests that may have been "
            "billed: `hf-synthlabels cache prune --release-reservations` returns it."
        )
    price = config.resolved_price
    has_discount = price is not None and price.batch_price_factor < 1
    if price is not None and has_discount and not config.batch and supports_batches(config.base_url):
        notes.append(f"With `batch: true` it costs {price.batch_price_factor:.0%} of this, answered within a day.")
    return tuple(notes)


def _estimate(work: Workload, rows: int, sample: RequestSample, history: History, notes: tuple[str, ...]) -> Plan:
    config, scale = work.config, rows / sample.rows
    requests, stored = round(sample.requests * scale), round(sample.stored * scale)
    ratio, pending = sample.prompt_ratio(), requests - stored
    forecast = Forecast(
        config,
        history,
        requests=pending,
        prompt_tokens=round(sample.prompt_tokens() * ratio.value * pending),
        prompt_spread=LEARNT_PROMPT_SPREAD if ratio.is_known else PROMPT_SPREAD,
        max_prompt_tokens=sample.max_prompt_tokens(),
        answer_tokens=_answer_tokens(work, sample.answer_tokens(), history, pending),
    )
    seconds, pace = forecast.duration()
    budgets = forecast.budgets()
    affordable = min((number for _, number in budgets), default=None)
    per_row = work.num_samples / work.rows_per_call
    return Plan(
        f"{work.kind} {work.name}",
        config.model,
        rows,
        requests,
        stored,
        sample.rows,
        forecast.prompt_tokens,
        *forecast.answer_tokens,
        *forecast.costs,
        price=price_source(config),
        seconds=seconds,
        pace=pace,
        budget="; ".join(words for words, _ in budgets),
        affordable_rows=None if affordable is None else min(rows, int(affordable / per_row)),
        notes=notes,
    )


def _answer_tokens(
    work: Workload, stored: float | None, history: History, requests: int
) -> tuple[int, int, int | None]:
    """Low, likely and high length of all answers together; no high one where answers have no limit."""
    low, usual = work.usual_tokens
    longest = work.config.max_answer_tokens
    likely = next(length for length in (stored, history.answer_tokens, usual) if length is not None)
    likely = likely if longest is None else min(likely, longest)
    high = None if longest is None else longest * requests
    return round(min(low, likely) * requests), round(likely * requests), high


def sampled_rows(rows: int, count: int, rows_per_call: int, generator: random.Random) -> list[int]:
    """A random sample of rows, in order; of rows that share a call all or none, so that the calls stay the same."""
    calls = -(-rows // rows_per_call)
    chosen = sorted(generator.sample(range(calls), min(calls, max(1, count // rows_per_call))))
    return [row for call in chosen for row in range(call * rows_per_call, min(rows, (call + 1) * rows_per_call))]
