"""Judge: a rubric and a client; answers in, judgments out, in the order of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import ChatClient, Price, Request
from hf_synthlabels.errors import AllFailedError, ConfigError, DataError
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.parsing.reply_parser import Extraction, judged
from hf_synthlabels.judging.prompt import Item, JudgePrompt
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.judging.run.requests import Answered, Question, asked, check_breaker, requests
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount

DEFAULT_EXTRACTION = Extraction()

References = Sequence[str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgments of some answers, in their order, and what they come to."""

    judgments: list[Judgment]
    summary: JudgeSummary
    tally: RunStats
    stopped: str = ""
    """Why the run ended early; empty when it did not."""


@dataclass(frozen=True)
class Judge:
    """A rubric and a client: scores answers one by one, with or without a reference, or together with it.

    For rubrics that compare two answers see `judge_pairs`.

    Args:
        rubric: what is judged.
        client: who is asked; with a response store around it (`CachedClient`) a run that broke off goes on.
        extraction: how a score is read out of a reply.
        as_json: whether the verdict is asked for in JSON; None goes by the client's own `response_format`.
        system: a system prompt in place of the packaged one.
        price: of the client's tokens.
        window: items that may wait for an earlier one, which are held in memory; None for 16,384.

    Raises:
        ConfigError: log-probabilities are to be read that nobody asks for, or several draws that would be alike.
    """

    rubric: Rubric
    client: ChatClient
    extraction: Extraction = DEFAULT_EXTRACTION
    as_json: bool | None = None
    system: str | None = None
    price: Price | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        identity = self.client.identity
        if identity.get("client") not in ("openai", "transformers"):
            return
        sampling = identity.get("sampling", identity)
        if "logprobs" in self.extraction.rungs and not (sampling.get("top_logprobs") or identity.get("answers")):
            raise ConfigError(
                "`rungs` has 'logprobs', but the client asks for none. Give it `top_logprobs`, at most 20 at most "
                "servers, or remove the rung."
            )
        if self.extraction.draws > 1 and sampling.get("temperature") == 0 and not sampling.get("reasoning"):
            raise ConfigError(
                f"`draws` is {self.extraction.draws}, but the client's `temperature` is 0: all draws would be alike. "
                "Raise the temperature."
            )

    @cached_property
    def prompt(self) -> JudgePrompt:
        """What is asked."""
        as_json = self.as_json
        if as_json is None:
            sampling = self.client.identity.get("sampling", {})
            as_json = isinstance(sampling, Mapping) and sampling.get("response_format", "text") != "text"
        return JudgePrompt(self.rubric, as_json, self.system)

    def fingerprint(self) -> str:
        """A hash of what can change a score beside the client: rubric, prompt and ladder; 16 hexadecimal digits."""
        parts = (self.rubric.fingerprint(), self.prompt.fingerprint(), self.extraction.fingerprint())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    def requests(self, items: Iterable[Item]) -> Iterator[Request]:
        """What would be asked about some items; nobody is asked."""
        schema = self.prompt.response_schema
        yield from requests(map(self.question, items), draws=self.extraction.draws, response_schema=schema)

    def question(self, item: Item) -> Question:
        """The conversations about an item, one for each order of two answers; none where there is nothing to judge."""
        if self.trouble(item):
            return Question(item, ())
        orders = (False, True) if self.rubric.protocol == "pairwise" else (False,)
        return Question(item, tuple(self.prompt.messages(item, swapped=swapped) for swapped in orders))

    def trouble(self, item: Item) -> str:
        """Why there is nothing to judge; empty where there is."""
        if not item.prediction.strip() or (self.rubric.protocol == "pairwise" and not item.other.strip()):
            return "an answer is empty" if self.rubric.protocol == "pairwise" else "the answer is empty"
        if self.rubric.reference == "required" and not any(text.strip() for text in item.references):
            return "there is no reference"
        return ""

    def asked(self, items: Iterable[Item], tally: RunStats) -> Iterator[Answered]:
        """The items with their replies, in order."""
        yield from asked(
            self.client,
            map(self.question, items),
            tally,
            draws=self.extraction.draws,
            response_schema=self.prompt.response_schema,
            window=self.window,
        )

    def stream(self, items: Iterable[Item], tally: RunStats | None = None) -> Iterator[Judgment]:
        """One judgment for each item, in their order, in bounded memory; items are read only as fast as they are asked.

        Args:
            items: what is judged; `items_of` makes them of columns.
            tally: counts calls and statuses as they come.

        Raises:
            ConfigError: the rubric compares two answers.
            AllFailedError: the first 20 items, or all when there are fewer, failed, or the server is away for too
                long. What had been answered stays in the response store.
        """
        if self.rubric.protocol == "pairwise":
            raise ConfigError(
                f"`rubric` {self.rubric.name!r} compares two answers. Use `judge_pairs`, or another rubric."
            )
        tally = RunStats() if tally is None else tally
        for answered in self.asked(items, tally):
            judgment = self._judgment(answered)
            counted(tally, judgment.status, judgment.trouble)
            check_breaker(tally, at_end=False)
            yield judgment
        check_breaker(tally, at_end=True)

    def judge(
        self,
        predictions: Sequence[str | None],
        references: References | None = None,
        inputs: Sequence[str | None] | None = None,
        *,
        level: float = 0.95,
        keep_on_failure: bool = False,
    ) -> Judged:
        """Judge some answers.

        Args:
            predictions: the answers. One that is None or empty is not sent to the judge and gets no score.
            references: one for each, or several for each.
            inputs: what was asked, for each.
            level: of the mean's interval.
            keep_on_failure: when the endpoint is down, return what was scored, the rest as `failed`, rather than raise.

        Raises:
            ConfigError: there are references that the rubric never shows, or none where it needs them.
            DataError: the columns differ in length, or hold something other than text.
            AllFailedError: as `stream`, unless `keep_on_failure`.
        """
        items = items_of(self.rubric, predictions, references, inputs)
        tally, count, judgments, stopped = RunStats(), ScoreCount(self.rubric), [], ""
        try:
            for judgment in self.stream(items, tally):
                judgments.append(judgment)
        except AllFailedError as error:
            if not keep_on_failure:
                raise
            stopped = str(error)
        for _ in range(len(items) - len(judgments)):
            counted(tally, "failed", stopped)
            judgments.append(Judgment(None, "failed", trouble=stopped))
        for judgment in judgments:
            count.add(judgment)
        return Judged(judgments, count.summary(tally, self.price, level), tally, stopped)

    def _judgment(self, answered: Answered) -> Judgment:
        if not answered.replies:
            return Judgment(None, "empty", trouble=self.trouble(answered.item))
        return judged(self.rubric, self.extraction, answered.replies[0])


def counted(tally: RunStats, status: str, trouble: str) -> None:
    """Count a finished item."""
    tally.rows += 1
    tally.statuses[status] += 1
    if status == "failed":
        tally.failures[trouble] += 1


def items_of(
    rubric: Rubric,
    predictions: Sequence[str | None],
    references: References | None = None,
    inputs: Sequence[str | None] | None = None,
    others: Sequence[str | None] | None = None,
) -> list[Item]:
    """What is to be judged, made of columns.

    Args:
        rubric: says whether a reference is shown.
        predictions: the answers; of two that are compared the first.
        references: one for each, or several for each.
        inputs: what was asked.
        others: the second answers, where two are compared.

    Raises:
        ConfigError: there are references that the rubric never shows, or none where it needs them.
        DataError: the columns differ in length, or hold something other than text.
    """
    if references is not None and rubric.reference == "never":
        raise ConfigError(f"`references` is given, but rubric {rubric.name!r} shows no reference. Leave it out.")
    if references is None and rubric.reference == "required":
        raise ConfigError(f"`references` is missing, which rubric {rubric.name!r} needs. Give one for each answer.")
    columns: dict[str, Sequence[Any] | None] = {
        "predictions": predictions,
        "references": references,
        "inputs": inputs,
        "others": others,
    }
    for name, column in columns.items():
        if isinstance(column, str):
            raise DataError(f"`{name}` is the text {column[:40]!r}. Give a list of texts.")
        if column is not None and len(column) != len(predictions):
            raise DataError(f"`{name}` has {len(column)} rows, and `predictions` {len(predictions)}. Give as many.")
    return [
        Item(
            _text(predictions[place], "predictions", place),
            () if references is None else _references(rubric, references[place], place),
            "" if inputs is None else _text(inputs[place], "inputs", place),
            "" if others is None else _text(others[place], "others", place),
        )
        for place in range(len(predictions))
    ]


def _references(rubric: Rubric, value: Any, place: int) -> tuple[str, ...]:
    values = [value] if value is None or isinstance(value, str) else list(value)
    texts = tuple(text for one in values if (text := _text(one, "references", place)).strip())
    if rubric.protocol == "joint" and len(texts) > 1:
        raise DataError(
            f"`references` has {len(texts)} texts in row {place}, but rubric {rubric.name!r} scores one. Give one."
        )
    return texts


def _text(value: Any, name: str, place: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"`{name}` has {value!r} in row {place}, a {type(value).__name__}. Give texts.")
    return value
