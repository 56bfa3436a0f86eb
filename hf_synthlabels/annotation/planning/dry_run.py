"""RequestDryRun: what a recipe asks, with the keys under which its answers are stored; nobody is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.clients import (
    ChatClient,
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

LOOKUP_ROWS = 500


class RequestDryRun:
    """Builds the requests of a job without sending them.

    Args:
        job: its annotator is a server, or a local model.
        response_format: of the answers.
    """

    def __init__(self, job: AnnotationJob, response_format: ResponseFormat) -> None:
        self.prompt = job.prompt(as_json=response_format != "text")
        self.keys = RequestKeys(client_identity(job.client, job.client_use({}), response_format))
        self._job = job

    @property
    def chooses_examples(self) -> bool:
        """Whether an encoder selects the examples of each row."""
        selection = self._job.recipe.annotator.example_selection
        return selection is not None and selection.method == "nearest"

    def annotator(self, client: ChatClient, *, num_samples: int | None = None) -> Annotator:
        """The job's annotator with another client."""
        return self._job.annotator(self.prompt, client, num_samples)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """The requests for some rows, in order, with the cache keys of their answers.

        Requests for parts of a call, sent when an answer to several rows has the wrong length, are not included.
        """
        for request in self.annotator(ScriptedClient({})).requests(rows):
            yield request, self.keys.of(request)


class StoredAnswers:
    """A client that knows what is stored, for one of the draws; all else it does not answer.

    Args:
        store: where the answers are.
        keys: of the requests.
        sample: the index of the sample to look up.
    """

    def __init__(self, store: ResponseStore, keys: RequestKeys, sample: int = 0) -> None:
        self._store = store
        self._keys = keys
        self._sample = sample
        self.looked_up: list[str] = []
        """The keys of all answers that were found."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """It has none of its own."""
        return {}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The stored answers; a request without one counts as not paid for, which stops no run."""
        pending = iter(requests)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            named = [(request, self._keys.of(replace(request, sample=self._sample))) for request in batch]
            known = self._store.get(key for _, key in named)
            for request, key in named:
                if key in known:
                    self.looked_up.append(key)
                    yield stored_completion(request.key, known[key])
                else:
                    yield Completion(request.key, failure=Failure("over_budget", "no answer is stored"))
