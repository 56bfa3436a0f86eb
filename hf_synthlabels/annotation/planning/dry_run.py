"""RequestDryRun: what a recipe asks, with the keys under which its answers are stored; nobody is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.client_factory import client_use, make_prompt, nearest_examples
from hf_synthlabels.annotation.recipe.recipe import Recipe
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
    """Asks as a recipe does, without asking.

    Args:
        recipe: whose annotator is a server, or a causal model in this process.
        form: of the answers.
    """

    def __init__(self, recipe: Recipe, form: ResponseFormat) -> None:
        self.prompt = make_prompt(recipe, as_json=form != "text")
        self.keys = RequestKeys(client_identity(recipe.client(), client_use(recipe, {}), form))
        self._recipe = recipe
        self._nearest = nearest_examples(recipe)

    @property
    def chooses_examples(self) -> bool:
        """Whether an encoder chooses the examples of each row."""
        return self._nearest is not None

    def annotator(self, client: ChatClient, *, num_samples: int) -> Annotator:
        """The recipe's annotator with another client."""
        return Annotator(
            self.prompt.schema,
            self.prompt,
            client,
            tuple(self._recipe.task.columns),
            num_samples,
            form=self._recipe.task.form(),
            nearest=self._nearest,
        )

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """What would be asked for some rows, row by row and draw by draw, with the keys of the answers.

        Rows that would be asked again in smaller parts, when an answer to several has the wrong length, are not
        among them.
        """
        for request in self.annotator(ScriptedClient({}), num_samples=self._recipe.annotator.num_samples).requests(
            rows
        ):
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
