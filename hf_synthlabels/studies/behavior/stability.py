"""Stability of labels without human labels: reworded instructions, shuffled classes and repeated samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from datasets import Dataset

from hf_synthlabels.annotation import compile_recipe
from hf_synthlabels.annotation.compiler import Job, RecipeLike, open_annotator
from hf_synthlabels.annotation.planning.plan import plan_rows
from hf_synthlabels.annotation.provenance import cost_usd
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Annotation
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.robustness.variant_agreement import AlphaScale, alpha_interval, moved_rows
from hf_synthlabels.studies.behavior.behavior_checks import Outcome, Rows, _outcome, _sample
from hf_synthlabels.studies.behavior.check_report import CheckPlan
from hf_synthlabels.studies.behavior.recipe_variants import CLASS_KINDS, resampled, reworded, shuffled
from hf_synthlabels.studies.behavior.rewording import rewordings
from hf_synthlabels.studies.behavior.stability_report import (
    SourceCost,
    StabilityReport,
    StabilityResult,
    VariantMovement,
)

Source = Literal["reworded", "shuffled", "repeated"]
SOURCES: tuple[Source, ...] = get_args(Source)
TITLES: Mapping[str, str] = {
    "reworded": "reworded instructions",
    "shuffled": "shuffled classes",
    "repeated": "repeated samples",
}
RECIPE = "recipe as it is"

KINDS = (*CLASS_KINDS, "text-scale", "question-answering")
"""Kinds whose labels can be compared for equality."""

TEMPERATURE = 1.0
"""Temperature of repeated samples where the recipe's is 0, at which samples hardly differ."""


@dataclass(frozen=True)
class _Variant:
    """One set of requests."""

    source: str
    name: str
    job: Job


@dataclass(frozen=True)
class _Labels:
    """What came out of one variant, by variable."""

    outcomes: Mapping[str, list[Outcome]]
    samples: Mapping[str, list[list[Outcome]]]
    """Of each row."""
    cost: SourceCost


def stability(
    recipe: RecipeLike,
    *,
    rows: int = 200,
    variants: int = 5,
    rewording_file: Path | None = None,
    sources: Sequence[str] = SOURCES,
    temperature: float | None = None,
    seed: int = 0,
    client: ChatClient | None = None,
    on_plan: Callable[[CheckPlan], None] | None = None,
) -> StabilityReport:
    """Measure how labels move with the wording, the order of the classes and repeated sampling; this sends requests.

    Args:
        recipe: a recipe or codebook; its budget applies.
        rows: sampled rows.
        variants: rewordings, orders and samples.
        rewording_file: YAML list of reworded instructions; by default fixed rules.
        sources: sources of variation, of `SOURCES`.
        temperature: of repeated samples; by default the recipe's, or 1 if that is 0.
        seed: of the sample and the orders.
        client: asked instead of the recipe's annotator.
        on_plan: called with the plan before the first request.

    Raises:
        ConfigError: an option is wrong, the annotator writes no answers, or no variable can be compared.
        SynthLabelsError: as `annotate`.
    """
    _check(rows, variants, sources)
    job = compile_recipe(recipe).kept_going()
    compared = _compared(job, is_replaced=client is not None)
    planned, notes = _variants(job, variants, rewording_file, sources, temperature, seed)
    sampled = _sample(job, rows, seed)
    if on_plan is not None:
        table = Dataset.from_list([dict(row) for row in sampled])
        on_plan(CheckPlan(tuple((each.name, plan_rows(each.job, table)) for each in planned), "stability, at most"))
    labels = {(each.source, each.name): _labels(each, sampled, client) for each in planned}
    results = tuple(
        result
        for source in sources
        if any(each.source == source for each in planned)
        for name in compared
        if source != "shuffled" or _has_order(job, name)
        for result in [_result(source, name, job, labels)]
    )
    costs = tuple(_total(source, labels) for source in ("recipe", *sources) if any(key[0] == source for key in labels))
    return StabilityReport(job.recipe.name, job.client.model, len(sampled), results, costs, tuple(notes))


def _check(rows: int, variants: int, sources: Sequence[str]) -> None:
    for name, value in (("rows", rows), ("variants", variants)):
        if value < 1:
            raise ConfigError(f"`{name}` is {value}. Use a number from 1.")
    if not sources or (unknown := [each for each in sources if each not in SOURCES]):
        raise ConfigError(f"`source` is {', '.join(unknown) if sources else 'missing'}. Use: {', '.join(SOURCES)}.")


def _compared(job: Job, *, is_replaced: bool) -> list[str]:
    """The variables whose labels are compared."""
    if job.client.kind not in ("openai", "transformers") and not is_replaced:
        raise ConfigError(f"`annotator.client` is {job.client.kind!r}, which answers no changed prompt. Name a model.")
    compared = [name for name, each in job.variables.items() if each.schema.kind in KINDS]
    if not compared:
        raise ConfigError("`task` asks for free texts only, which differ in every sample. Give classes or a scale.")
    return compared


def _has_order(job: Job, variable: str) -> bool:
    """Whether the prompt lists classes of a variable that can be shuffled."""
    schema = job.variables[variable].schema
    return schema.kind in CLASS_KINDS and len(schema.names) > 1


def _variants(
    job: Job,
    count: int,
    file: Path | None,
    sources: Sequence[str],
    temperature: float | None,
    seed: int,
) -> tuple[list[_Variant], list[str]]:
    """The sets of requests, and notes on sources that do not apply."""
    planned = [_Variant("recipe", RECIPE, job)] if set(sources) & {"reworded", "shuffled"} else []
    notes = []
    system = next(iter(job.variables.values())).recipe.annotator.system
    if "reworded" in sources:
        texts = rewordings(count, file, list(job.variables))
        planned += [_Variant("reworded", each.name, reworded(job, each)) for each in texts]
    if "shuffled" in sources:
        if system is not None or not any(_has_order(job, name) for name in job.variables):
            notes.append("shuffled classes: not applicable, because the prompt lists no classes.")
        else:
            planned += [
                _Variant("shuffled", f"order {place}", shuffled(job, seed + place)) for place in range(1, count + 1)
            ]
    if "repeated" in sources:
        if next(iter(job.variables.values())).recipe.annotator.scoring:
            notes.append("repeated samples: not applicable with `scoring: true`, which samples nothing.")
        else:
            used = _temperature(job, temperature)
            shown = "" if used is None else f" at temperature {used:g}"
            notes.append(f"repeated samples: {max(2, count)} samples of each row{shown}.")
            planned.append(_Variant("repeated", "samples", resampled(job, max(2, count), used)))
    return planned, notes


def _temperature(job: Job, given: float | None) -> float | None:
    """The temperature of repeated samples; None where the recipe's own is used."""
    if given is not None:
        return given
    if job.client.is_reasoning_model and job.client.kind == "openai":
        return None
    return job.client.temperature or TEMPERATURE


def _labels(variant: _Variant, rows: Rows, client: ChatClient | None) -> _Labels:
    """Send the requests of a variant."""
    features = Dataset.from_list([dict(row) for row in rows]).features
    with open_annotator(variant.job, features, client=client) as annotator:
        annotations = list(annotator.annotate(rows))
    (first, *_) = variant.job.variables
    named = [each if isinstance(each, Mapping) else {first: each} for each in annotations]
    tally = annotator.tally
    return _Labels(
        {name: [_known(each[name]) for each in named] for name in variant.job.variables},
        {name: [_samples(each[name]) for each in named] for name in variant.job.variables},
        SourceCost(variant.source, tally.requests, tally.stored, cost_usd(variant.job.client, tally)),
    )


def _known(annotation: Annotation) -> Outcome:
    """A label, or `abstain`; None without either."""
    return _outcome(annotation) if annotation.status in ("labelled", "abstained") else None


def _samples(annotation: Annotation) -> list[Outcome]:
    """The label of each sample, None for those without one."""
    return [None if vote is None else _outcome(Annotation("labelled", vote)) for vote in annotation.votes]


def _result(source: str, name: str, job: Job, labels: Mapping[tuple[str, str], _Labels]) -> StabilityResult:
    """One source of variation of one variable."""
    own = {key[1]: each for key, each in labels.items() if key[0] == source}
    if source == "repeated":
        (only,) = own.values()
        width = max((len(each) for each in only.samples[name]), default=0)
        columns = [
            [each[place] if place < len(each) else None for each in only.samples[name]] for place in range(width)
        ]
        movements: list[VariantMovement] = []
    else:
        before = labels["recipe", RECIPE].outcomes[name]
        columns = [before, *(each.outcomes[name] for each in own.values())]
        movements = [_movement(key, before, each.outcomes[name]) for key, each in own.items()]
    table = np.empty((len(columns[0]) if columns else 0, len(columns)), dtype=object)
    for place, column in enumerate(columns):
        table[:, place] = column
    scale: AlphaScale = "interval" if job.variables[name].schema.kind == "text-scale" else "nominal"
    numbers = table.copy()
    if scale == "interval":
        numbers[numbers == "abstain"] = None
    return StabilityResult(
        TITLES[source], name, len(columns), moved_rows(table), alpha_interval(numbers, scale), tuple(movements)
    )


def _movement(name: str, before: Sequence[Outcome], after: Sequence[Outcome]) -> VariantMovement:
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    changed = sum(a != b for a, b in pairs)
    return VariantMovement(name, changed, len(pairs), wilson(changed, len(pairs)))


def _total(source: str, labels: Mapping[tuple[str, str], _Labels]) -> SourceCost:
    """Requests and money of all variants of a source."""
    costs = [each.cost for key, each in labels.items() if key[0] == source]
    usd = [each.cost_usd for each in costs]
    return SourceCost(
        TITLES.get(source, RECIPE),
        sum(each.requests for each in costs),
        sum(each.stored for each in costs),
        None if any(each is None for each in usd) else sum(each for each in usd if each is not None),
    )
