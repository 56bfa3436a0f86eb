"""Rows in, annotations out: their order, what becomes of each answer, and when a run is stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from hf_synthlabels.annotation import Annotator, Prompt, RunStats
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.clients import Completion, Failure, Request, ScriptedClient, Usage
from hf_synthlabels.errors import AllFailedError
from hf_synthlabels.labels import Annotation, LabelSchema

SCHEMA = LabelSchema.from_labels(["film", "sport"], abstain=True)
BUSY = Completion(0, failure=Failure("http", "too busy", 503))


class Windowed:
    """A client that takes so many requests at a time, and answers the last of them first."""

    def __init__(self, answer: Callable[[Request], Completion], width: int) -> None:
        self.asked = 0
        self._answer = answer
        self._width = width

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"client": "windowed"}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        pending = iter(requests)
        while on_the_way := list(itertools.islice(pending, self._width)):
            self.asked += len(on_the_way)
            for request in reversed(on_the_way):
                yield self._answer(request)


def annotator(client: Any, *, num_samples: int = 1, columns: tuple[str, ...] = ("text",)) -> Annotator:
    return Annotator(Prompt(SCHEMA, "?", form=RowForm(columns)), client, num_samples)


def rows(*texts: str | None) -> list[dict[str, str | None]]:
    return [{"text": text} for text in texts]


def statuses(found: list[Annotation]) -> list[str]:
    return [annotation.status for annotation in found]


def by_word(request: Request) -> Completion:
    return Completion(request.key, text="film" if "film" in request.text else "sport")


def test_order_is_that_of_the_rows_whatever_finishes_first(subtests: pytest.Subtests) -> None:
    cases: list[int] = [1, 3, 8, 100]
    for width in cases:
        with subtests.test(repr(width)):
            texts = [f"{number} film" if number % 3 else f"{number} match" for number in range(50)]
            found = list(annotator(Windowed(by_word, width)).annotate(rows(*texts)))
            assert [annotation.label for annotation in found] == ["film" if n % 3 else "sport" for n in range(50)]


def test_order_with_blank_rows_anywhere_and_several_draws() -> None:
    texts = ["", "film", None, "  ", "match", "film", "\n", ""]
    client = Windowed(by_word, 5)
    found = list(annotator(client, num_samples=3).annotate(rows(*texts)))
    assert [a.label for a in found] == [None, "film", None, None, "sport", "film", None, None]
    assert client.asked == 9


def test_blank_rows_are_not_asked() -> None:
    client = ScriptedClient({"a film": "film"})
    found = list(annotator(client).annotate(rows(None, "a film", " \t", "")))
    assert statuses(found) == ["skipped", "labelled", "skipped", "skipped"]
    assert found[0].reason == "the row has no text"
    assert [request.text for request in client.requests] == ["a film"]


def test_nothing_but_blank_rows_is_no_failure() -> None:
    client = ScriptedClient({})
    assert statuses(list(annotator(client).annotate(rows(*[""] * 30)))) == ["skipped"] * 30
    assert client.requests == []


def test_no_rows_at_all() -> None:
    assert list(annotator(ScriptedClient({})).annotate([])) == []


def test_rows_are_read_only_as_fast_as_they_are_asked() -> None:
    endless = ({"text": f"film {number}"} for number in itertools.count())
    client = Windowed(by_word, 8)
    first = list(itertools.islice(annotator(client).annotate(endless), 20))
    assert [annotation.label for annotation in first] == ["film"] * 20
    assert client.asked <= 20 + 8


def test_what_becomes_of_an_answer(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Completion, str, str | None, str]] = [
        (Completion(0, text="Film."), "labelled", "film", ""),
        (Completion(0, text="abstain"), "abstained", None, "the annotator abstained"),
        (Completion(0, text="music"), "unparsed", None, "the answer names no label of the schema"),
        (Completion(0, text=""), "unparsed", None, "the answer is empty"),
        (Completion(0, text="film", refusal=True), "refused", None, "the model or its filter refused"),
        (
            Completion(0, text="film", finish_reason="content_filter"),
            "refused",
            None,
            "the model or its filter refused",
        ),
        (
            Completion(0, text="film", finish_reason="length"),
            "truncated",
            None,
            "the answer was cut at `max_tokens`",
        ),
        (BUSY, "failed", None, "too busy (HTTP 503)"),
        (Completion(0, failure=Failure("timeout", "no answer within 3 s")), "failed", None, "no answer within 3 s"),
    ]
    for answer, status, label, reason in cases:
        with subtests.test(repr((answer, status, label, reason))):
            # A good row before it, so that the breaker does not mind.
            found = list(annotator(ScriptedClient(["sport", answer])).annotate(rows("a", "b")))
            assert (found[1].status, found[1].label, found[1].reason) == (status, label, reason)
            assert found[1].raw == answer.text
            assert found[1].confidence is None


def test_run_whose_first_rows_all_fail_stops_with_the_cause() -> None:
    client = Windowed(lambda request: Completion(request.key, failure=BUSY.failure), 8)
    with pytest.raises(AllFailedError) as caught:
        list(annotator(client).annotate(rows(*[f"row {number}" for number in range(5000)])))
    assert str(caught.value) == ("All of the first 20 rows failed, 20 with: too busy (HTTP 503).")
    assert 20 <= client.asked <= 20 + 8


def test_breaker_names_the_most_frequent_cause() -> None:
    def answer(request: Request) -> Completion:
        return Completion(request.key, failure=Failure("http", "no such model" if request.key % 4 else "busy"))

    with pytest.raises(AllFailedError, match="20 rows failed, 15 with: no such model"):
        list(annotator(Windowed(answer, 1)).annotate(rows(*["x"] * 100)))


def test_run_of_few_rows_that_all_fail_stops_at_its_end() -> None:
    with pytest.raises(AllFailedError, match=r"All of the first 3 rows failed, 3 with: too busy \(HTTP 503\)"):
        list(annotator(ScriptedClient([BUSY] * 3)).annotate(rows("a", "b", "c")))


@pytest.mark.parametrize("good", [0, 10, 19])
def test_a_single_good_row_among_the_first_keeps_it_going(good: int) -> None:
    client = ScriptedClient(lambda request: "film" if request.key == good else BUSY)
    found = list(annotator(client).annotate(rows(*["x"] * 60)))
    assert statuses(found) == ["labelled" if row == good else "failed" for row in range(60)]


def test_unparsed_rows_are_no_failures() -> None:
    found = list(annotator(ScriptedClient(["music"] * 30)).annotate(rows(*["x"] * 30)))
    assert statuses(found) == ["unparsed"] * 30


def test_failures_in_the_middle_do_not_stop() -> None:
    client = ScriptedClient(lambda request: BUSY if 5 <= request.key < 35 else "sport")
    found = list(annotator(client).annotate(rows(*["x"] * 40)))
    assert statuses(found).count("failed") == 30
    assert statuses(found)[-5:] == ["labelled"] * 5


class Careless:
    """A client that answers each request that it likes, some of them twice, and others never."""

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"client": "careless"}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in list(requests):
            for _ in range(request.key % 3):
                yield Completion(request.key, text="film")


def test_what_a_client_never_answers_has_failed_and_what_it_answers_twice_counts_once() -> None:
    run = annotator(Careless())
    found = list(run.annotate(rows(*["x"] * 7)))
    assert statuses(found) == ["failed", "labelled", "labelled"] * 2 + ["failed"]
    assert found[0].reason == "the client ended without an answer"
    assert run.tally.requests == 7


def test_draws_vote() -> None:
    client = ScriptedClient(["film", "sport", "film"])
    (found,) = annotator(client, num_samples=3).annotate(rows("x"))
    assert found.label == "film"
    assert found.votes == ("film", "sport", "film")
    assert found.confidence == pytest.approx(2 / 3)
    assert found.probabilities == pytest.approx({"film": 2 / 3, "sport": 1 / 3})
    assert found.raw == '["film", "sport", "film"]'
    assert [request.sample for request in client.requests] == [0, 1, 2]
    assert len({request.messages for request in client.requests}) == 1


def test_draws_stay_with_their_row_when_they_finish_in_another_order() -> None:
    def answer(request: Request) -> Completion:
        # The first draw of each row differs from the others.
        row_is_film = "film" in request.text
        return Completion(request.key, text="film" if row_is_film == (request.sample > 0) else "sport")

    found = list(annotator(Windowed(answer, 7), num_samples=3).annotate(rows("film", "match", "film", "match")))
    assert [a.label for a in found] == ["film", "sport", "film", "sport"]
    assert found[0].votes == ("sport", "film", "film")
    assert found[1].votes == ("film", "sport", "sport")


def test_draws_that_are_no_label_count_for_the_consistency_only() -> None:
    (found,) = annotator(ScriptedClient(["film", "music", BUSY, "film"]), num_samples=4).annotate(rows("x"))
    assert (found.status, found.label) == ("labelled", "film")
    assert found.votes == ("film", None, None, "film")
    assert found.confidence == pytest.approx(2 / 4)
    assert found.probabilities == pytest.approx({"film": 1.0, "sport": 0.0})


def test_draws_without_any_label_carry_the_trouble_of_the_first() -> None:
    answers: list[str | Completion] = ["film", "film", "music", BUSY]
    _, found = annotator(ScriptedClient(answers), num_samples=2).annotate(rows("w", "x"))
    assert (found.status, found.label) == ("unparsed", None)
    assert found.votes == (None, None)
    assert found.raw == '["music", ""]'


def test_probabilities_of_a_client_that_knows_them() -> None:
    sure = Completion(0, text="sport", probabilities={"film": 0.25, "sport": 0.75})
    (found,) = annotator(ScriptedClient([sure])).annotate(rows("x"))
    assert found.confidence == 0.75
    assert found.probabilities == {"film": 0.25, "sport": 0.75}


def test_one_answer_without_probabilities_has_no_confidence() -> None:
    (found,) = annotator(ScriptedClient(["film"])).annotate(rows("x"))
    assert found.confidence is None
    assert found.probabilities is None


def test_tally() -> None:
    good = Completion(0, text="film", usage=Usage(10, 2), model="tiny-1")
    answers = [
        good,
        Completion(0, text="sport", usage=Usage(20, 3), model="tiny-2"),
        Completion(0, text="film", usage=Usage(500, 500), model="tiny-1", stored=True),
        Completion(0, text="music", usage=Usage(5, 1), model="tiny-2"),
        BUSY,
    ]
    run = annotator(ScriptedClient(answers))
    list(run.annotate(rows("a", "b", "", "c", "d", "e")))
    assert run.tally.to_dict() == {
        "rows": 6,
        "statuses": {"failed": 1, "labelled": 3, "skipped": 1, "unparsed": 1},
        # The failed request was asked too; the stored one was not.
        "requests": 4,
        "stored": 1,
        "prompt_tokens": 35,
        "completion_tokens": 6,
        "cached_tokens": 0,
        "models": {"tiny-1": 1, "tiny-2": 2},
        "failures": {"too busy (HTTP 503)": 1},
        "reasons": {"skipped: the row has no text": 1, "unparsed: the answer names no label of the schema": 1},
        "truncated_prompts": {},
    }


def test_tally_counts_each_draw() -> None:
    answer = Completion(0, text="film", usage=Usage(10, 2), model="tiny-1")
    run = annotator(ScriptedClient([answer] * 6), num_samples=3)
    list(run.annotate(rows("a", "b")))
    assert (run.tally.rows, run.tally.requests, run.tally.prompt_tokens) == (2, 6, 60)


def test_tallies_add_up() -> None:
    first = RunStats(rows=2, requests=2)
    first.statuses["labelled"] = 2
    second = RunStats(rows=3, requests=1, stored=2)
    second.statuses.update({"labelled": 1, "failed": 2})
    first.add(second.to_dict())
    assert (first.rows, first.requests, first.stored) == (5, 3, 2)
    assert first.statuses == {"labelled": 3, "failed": 2}


def test_several_columns_are_asked_together() -> None:
    client = ScriptedClient({"title: Cup\nbody: a goal": "sport"})
    (found,) = annotator(client, columns=("title", "body")).annotate([{"title": "Cup", "body": "a goal"}])
    assert found.label == "sport"


def test_rows_without_text_do_not_hide_that_nobody_answers() -> None:
    client = ScriptedClient(lambda _: Completion(-1, failure=Failure("connection", "no route")))
    with pytest.raises(AllFailedError, match="All of the first 2 rows failed, 2 with: no route"):
        list(annotator(client).annotate(rows("", "a", " ", "b")))


def test_an_abstention_is_an_answer() -> None:
    said = iter([Completion(-1, text="none", model="tiny"), *[Completion(-1, failure=Failure("http", "no"))] * 3])
    found = list(annotator(ScriptedClient(lambda _: next(said))).annotate(rows("a", "b", "c", "d")))
    assert statuses(found).count("failed") == 3
