"""Labels of every source of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_synthlabels.annotation import Recipe, annotate, provenance
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema, aggregate, decode, encode
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import NO_PROMPT, CostKeys, SourceKeys
from hf_synthlabels.studies.tasks.annotator_costs import (
    AnswerCost,
    SecondsBook,
    annotator_facts,
    answer_cost,
    row_statuses,
)

RANDOM_SALT = 4_711
"""So that the control does not deal labels by the numbers that order the rows."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that a source gave some rows, in row order."""

    values: tuple[Any, ...]
    confidence: tuple[float | None, ...] | None = None
    probs: tuple[Any, ...] | None = None
    usd: float | None = None
    """Per row; None is unknown."""
    seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How an annotator was asked; empty for other sources."""
    statuses: Mapping[str, Any] = field(default_factory=dict)
    """How many rows have which status, raw answers that gave no label, and agreement with human labels."""

    @property
    def n_not_asked(self) -> int:
        """Rows that no answer was ever asked for or recorded."""
        return int(self.statuses.get("statuses", {}).get("skipped", 0))


def asked(
    rows: Dataset,
    recipe: Recipe,
    cost: CostKeys | None,
    *,
    part: str = "",
    folder: Path | None = None,
    check: Callable[[Dataset], Mapping[str, Any]] = lambda _: {},
) -> Labels:
    """The labels that an annotator gives some rows; stored answers are not asked for again.

    Args:
        rows: of the task.
        recipe: of the annotator.
        cost: of one label, where the study file says it.
        part: names the rows, as `data, training rows`.
        folder: of the study, which keeps how long the first asking took.
        check: what else the labeled rows tell, see `label_agreement`.

    Raises:
        SynthLabelsError: as `annotate` says.
    """
    labelled = annotate(rows, recipe.codebook or recipe, progress=part)
    column = recipe.output.column
    record = next(entry for entry in reversed(provenance(labelled)) if entry["column"] == column)
    confidence, probs = (_column(labelled, f"{column}_{name}") for name in ("confidence", "probs"))
    usd, seconds = None if cost is None else cost.usd, None if cost is None else cost.s
    spent = answer_cost(recipe, rows)
    # Reading recorded answers back says nothing of how long they took to make.
    if seconds is None and recipe.annotator.client.kind != "recorded":
        seconds = SecondsBook(folder).per_row(f"{recipe.fingerprint()} {part}", record, len(rows))
    if usd is None and spent.usd is not None:
        usd = spent.usd / len(rows)
    return Labels(
        tuple(labelled[column][:]),
        confidence if recipe.annotator.num_samples > 1 else None,
        probs,
        usd,
        seconds,
        annotator_facts(recipe, record, spent.models),
        {**row_statuses(labelled, recipe), **_spent(spent), **check(labelled)},
    )


def _spent(spent: AnswerCost) -> dict[str, Any]:
    return {name: value for name, value in asdict(spent).items() if value is not None and name != "models"}


@dataclass(slots=True)
class LabelStore:
    """The labels of all sources of a task for the rows of one part, made when they are first wanted."""

    study: Study
    task: str
    schema: LabelSchema
    human: Sequence[Any]
    annotators: Mapping[tuple[str, str], Callable[[], Labels]]
    """By source and prompt."""
    dealt: Callable[[int], Sequence[Any]] | None = None
    """Permuted-label control by seed: labels permuted among all candidate training rows, so that
    they do not depend on which of them a study needs; None permutes among the rows of a call."""
    _made: dict[tuple[str, str], Labels] = field(default_factory=dict)

    def labels(self, source: str, prompt: str) -> Labels:
        """A source's labels, where they do not depend on the order of the rows.

        Raises:
            DataError: the source has no confidence to filter by.
            SynthLabelsError: an annotator fails.
        """
        key = (source, prompt if self.study.asks(self.task, source) else NO_PROMPT)
        if key not in self._made:
            self._made[key] = self._make(source, self.study.task_sources(self.task)[source], key[1])
        return self._made[key]

    def ordered(self, source: str, prompt: str, order: Sequence[int], seed: int) -> Labels:
        """A source's labels for the rows of a seed, in its order.

        Args:
            source: of any kind.
            prompt: the way its annotators were asked.
            order: row numbers.
            seed: deals out the random control.

        Raises:
            DataError: as `labels` says.
        """
        keys = self.study.task_sources(self.task)[source]
        if keys.labels == "random":
            dealt = source_labels(self.human, order, seed) if self.dealt is None else self.dealt(seed)
            return Labels(tuple(dealt[row] for row in order))
        if keys.shares is None and keys.first is None:
            return _of_rows(self.labels(source, prompt), order)
        parts = {name: self.ordered(name, prompt, order, seed).values for name in keys.parts}
        if keys.shares is not None:
            return Labels(_mixed(parts, keys.shares))
        assert keys.first is not None
        assert keys.then is not None
        return Labels(parts[keys.first][: keys.at] + parts[keys.then][keys.at :])

    def _make(self, source: str, keys: SourceKeys, prompt: str) -> Labels:
        if keys.labels == "human":
            return Labels(tuple(self.human))
        if keys.votes is not None:
            return _voted(self.schema, [self.labels(name, prompt) for name in keys.votes])
        if keys.of is not None and keys.at_least is not None:
            return self._filtered(source, keys.of, keys.at_least, prompt)
        return self.annotators[source, prompt]()

    def _filtered(self, source: str, of: str, at_least: float, prompt: str) -> Labels:
        base = self.labels(of, prompt)
        if base.confidence is None:
            raise DataError(
                f"`sources.{source}` keeps confident labels of {of!r}, which has no confidence. Let its annotator draw "
                "several answers, or let several sources vote."
            )
        # 2 of 3 draws are 0.666…, which 0.67 is meant to let through.
        kept = [sure is not None and round(sure, 2) >= round(at_least, 2) for sure in base.confidence]
        values = tuple(value if keep else None for value, keep in zip(base.values, kept, strict=True))
        return Labels(values, base.confidence, base.probs, base.usd, base.seconds)


def source_labels(human: Sequence[Any], order: Sequence[int], seed: int) -> list[Any]:
    """Human labels permuted among the rows that have one, by row number."""
    given = [row for row in order if human[row] is not None]
    found: list[Any] = [None] * len(human)
    for row, other in zip(given, np.random.default_rng((seed, RANDOM_SALT)).permutation(len(given)), strict=True):
        found[row] = human[given[other]]
    return found


def _of_rows(labels: Labels, order: Sequence[int]) -> Labels:
    def chosen(column: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if column is None else tuple(column[row] for row in order)

    values = tuple(labels.values[row] for row in order)
    return Labels(values, chosen(labels.confidence), chosen(labels.probs), labels.usd, labels.seconds)


def _mixed(parts: Mapping[str, Sequence[Any]], shares: Mapping[str, float]) -> tuple[Any, ...]:
    """Row by row the source that is furthest behind its share and has a label, so that every beginning is mixed."""
    total = sum(shares.values())
    given = dict.fromkeys(shares, 0)
    values: list[Any] = []
    for place, row in enumerate(zip(*(parts[name] for name in shares), strict=True), start=1):
        labels = dict(zip(shares, row, strict=True))
        able = [name for name in shares if labels[name] is not None]
        if not able:
            values.append(None)
            continue
        chosen = max(able, key=lambda name: shares[name] / total * place - given[name])
        given[chosen] += 1
        values.append(labels[chosen])
    return tuple(values)


def _voted(schema: LabelSchema, voters: Sequence[Labels]) -> Labels:
    votes = [
        aggregate(schema, [decode(schema, value, codes=True) for value in row])
        for row in zip(*(labels.values for labels in voters), strict=True)
    ]
    costs = [labels.usd for labels in voters]
    times = [labels.seconds for labels in voters]
    return Labels(
        tuple(encode(schema, vote.label) for vote in votes),
        tuple(vote.consistency for vote in votes),
        None,
        None if None in costs else sum(cost or 0 for cost in costs),
        None if None in times else sum(time or 0 for time in times),
    )


def _column(rows: Dataset, name: str) -> tuple[Any, ...] | None:
    return tuple(rows[name][:]) if name in rows.column_names else None
