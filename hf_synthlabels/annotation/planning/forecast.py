"""Forecast: the cost and the time of requests, and whether the budget is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Self

from hf_synthlabels.annotation.prompting.strategies import Strategy
from hf_synthlabels.clients import ResponseStore, Usage
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.clients.prices import is_local
from hf_synthlabels.clients.store.administration import ledger
from hf_synthlabels.clients.store.ledger import TAKEN
from hf_synthlabels.clients.token_estimates import estimate_tokens
from hf_synthlabels.labels import LabelSchema, answer_text

LATENCY_S = 1.0
THINKING_LATENCY_S = 10.0
"""How long an answer is taken to need where no run has shown it."""

BATCH_S = 86_400.0
"""Within which providers answer a batch."""

MIN_RUN_REQUESTS = 20
"""A run of fewer requests tells nothing about the pace."""

WRITTEN_REASONS_TOKENS = 120
THOUGHTS_TOKENS = 400
WORDY_TOKENS = 60
STATED_CONFIDENCE_TOKENS = 6
ANSWERED_QUESTION_TOKENS = 8
ROW_NUMBER_TOKENS = 6
"""Usual lengths, where no answer was seen yet: a few sentences of reasons, what a model thinks before a short answer, a
free text, an answer to a subquestion, a row's number among several."""

PROMPT_SPREAD = 0.25
LEARNT_PROMPT_SPREAD = 0.03
"""How far prompts may be off their estimate either way; the second once the server has counted some."""


@dataclass(frozen=True, slots=True)
class History:
    """The earlier runs of a recipe's name in the ledger."""

    spent_usd: float
    spent_tokens: int
    """With what is reserved, or may have been billed and lost."""
    answer_tokens: float | None
    """Mean length of an answer of the recipe's model."""
    requests_per_s: float | None
    """Of the last run with the recipe's model that was long enough."""
    held_usd: float
    held_requests: int
    """Reserved by killed runs, until the reservation is released."""

    @classmethod
    def read(cls, store: ResponseStore, name: str, model: str | None) -> Self:
        """The history of a name and its present model."""
        ((spent_usd, spent_tokens),) = store.select(TAKEN, (name,))
        paces = store.select(
            "SELECT requests / (ended_at - started_at) FROM runs WHERE scope = ? AND model = ? AND requests >= ? "
            "AND ended_at > started_at ORDER BY ended_at DESC LIMIT 1",
            (name, model, MIN_RUN_REQUESTS),
        )
        lines = [line for line in ledger(store) if line.scope == name]
        lengths = [line.completion_tokens / line.requests for line in lines if line.model == model and line.requests]
        held_usd, held_requests = (
            sum(line.reserved_usd for line in lines),
            sum(line.reserved_requests for line in lines),
        )
        pace = paces[0][0] if paces else None
        return cls(spent_usd, spent_tokens, lengths[0] if lengths else None, pace, held_usd, held_requests)


def usual_answer_tokens(
    schema: LabelSchema, strategy: Strategy, *, as_json: bool, is_reasoning_model: bool
) -> tuple[float, float]:
    """How many tokens an answer has, at least and usually, by what the prompt asks for."""
    answers: Sequence[Any] = schema.names or (0.5,)
    lengths = [float(estimate_tokens(answer_text(answer, as_json=as_json))) for answer in answers]
    least, usual = min(lengths), mean(lengths)
    if schema.kind == "multi-label":
        usual *= 2
    if schema.kind in ("text-generation", "token-classification", "question-answering"):
        usual += WORDY_TOKENS
    usual *= max(1, strategy.candidates)
    usual += ANSWERED_QUESTION_TOKENS * len(strategy.questions) + WRITTEN_REASONS_TOKENS * strategy.reasoning
    usual += STATED_CONFIDENCE_TOKENS * (strategy.confidence is not None)
    rows = strategy.rows_per_call
    if rows > 1:
        least, usual = least * rows, (usual + ROW_NUMBER_TOKENS) * rows
    return least, usual + THOUGHTS_TOKENS * is_reasoning_model


@dataclass(frozen=True, slots=True)
class Forecast:
    """Tokens, money and time of the requests that are still to be sent."""

    config: ClientConfig
    history: History
    requests: int
    prompt_tokens: int
    """Likely, of all requests together."""
    prompt_spread: float
    """How far they may be off either way."""
    max_prompt_tokens: int
    """Maximum of one request, whatever the tokenizer."""
    answer_tokens: tuple[int, int, int | None]
    """Low, likely and high, of all answers together; no high one where answers have no limit."""

    @property
    def costs(self) -> tuple[float | None, float | None, float | None]:
        """Low, likely and high, in US dollars; None where it is not known."""
        low, likely, high = self.answer_tokens
        return (
            self._usd(self.prompt_tokens * (1 - self.prompt_spread), low, self.requests),
            self._usd(self.prompt_tokens, likely, self.requests),
            self._usd(self.prompt_tokens * (1 + self.prompt_spread), high, self.requests),
        )

    def duration(self) -> tuple[float, str]:
        """Seconds by the tightest limit, and the name of that limit."""
        client, pace = self.config, self.history.requests_per_s
        if client.batch:
            return BATCH_S * (self.requests > 0), "at most, in batches"
        if pace is not None:
            times = [(self.requests / pace, f"at the pace of the last run, {pace:,.1f} requests a second")]
        else:
            latency_s = THINKING_LATENCY_S if client.is_reasoning_model else LATENCY_S
            seconds = self.requests * latency_s / client.max_in_flight
            times = [(seconds, f"if an answer takes {latency_s:g} s, {client.max_in_flight} at once")]
        if client.requests_per_minute is not None:
            times.append((60 * self.requests / client.requests_per_minute, "by `requests_per_minute`"))
        if client.tokens_per_minute is not None:
            tokens = self.prompt_tokens + self.answer_tokens[1]
            times.append((60 * tokens / client.tokens_per_minute, "by `tokens_per_minute`"))
        return max(times, key=lambda time: time[0])

    def budgets(self) -> list[tuple[str, int]]:
        """Whether each budget is enough, in words, and the number of requests for which it is likely enough."""
        client, history, longest = self.config, self.history, self.config.max_answer_tokens
        budgets = []
        if client.budget_usd is not None:
            most = self._usd(self.max_prompt_tokens, longest, 1)
            spent = f"{client.budget_usd:,.4g} USD, of which {history.spent_usd:,.4f} are spent or reserved"
            _, likely, high = self.costs
            budgets.append(self._budget(spent, client.budget_usd - history.spent_usd, most, likely, high, " USD"))
        if client.budget_tokens is not None:
            most = None if longest is None else self.max_prompt_tokens + longest
            spent = f"{client.budget_tokens:,} tokens, of which {history.spent_tokens:,} are spent or reserved"
            _, answers, most_answers = self.answer_tokens
            high = None if most_answers is None else self.prompt_tokens * (1 + PROMPT_SPREAD) + most_answers
            left = client.budget_tokens - history.spent_tokens
            budgets.append(self._budget(spent, left, most, self.prompt_tokens + answers, high, " tokens"))
        return budgets

    def _budget(
        self, spent: str, left: float, most: float | None, likely: float | None, high: float | None, unit: str
    ) -> tuple[str, int]:
        """One budget: `most` is what a single request is reserved, `likely` and `high` what all of them cost."""
        if self.requests == 0:
            return f"{spent}: nothing is left to ask", 0
        if most is None or likely is None or high is None:
            missing = "a price" if self.config.max_answer_tokens is not None else "`max_tokens`"
            return f"{spent}: cannot be enforced without {missing}, so no request will be sent", 0
        if left < most:
            return f"{spent}: not enough for one request, for which {most:,.4g}{unit} are reserved", 0
        # As long as the most that a request can cost is left, one more is sent.
        affordable = min(self.requests, int((left - most) / max(likely / self.requests, 1e-12)) + 1)
        if affordable < self.requests:
            return f"{spent}: not enough, likely for {affordable:,} of {self.requests:,} requests", affordable
        return f"{spent}: {'enough' if high <= left else 'likely enough'}", affordable

    def _usd(self, prompt_tokens: float, answer_tokens: int | None, requests: int) -> float | None:
        price = self.config.resolved_price
        if price is None or answer_tokens is None:
            return None
        usage = Usage(round(prompt_tokens), answer_tokens)
        return price.usd(usage, batch=self.config.batch, requests=requests)


def price_source(client: ClientConfig) -> str:
    """Where the price comes from, or why there is none."""
    price = client.resolved_price
    if client.price is not None:
        return "given by `price`"
    if price is not None:
        return f"list price of {price.seen} ({price.source})"
    if is_local(client.base_url):
        return "no price: tokens only, for the server is on this machine"
    return f"no list price of {client.model!r} at {client.base_url} is known. Give `price`."
