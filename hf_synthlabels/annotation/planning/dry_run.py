"""Dry run: the requests of a recipe or a judge, their prompts and stored answers, without sending any."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.compiler import Job, RecipeLike, compile_recipe
from hf_synthlabels.annotation.recipe.source import load_source
from hf_synthlabels.clients import (
    Completion,
    Failure,
    Request,
    ResponseFormat,
    ResponseStore,
    ScriptedClient,
)
from hf_synthlabels.clients.factory import client_identity
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.clients.store.payloads import stored_completion
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Annotation

LOOKUP_ROWS = 500

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DryRun:
    """Builds requests without sending them."""

    build: Callable[[Rows], Iterator[Request]]
    """The requests for rows, in order."""
    keys: RequestKeys

    def requests(self, rows: Rows) -> Iterator[tuple[Request, str]]:
        """The requests for some rows, with the cache keys of their answers.

        Requests for parts of a call, sent when an answer to several rows has the wrong length, are not included.
        """
        for request in self.build(rows):
            yield request, self.keys.of(request)


def dry_run(job: Job, response_format: ResponseFormat) -> DryRun:
    """The dry run of a job whose client is a server or a local model."""
    prompt: Any = job.prompt(as_json=response_format != "text")
    keys = RequestKeys(client_identity(job.client, job.client_use({}), response_format))
    return DryRun(job.annotator(prompt, ScriptedClient({})).requests, keys)


def first_prompt(recipe: RecipeLike) -> str:
    """The messages of a recipe's first request, and the JSON schema if one is sent.

    With `response_format: auto` the schema is shown, because it is tried first.

    Raises:
        DataError: the source has no row with text.
        SynthLabelsError: the recipe or its source cannot be read.
    """
    job = compile_recipe(recipe)
    response_format = "json_schema" if job.response_format == "auto" else job.response_format
    splits = load_source(job.recipe).values()
    requests = (request for part in splits for request, _ in dry_run(job, response_format).requests(part))
    request = next(requests, None)
    if request is None:
        raise DataError("`source` has no row with text, so no request would be sent. Check `task.text`.")
    blocks = [f"--- {message.role}\n{message.content}" for message in request.messages]
    if response_format == "json_schema":
        blocks.append(f"--- JSON schema of the answer\n{json.dumps(request.response_schema, ensure_ascii=False)}")
    return "\n".join(blocks)


class StoredAnswers:
    """A client that returns the stored answers of a job's requests, and a failure for requests without one.

    Args:
        job: its requests.
        response_format: of the answers.
        store: the response store.
        sample: the index of the sample to look up.
    """

    def __init__(self, job: AnnotationJob, response_format: ResponseFormat, store: ResponseStore, sample: int) -> None:
        self._job = job
        self._prompt = job.prompt(as_json=response_format != "text")
        self._keys = dry_run(job, response_format).keys
        self._store = store
        self._sample = sample
        self.looked_up: list[str] = []
        """The cache keys of all answers in the store."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Empty: the client itself answers nothing."""
        return {}

    def annotate(self, rows: Rows) -> Iterator[Annotation]:
        """The annotations of rows by one sample of their stored answers."""
        return self._job.annotator(self._prompt, self, 1).annotate(rows)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The stored answers; a missing one counts as over budget, which stops no run."""
        pending = iter(requests)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            keyed = [(request, self._keys.of(replace(request, sample=self._sample))) for request in batch]
            stored = self._store.get(key for _, key in keyed)
            for request, key in keyed:
                if key in stored:
                    self.looked_up.append(key)
                    yield stored_completion(request.key, stored[key])
                else:
                    yield Completion(request.key, failure=Failure("over_budget", "no answer is stored"))
