"""Plan: what a recipe will ask, and what it will cost, before anything is spent."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.annotate import read_recipe
from hf_synthlabels.annotation.forecast import (
    AnswerTokens,
    History,
    answer_tokens,
    budget_words,
    duration,
    price_words,
    time_words,
)
from hf_synthlabels.annotation.opening import store_path
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.rehearsal import Counts, Rehearsal, known_form
from hf_synthlabels.annotation.source import load_source, needed_columns
from hf_synthlabels.clients import ResponseStore, Usage

__all__ = ["Plan", "plan"]

EXACT_ROWS = 100_000
"""Of sources up to this many rows every request is looked up, to know how many answers are stored already."""

EXACT_ROWS_WITH_ENCODER = 2_000
"""The same where an encoder chooses examples for each row, which takes its time."""

PROMPT_SPREAD = 0.25
LEARNT_PROMPT_SPREAD = 0.03
"""How far prompts may be off their estimate either way; the second once the server has counted some."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests, tokens, money and time of a recipe; nothing was spent to know it."""

    recipe: str
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
    high_answer_tokens: int
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

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [
            ("rows", f"{self.rows:,}"),
            ("requests", f"{self.requests - self.stored:,} to send, {self.stored:,} of {self.requests:,} are stored"),
            ("prompt tokens", f"{self.prompt_tokens:,}"),
            (
                "answer tokens",
                f"{self.low_answer_tokens:,} low, {self.likely_answer_tokens:,} likely, {self.high_answer_tokens:,} "
                "high",
            ),
            ("cost", self._cost()),
            ("price", self.price),
            ("time", f"about {duration(self.seconds)}, {self.pace}" if self.pace else ""),
            ("budget", self.budget),
            *(("note", note) for note in self.notes),
        ]
        shown = [f"  {name:<14}{words}" for name, words in lines if words]
        return "\n".join([f"recipe {self.recipe}, model {self.model}", *shown])

    def _cost(self) -> str:
        if self.low_usd is None or self.likely_usd is None or self.high_usd is None:
            return "unknown"
        return f"{self.low_usd:,.4f} low, {self.likely_usd:,.4f} likely, {self.high_usd:,.4f} high, in US dollars"


def plan(recipe: Recipe | dict[str, Any] | str | Path, *, sample: int = 100, seed: int = 0) -> Plan:
    """What a recipe will ask and cost; spends nothing.

    The requests are made as they would be sent, and looked up in the response store: all of them up to 100,000 rows,
    otherwise those of a sample. Tokens are estimated from the texts of a sample; where the store has answers to the
    recipe's own requests, by what the server counted for them. Answers are taken to be as short as a label can be
    (low), as long as earlier answers or as a label usually is (likely), or as long as `max_tokens` lets them be (high).

    Args:
        recipe: a path, a packaged recipe's name, or a recipe. Only recipes with a server as teacher cost anything.
        sample: rows whose tokens are estimated, and whose requests are looked up in a larger source.
        seed: which ones.

    Raises:
        ConfigError: `sample` is not positive.
        SynthLabelsError: the recipe, its source or the response store can not be read.
    """
    wanted = read_recipe(recipe)
    _check(sample)
    splits = load_source(wanted)
    rows = sum(len(part) for part in splits.values())
    if wanted.teacher.client != "openai":
        return _free(wanted, rows)
    columns = needed_columns(wanted)
    with ResponseStore(store_path()) as store:
        form = known_form(wanted, store)
        rehearsal = Rehearsal(wanted, form or "json_schema")
        exact = rows <= (EXACT_ROWS_WITH_ENCODER if rehearsal.chooses_examples else EXACT_ROWS) or rows <= sample
        counts = Counts(store, estimated=sample)
        for part in splits.values():
            asked = part.select_columns(columns)
            if not exact:
                asked = asked.select(_sample(len(part), sample * len(part) // rows, wanted.task.rows_per_call, seed))
            counts.add(rehearsal, asked, random.Random(seed))
        history = History.read(store, wanted)
    notes = [] if form else ["The endpoint is probed for its answer forms first, with one or two small requests."]
    if not exact:
        notes.append(f"Requests and stored answers are those of {counts.rows:,} sampled rows, scaled up.")
    return _plan(wanted, rows, counts, history, notes, rehearsal)
