"""Plan: the requests, tokens, money and time of a run, as text and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests, tokens, money and time of a recipe; nothing was spent to know it."""

    name: str
    """The recipe or judge file, such as `recipe news`."""
    model: str | None
    rows: int
    requests: int
    """Different ones that the rows make, stored answers included."""
    stored: int
    """Answers that are in the response store already, and cost nothing."""
    sampled: int
    """Rows whose requests were looked up; all of them up to 100,000."""
    prompt_tokens: int
    """Of the requests that are still to be sent, likely."""
    low_answer_tokens: int
    likely_answer_tokens: int
    high_answer_tokens: int | None
    """None where answers have no limit."""
    low_usd: float | None
    """None where no price is known, as all amounts of money."""
    likely_usd: float | None
    high_usd: float | None
    """With answers as long as `max_tokens` lets them be."""
    price: str
    """Where the price comes from, or why there is none."""
    seconds: float
    """At the recipe's limits, and at the pace of earlier runs or an assumed one."""
    pace: str = ""
    """What the time stands on."""
    budget: str = ""
    """Whether the budget is enough; empty without one."""
    affordable_rows: int | None = None
    """Rows, of those that are not answered yet, that the budget is likely enough for; None without one."""
    notes: tuple[str, ...] = ()
    is_sent: bool = True
    """Whether requests are sent; recorded answers, encoders and models in this process need none."""

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [("rows", f"{self.rows:,}"), *self._requests(), *(("note", note) for note in self.notes)]
        shown = [f"  {name:<14}{words}" for name, words in lines if words]
        model = f", model {self.model}" if self.model else ""
        return "\n".join([self.name + model, *shown])

    def _requests(self) -> list[tuple[str, str]]:
        """Requests, tokens, cost, time and budget."""
        if not self.is_sent:
            return [("requests", f"none: {self.price}"), ("cost", "none")]
        return [
            ("requests", f"{self.requests - self.stored:,} to send, {self.stored:,} of {self.requests:,} are stored"),
            ("prompt tokens", f"{self.prompt_tokens:,}"),
            (
                "answer tokens",
                f"{self.low_answer_tokens:,} low, {self.likely_answer_tokens:,} likely, "
                f"{_count(self.high_answer_tokens)} high",
            ),
            ("cost", self._cost()),
            ("price", self.price),
            ("time", f"about {_duration(self.seconds)}, {self.pace}" if self.pace else ""),
            ("budget", self.budget),
        ]

    def _cost(self) -> str:
        if self.low_usd is None or self.likely_usd is None:
            return "unknown"
        high = "unlimited" if self.high_usd is None else f"{self.high_usd:,.4f}"
        return f"{self.low_usd:,.4f} low, {self.likely_usd:,.4f} likely, {high} high, in US dollars"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count(number: int | None) -> str:
    return "unlimited" if number is None else f"{number:,}"


def with_second_annotator(plan: Plan, other: Plan, share: float) -> Plan:
    """The plan of two annotators, of which the second labels an assumed share of the rows.

    Args:
        plan: of the first annotator, for all rows.
        other: of the second annotator, as if it labeled all rows.
        share: of the rows that are likely escalated.
    """
    requests, prompt_tokens = round(share * other.requests), round(share * other.prompt_tokens)
    costs = (_sum(plan.low_usd, other.low_usd, 0.0), _sum(plan.likely_usd, other.likely_usd, share))
    every = "unknown" if other.likely_usd is None else f"{other.likely_usd:,.4f} USD"
    note = (
        f"The second annotator, model {other.model}, is planned for {share:.0%} of the rows "
        f"(`annotator.escalate.expected_share`, an assumption): {requests:,} requests. The low cost has none of them; "
        f"the high cost has all {other.requests:,}, whose likely cost is {every}."
    )
    budget = ("The line `budget` counts the first annotator only.",) if plan.budget else ()
    return replace(
        plan,
        requests=plan.requests + requests,
        stored=plan.stored + round(share * other.stored),
        prompt_tokens=plan.prompt_tokens + prompt_tokens,
        likely_answer_tokens=plan.likely_answer_tokens + round(share * other.likely_answer_tokens),
        high_answer_tokens=_total(plan.high_answer_tokens, other.high_answer_tokens),
        low_usd=costs[0],
        likely_usd=costs[1],
        high_usd=_sum(plan.high_usd, other.high_usd, 1.0),
        seconds=plan.seconds + share * other.seconds,
        notes=(*plan.notes, note, *budget),
        is_sent=True,
    )


def _sum(first: float | None, second: float | None, share: float) -> float | None:
    return None if first is None or second is None else first + share * second


def _total(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
