"""Behavioral checks: whether labels survive other orders and names of classes, and other rules of the codebook hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from hf_synthlabels.annotation import RunStats, compile_recipe, load_source
from hf_synthlabels.annotation.compiler import Job, RecipeLike, open_annotator
from hf_synthlabels.annotation.planning.plan import plan_rows
from hf_synthlabels.annotation.provenance import cost_usd
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Annotation, Entity
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.studies.behavior.check_report import CheckPlan, CheckReport, CheckResult
from hf_synthlabels.studies.behavior.recipe_variants import (
    CLASS_KINDS,
    NeutralNames,
    definitions,
    of_variable,
    renamed,
    reordered,
)

NONSENSE = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "qwrt zxcv plok mnbv ghjk",
    "....",
    "0000 0000 0000",
    "This page is intentionally left blank.",
)
"""Texts about nothing, which no codebook is about."""

EMPTY = ("\u200b", "-", "n/a", "[no text]", "[deleted]")
"""Texts that are sent and have no content; rows without any text are `skipped` and never sent."""

OUT_OF_SCOPE = (
    "Preheat the oven to 180 degrees and grease a cake tin.",
    "def add(first, second): return first + second",
    "The angles of a triangle add up to 180 degrees.",
    "Helium has the atomic number 2.",
    "Press and hold the button for five seconds to reset the router.",
)
"""Texts about something else than most codebooks."""

NOT_ANSWERED = ("failed", "over_budget")
"""Statuses that say nothing about the annotator's behavior."""

Outcome = Any
"""What is compared: a class, a set of classes or entities, or `abstain`; None without a label."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Run:
    """Rows that a variant of the recipe labels, and how its annotations are judged."""

    check: str
    job: Job
    rows: Rows
    variables: Sequence[str]
    passed: Callable[[str, int, Annotation], bool | None]
    """From the variable, the row and its annotation; None if they say nothing."""
    not_applicable: Sequence[str] = ()
    """Variables that cannot pass, as they have no option to abstain."""

    @property
    def is_sent(self) -> bool:
        """Whether the check applies to a variable, or is the recipe itself."""
        return self.check == BASELINE or bool(self.variables)


@dataclass
class _Baseline:
    """The outcomes of the recipe itself, once it has run."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)


def check_recipe(
    recipe: RecipeLike,
    *,
    rows: int = 50,
    seed: int = 0,
    client: ChatClient | None = None,
    on_plan: Callable[[CheckPlan], None] | None = None,
    out_of_scope: Sequence[str] = OUT_OF_SCOPE,
) -> CheckReport:
    """Check how the annotator of a recipe behaves, without human labels; this sends requests.

    Checks after Halterman and Keith (2025): labels survive a reversed order of the classes; they survive neutral names
    of the classes; the definition of a class, given as the text, gets that class; empty texts, nonsense and texts about
    something else get no label where the recipe allows abstention.

    Args:
        recipe: a recipe or codebook; its budget applies.
        rows: sampled rows for the first two checks.
        seed: random seed of the sample.
        client: asked instead of the recipe's annotator.
        on_plan: called with the plan before the first request.
        out_of_scope: texts that the codebook is not about.

    Raises:
        ConfigError: `rows` is not positive, `out_of_scope` is empty, the answers are recorded, or there is nothing to
            check.
        SynthLabelsError: as `annotate`.
    """
    if rows < 1:
        raise ConfigError(f"`rows` is {rows}. Use a number from 1.")
    if not any(text.strip() for text in out_of_scope):
        raise ConfigError("`out_of_scope` has no text. Give at least one that the codebook is not about.")
    job = compile_recipe(recipe).kept_going()
    if job.client.kind == "recorded" and client is None:
        raise ConfigError("`annotator.client` is 'recorded', which answers no changed prompt. Name a model to check.")
    sampled = _sample(job, rows, seed)
    baseline = _Baseline()
    runs = [*_runs(job, sampled, baseline), *_abstention_runs(job, sampled[0], out_of_scope)]
    if sum(run.is_sent for run in runs) == 1:
        raise ConfigError("`task` has no classes and no `abstain: true`, so there is nothing to check.")
    if on_plan is not None:
        sent = [run for run in runs if run.is_sent]
        on_plan(CheckPlan(tuple((run.check, plan_rows(run.job, Dataset.from_list(list(run.rows)))) for run in sent)))
    results = tuple(result for run in runs for result in _results(run, baseline, client))
    return CheckReport(job.recipe.name, job.client.model, len(sampled), results)


BASELINE = "recipe as it is"


def _runs(job: Job, sampled: Rows, baseline: _Baseline) -> Iterator[_Run]:
    classes = [name for name, each in job.variables.items() if each.schema.kind in CLASS_KINDS]
    yield _Run(BASELINE, job, sampled, (), lambda *_: None)
    several = [name for name in classes if len(job.variables[name].schema.names) > 1]
    if several:
        yield _Run("reversed order of classes", reordered(job), sampled, several, _same(baseline, {}))
    variant, names = renamed(job)
    if names:
        yield _Run("neutral names of classes", variant, sampled, list(names), _same(baseline, names))
    for name, given in definitions(job).items():
        form = job.variables[name].recipe.task.form()
        if not form.pair and form.tokens is None and job.variables[name].schema.kind != "token-classification":
            labels = list(given)
            texts = [_row_with(job, sampled[0], given[label]) for label in labels]
            yield _Run("definition gets its class", of_variable(job, name), texts, [name], _recalled(labels))


def _abstention_runs(job: Job, row: Mapping[str, Any], out_of_scope: Sequence[str]) -> Iterator[_Run]:
    """Texts that variables with an option to abstain should give no label."""
    abstaining = [name for name, each in job.variables.items() if each.schema.abstain]
    others = [name for name in job.variables if name not in abstaining]
    checks = {"empty text": EMPTY, "nonsense": NONSENSE, "out-of-scope text": out_of_scope}
    for what, texts in checks.items():
        rows = [_row_with(job, row, text) for text in texts]
        yield _Run(f"{what} gets no label", job, rows, abstaining, _abstained, others)


def _same(baseline: _Baseline, names: NeutralNames) -> Callable[[str, int, Annotation], bool | None]:
    """Passed if the outcome is that of the recipe itself, with neutral names mapped back."""

    def passed(variable: str, row: int, annotation: Annotation) -> bool | None:
        before = baseline.outcomes[variable][row]
        if before is None or annotation.status in NOT_ANSWERED:
            return None
        original = {neutral: label for label, neutral in names.get(variable, {}).items()}
        return bool(_outcome(annotation, original) == before)

    return passed


def _recalled(labels: Sequence[str]) -> Callable[[str, int, Annotation], bool | None]:
    """Passed if the class of the definition is the label, or one of several."""

    def passed(_: str, row: int, annotation: Annotation) -> bool | None:
        if annotation.status in NOT_ANSWERED:
            return None
        label = annotation.label
        return labels[row] in label if isinstance(label, tuple) else label == labels[row]

    return passed


def _abstained(_: str, __: int, annotation: Annotation) -> bool | None:
    """Passed if the row is abstained; a variable whose condition does not hold was not coded."""
    if annotation.status in (*NOT_ANSWERED, "skipped"):
        return None
    return annotation.status == "abstained"


def _outcome(annotation: Annotation, original: Mapping[str, str] | None = None) -> Outcome:
    """What is compared of an annotation, whatever the order of its classes or entities."""
    names = original or {}
    label = annotation.label
    if annotation.status == "abstained":
        return "abstain"
    if isinstance(label, tuple):
        return frozenset(
            (item.start, item.end, names.get(item.label, item.label))
            if isinstance(item, Entity)
            else names.get(item, item)
            for item in label
        )
    return names.get(label, label) if isinstance(label, str) else label


def _annotated(run: _Run, client: ChatClient | None) -> tuple[list[Mapping[str, Annotation]], RunStats]:
    features = Dataset.from_list([dict(row) for row in run.rows]).features
    with open_annotator(run.job, features, client=client) as annotator:
        annotations = list(annotator.annotate(run.rows))
    (first, *_) = run.job.variables
    return [each if isinstance(each, Mapping) else {first: each} for each in annotations], annotator.tally


def _results(run: _Run, baseline: _Baseline, client: ChatClient | None) -> Iterator[CheckResult]:
    """Send the requests of a check, and judge their annotations."""
    if run.is_sent:
        annotations, tally = _annotated(run, client)
        if run.check == BASELINE:
            baseline.outcomes = {name: [_outcome(each[name]) for each in annotations] for name in run.job.variables}
        yield from _judged(run, annotations, cost_usd(run.job.client, tally), tally)
    for name in run.not_applicable:
        yield CheckResult.not_applicable(run.check, name)


def _judged(
    run: _Run, annotations: Sequence[Mapping[str, Annotation]], cost: float | None, tally: RunStats
) -> Iterator[CheckResult]:
    """The result of each variable; they have equal shares of the requests' cost."""
    for name in run.variables or [""]:
        verdicts = [run.passed(name, row, each[name]) for row, each in enumerate(annotations)] if name else []
        known = [verdict for verdict in verdicts if verdict is not None]
        share = None if cost is None else cost / max(1, len(run.variables))
        yield CheckResult(
            run.check, name, sum(known), len(known), wilson(sum(known), len(known)), share, tally.requests
        )


def _sample(job: Job, count: int, seed: int) -> list[dict[str, Any]]:
    """A random sample of the rows with something to label, of all splits together."""
    form = job.recipe.task.form()
    splits = [part.select_columns(job.columns()) for part in load_source(job.recipe).values()]
    places = [(part, row) for part, rows in enumerate(splits) for row in range(len(rows))]
    random.Random(seed).shuffle(places)
    sampled: list[dict[str, Any]] = []
    for part, row in places:
        if len(sampled) == count:
            break
        content = splits[part].with_format(None)[row]
        if form.read(content) is not None:
            sampled.append(content)
    if not sampled:
        raise ConfigError("`source` has no row with text, so there is nothing to check. Check `task.text`.")
    return sampled


def _row_with(job: Job, row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A row that shows a text instead of its contents; a question stays."""
    form = job.recipe.task.form()
    if form.tokens is not None:
        return {**row, form.tokens: text.split()}
    if form.question is not None and form.context is not None:
        return {**row, form.context: text}
    shown = form.columns if form.pair else form.columns[:1]
    return {**dict.fromkeys(row), **dict.fromkeys(shown, text)}
