"""Opens the client that a `ClientConfig` describes, with its response store and budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hf_synthlabels.clients.base import ChatClient
from hf_synthlabels.clients.batch.client import BatchClient
from hf_synthlabels.clients.config import ClientConfig, FormatKey
from hf_synthlabels.clients.local.client import TransformersClient
from hf_synthlabels.clients.openai.client import OpenAIClient
from hf_synthlabels.clients.openai.response_format import detect_response_format, recorded_response_format
from hf_synthlabels.clients.protocol.chat import ResponseFormat, chat_identity
from hf_synthlabels.clients.recorded import RecordedClient
from hf_synthlabels.clients.store.budget import MIN_CHUNK, BudgetTracker
from hf_synthlabels.clients.store.cached_client import CachedClient
from hf_synthlabels.clients.store.ledger import Run
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.resources import store_path

BATCH_WINDOW_ROWS = 100_000
"""Rows in flight at once with the batch API: that many are held in memory until the next batch ends."""

BATCH_TIMEOUT_S = 25 * 3600.0
"""A batch is answered or expires within a day; another process's batch is awaited that long."""

MIN_REQUESTS_PER_MINUTE = 60
MIN_TOKENS_PER_MINUTE = 60_000
"""The smallest parts. Each limiter allows bursts of a second, so that many small parts together exceed the limit."""


@dataclass(frozen=True, slots=True)
class ClientUse:
    """What a run needs from its client."""

    name: str
    """The name of the budget in the ledger: the recipe's or the judge file's."""
    response_format: FormatKey = "text"
    logprobs: bool = False
    answers_per_row: int | None = None
    """Surplus recorded answers are an error; None does not check."""
    scored_answers: tuple[str, ...] | None = None
    """For `transformers`: the answers to score instead of generating text."""
    features: Mapping[str, Any] = field(default_factory=dict)
    """Features of the rows, for a column of recorded answers."""
    list_labels: bool = False
    """Whether a recorded label is itself a list."""
    text_labels: bool = False
    """Whether recorded labels are free text, which is replayed verbatim."""


@dataclass(frozen=True, slots=True)
class OpenedClient:
    """A client that is ready to complete requests."""

    client: ChatClient
    as_json: bool | None = None
    """Whether the endpoint's response format is JSON; None if the configuration alone decides."""
    window_rows: int | None = None
    """Maximum number of rows in flight; None for the default."""


@contextmanager
def open_client(
    config: ClientConfig, use: ClientUse, *, client: ChatClient | None = None, store: ResponseStore | None = None
) -> Iterator[OpenedClient]:
    """The client of a configuration: a server, a model in this process, or recorded answers.

    Args:
        config: with located paths; see `ClientConfig.located`.
        use: what the run needs from the client.
        client: replaces the configured client; the response store is used with it.
        store: used instead of this machine's store, and left open.

    Raises:
        ClientError: a key, a file or a model is missing.
        StoreError: the response store cannot be opened.
    """
    if client is None and config.kind == "recorded":
        # Recorded answers are not stored again.
        yield OpenedClient(recorded_client(config, use))
        return
    if client is None and config.kind == "transformers":
        client = causal_client(config, use)
    elif client is None:
        # Report a missing key before the store is created.
        config.endpoint.check()
    with ResponseStore(store_path()) if store is None else nullcontext(store) as answers:
        if client is not None:
            yield OpenedClient(CachedClient(client, answers))
            return
        with tracked_budget(config, use.name, answers) as budget:
            server = open_server(config, use, answers, budget)
            as_json = server.sampling.response_format != "text"
            if not config.batch:
                yield OpenedClient(CachedClient(server, answers), as_json)
                return
            batches = _batch_client(server, answers, config)
            cached = CachedClient(batches, answers, hits_per_pass=BATCH_WINDOW_ROWS, outage_timeout_s=BATCH_TIMEOUT_S)
            yield OpenedClient(cached, as_json, BATCH_WINDOW_ROWS)
            batches.collect()


def open_server(
    config: ClientConfig, use: ClientUse, store: ResponseStore, budget: BudgetTracker | None
) -> OpenAIClient:
    """The client of a server; with `response_format: auto` the endpoint is probed once.

    Raises:
        ClientError: the endpoint cannot be probed.
    """

    def make(response_format: ResponseFormat) -> OpenAIClient:
        return OpenAIClient(
            model=str(config.model),
            base_url=config.base_url,
            api_key_env=config.api_key_env,
            sampling=config.sampling(response_format, logprobs=use.logprobs),
            max_in_flight=config.max_in_flight,
            max_retries=config.max_retries,
            timeout_s=config.timeout_s,
            requests_per_minute=config.requests_per_minute,
            tokens_per_minute=config.tokens_per_minute,
            budget=budget,
            headers=config.request_headers,
        )

    key = use.response_format
    return make(detect_response_format(store, make) if key == "auto" else key)


@contextmanager
def tracked_budget(config: ClientConfig, name: str, store: ResponseStore) -> Iterator[BudgetTracker]:
    """The budget of one run; ended even when the run fails."""
    price = config.resolved_price
    run = Run(
        scope=name,
        model=config.model,
        base_url=config.base_url,
        budget_usd=config.budget_usd,
        budget_tokens=config.budget_tokens,
    )
    budget = BudgetTracker(
        store,
        run,
        cost_usd=None if price is None else partial(price.usd, batch=config.batch),
        max_tokens=config.max_answer_tokens,
        chunk=max(MIN_CHUNK, config.max_in_flight // 8),
    )
    budget.begin()
    try:
        yield budget
    finally:
        budget.end()


def causal_client(config: ClientConfig, use: ClientUse) -> TransformersClient:
    """The client of a model in this process; the model is loaded with the first request."""
    return TransformersClient(
        str(config.model),
        sampling=config.sampling("text", logprobs=use.logprobs),
        answers=use.scored_answers,
        batch_size=config.batch_size,
        dtype=config.dtype,
        device=config.device,
    )


def recorded_client(config: ClientConfig, use: ClientUse) -> RecordedClient:
    """The client of recorded answers.

    Raises:
        ClientError: the file of answers cannot be read.
    """
    return RecordedClient(
        column=config.column,
        file=config.file,
        key=config.key,
        answer=config.answer,
        names=_class_names(use.features.get(str(config.column))),
        answers=use.answers_per_row,
        list_labels=use.list_labels,
        status=status_column(config, use.features),
        text_labels=use.text_labels,
    )


def known_format(config: ClientConfig, response_format: FormatKey, store: ResponseStore) -> ResponseFormat | None:
    """The response format that is in use; None if `auto` was not resolved by a probe yet."""
    if response_format != "auto":
        return response_format
    return recorded_response_format(store, base_url=config.base_url.rstrip("/"), model=str(config.model))


def client_identity(config: ClientConfig, use: ClientUse, response_format: ResponseFormat) -> Mapping[str, Any]:
    """The identity under which answers are cached, without opening the client."""
    if config.kind == "transformers":
        return causal_client(config, use).identity
    sampling = config.sampling(response_format, logprobs=use.logprobs)
    return chat_identity(str(config.model), config.base_url.rstrip("/"), sampling)


def status_column(config: ClientConfig, columns: Iterable[str]) -> str | None:
    """The status column of a recorded label column; None for raw answers."""
    column, present = config.column, set(columns)
    if column is None or not {f"{column}_status", f"{column}_raw"} <= present:
        return None
    return f"{column}_status"


def split_rate_limits(config: ClientConfig, processes: int) -> list[ClientConfig]:
    """Divide a client's limits among processes; indivisible remainders go to the first ones.

    Budgets are not divided: all processes reserve from one account.

    Args:
        config: the limits of all processes together.
        processes: desired number; fewer if parts would be smaller than one request in flight, 60 requests or 60,000
            tokens per minute.
    """
    count = min(processes, config.max_in_flight)
    if config.requests_per_minute is not None:
        count = min(count, int(config.requests_per_minute // MIN_REQUESTS_PER_MINUTE))
    if config.tokens_per_minute is not None:
        count = min(count, int(config.tokens_per_minute // MIN_TOKENS_PER_MINUTE))
    count = max(1, count)
    each, more = divmod(config.max_in_flight, count)
    shared = {
        key: None if (limit := getattr(config, key)) is None else limit / count
        for key in ("requests_per_minute", "tokens_per_minute")
    }
    return [config.model_copy(update={**shared, "max_in_flight": each + (number < more)}) for number in range(count)]


def _batch_client(server: OpenAIClient, store: ResponseStore, config: ClientConfig) -> BatchClient:
    return BatchClient(
        model=server.model,
        store=store,
        base_url=server.base_url,
        api_key_env=config.api_key_env,
        headers=config.request_headers,
        sampling=server.sampling,
        budget=server.budget,
    )


def _class_names(feature: Any) -> list[str] | None:
    """The class names of a column: a ClassLabel, a list of them, or entities with one each."""
    feature = getattr(feature, "feature", feature)
    feature = feature.get("label") if isinstance(feature, dict) else feature
    return getattr(feature, "names", None)
