"""The ordered window that annotators and judges share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pytest

from hf_synthlabels.annotation import Annotator, Prompt, RunStats
from hf_synthlabels.clients import Completion, Request, ScriptedClient
from hf_synthlabels.errors import ClientError
from hf_synthlabels.judging import Judge, read_rubric
from hf_synthlabels.judging.prompting.judge_prompt import Item
from hf_synthlabels.labels import LabelSchema

PROMPT = Prompt(LabelSchema.from_labels(["film", "sport"]), "?")


class Reluctant:
    """A client that takes at most so many requests in a call."""

    def __init__(self, most: int, text: str) -> None:
        self._most = most
        self._text = text

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"client": "reluctant"}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in islice(requests, self._most):
            yield Completion(request.key, text=self._text)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_requests_that_a_client_does_not_take_are_sent_in_the_next_call(most: int) -> None:
    stats = RunStats()
    annotator = Annotator(PROMPT, Reluctant(most, "film"), num_samples=3, tally=stats)
    labels = [annotation.label for annotation in annotator.annotate([{"text": str(row)} for row in range(5)])]
    assert labels == ["film"] * 5
    assert stats.requests == 15


def test_a_client_that_takes_nothing_is_an_error_of_annotators_and_judges() -> None:
    with pytest.raises(ClientError, match="'reluctant' takes no requests"):
        list(Annotator(PROMPT, Reluctant(0, "film")).annotate([{"text": "row"}]))
    judge = Judge(read_rubric("score_0_5"), Reluctant(0, "3"))
    with pytest.raises(ClientError, match="'reluctant' takes no requests"):
        list(judge.stream([Item("answer")]))


def test_a_window_of_empty_rows_goes_on() -> None:
    texts = ["", "", "", "", "film", ""]
    client = ScriptedClient(lambda request: request.text)
    annotations = Annotator(PROMPT, client, window_rows=2).annotate([{"text": text} for text in texts])
    assert [annotation.status for annotation in annotations] == [*["skipped"] * 4, "labelled", "skipped"]
    judge = Judge(read_rubric("score_0_5"), ScriptedClient(lambda _: "score: 4"), window=2)
    statuses = [judgment.status for judgment in judge.stream(map(Item, texts))]
    assert statuses == [*["empty"] * 4, "scored", "empty"]
