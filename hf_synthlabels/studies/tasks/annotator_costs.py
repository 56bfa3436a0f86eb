"""Requests, statuses and costs of an annotator's labels."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from datasets import Dataset

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.annotation.compiler import compile_recipe, compile_variable
from hf_synthlabels.annotation.planning.dry_run import dry_run
from hf_synthlabels.annotation.recipe.source import needed_columns
from hf_synthlabels.clients import ResponseStore, Usage
from hf_synthlabels.clients.factory import known_format
from hf_synthlabels.resources import store_path

STORED_CLIENTS = ("openai", "transformers")
LOOKUP_REQUESTS = 500
EXAMPLES = 3
SHOWN = 120
"""Characters of a raw answer in a report."""

SETTLED = ("labelled", "abstained", "skipped")
"""Statuses of rows whose answer is no example of one that could not be used."""


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """What the stored answers to some rows took; equal requests count once, as they were sent once."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    """None where the price is unknown."""
    models: tuple[str, ...] = ()
    """The models that answered, as the server named them."""


def answer_cost(recipe: Recipe, rows: Dataset) -> AnswerCost:
    """Tokens and money of a recipe's answers to some rows, from the response store.

    Of a codebook, each variable has an equal share of them. They are the same whether the answers were asked for in
    this run or in an earlier one. Answers that are not stored, such as truncated ones, are asked for again by each run,
    so they are not part of it.
    """
    if recipe.annotator.client.kind not in STORED_CLIENTS:
        # An encoder in this process costs nothing; what recorded answers cost was never recorded.
        return AnswerCost(usd=0.0 if recipe.annotator.client.kind == "embedding" else None)
    if recipe.annotator.escalate is not None:
        # Which rows a second annotator answered depends on the answers of the first.
        return AnswerCost()
    keys: dict[str, None] = {}
    with ResponseStore(store_path()) as store:
        form = known_format(recipe.annotator.client, recipe.annotator.response_format, store)
        if form is None:
            return AnswerCost()
        asked = rows.select_columns(needed_columns(recipe, rows.features))
        job = compile_recipe(recipe.codebook or recipe)
        keys.update((key, None) for _, key in dry_run(job, form).requests(asked))
        answers = store.get(keys)
    usages = [Usage(**answer["usage"]) for answer in answers.values()]
    models = tuple(sorted({str(answer["model"]) for answer in answers.values() if answer["model"]}))
    total = Usage(*(sum(getattr(usage, name) for usage in usages) for name in Usage.__dataclass_fields__))
    usd: float | None = 0.0
    if recipe.annotator.client.kind == "openai":
        price = recipe.annotator.client.resolved_price
        usd = None if price is None else price.usd(total, batch=recipe.annotator.client.batch, requests=len(usages))
    size = len(job.variables)
    prompt_tokens, completion_tokens = round(total.prompt_tokens / size), round(total.completion_tokens / size)
    return AnswerCost(len(usages), prompt_tokens, completion_tokens, None if usd is None else usd / size, models)


class SecondsBook:
    """Seconds that one row took when an annotator was first asked; later runs read answers back in no time."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "seconds.json"

    def per_row(self, name: str, record: Mapping[str, Any], rows: int) -> float | None:
        """Seconds for a row, from the first run that asked for most of the answers; None where none is known.

        Args:
            name: of the recipe and the part of the rows.
            record: the provenance of the labels.
            rows: that were labeled.
        """
        known = self._read()
        if name in known:
            return known[name]
        tally = record["tally"]
        answers = tally["requests"] + tally["stored"]
        # A run that found most answers in the store says little of how long they took.
        if not record.get("annotation_s") or 2 * tally["requests"] < answers or not rows:
            return None
        seconds: float = record["annotation_s"] / rows
        self._write({**known, name: seconds})
        return seconds

    def _read(self) -> dict[str, float]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, content: Mapping[str, float]) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        scratch.replace(self._path)


def row_statuses(labelled: Dataset, recipe: Recipe) -> dict[str, Any]:
    """How many rows have which status, and a few raw answers that gave no label."""
    column = recipe.output.column
    feature = labelled.features[f"{column}_status"]
    names = [feature.int2str(code) for code in labelled[f"{column}_status"][:]]
    raw, notes = (labelled[f"{column}_{part}"][:] for part in ("raw", "note"))
    unread: dict[str, str] = {}
    for name, answer, note in zip(names, raw, notes, strict=True):
        if name not in SETTLED and len(unread) < EXAMPLES:
            unread.setdefault(f"{name}: {str(answer or '')[:SHOWN]!r}", str(note or ""))
    return {"statuses": dict(sorted(Counter(names).items())), "unread": dict(unread)}


def request_summary(statuses: Mapping[str, Any], rows: int, seconds: float) -> str:
    """Progress line, e.g. `300 rows in 4.0 s (75 rows/s), labelled 145, unparsed 155, 60,000 tokens, $0.02`."""
    parts = [f"{rows:,} rows in {seconds:.1f} s ({rows / max(seconds, 1e-3):,.0f} rows/s)"]
    parts += [f"{status} {count:,}" for status, count in statuses["statuses"].items()]
    if tokens := statuses.get("prompt_tokens", 0) + statuses.get("completion_tokens", 0):
        usd = statuses.get("usd")
        parts.append(f"{tokens:,} tokens{'' if usd is None else f', ${usd:,.4f}'} in all")
    return ", ".join(parts)


def annotator_facts(recipe: Recipe, record: Mapping[str, Any], models: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that a reader needs to judge or repeat the labels: annotator, question, labels and prompt."""
    annotator, schema = recipe.annotator, recipe.schema_of_labels()
    served = annotator.client.kind == "openai"
    facts: dict[str, Any] = {
        "client": annotator.client.kind,
        "model": record["annotator"].get("model") or annotator.client.model,
        # A run that finds all answers in the store has heard of no model itself.
        "model that answered": ", ".join(models or record.get("returned_models") or ()),
        "host": urlsplit(annotator.client.base_url).netloc if served else "",
        "temperature": annotator.client.temperature if annotator.client.kind in STORED_CLIENTS else None,
        "num_samples": annotator.num_samples if annotator.num_samples > 1 else None,
        "examples": record.get("examples") or None,
        "price": asdict(annotator.client.resolved_price)
        if served and annotator.client.resolved_price is not None
        else None,
        "question": recipe.task.instructions_or_default(),
        "labels": dict(zip(schema.names, schema.definitions or ("",) * len(schema.names), strict=True)),
        "guidelines": schema.guidelines,
    }
    if annotator.client.kind in STORED_CLIENTS:
        facts |= {"prompt hash": record["prompt_hash"], "prompt": _prompt(recipe)}
    return {name: value for name, value in facts.items() if value not in (None, "", {})}


def _prompt(recipe: Recipe) -> str:
    """The messages for one row, its text columns as placeholders."""
    row: dict[str, Any] = {column: f"{{{column}}}" for column in recipe.task.columns}
    if recipe.task.tokens is not None:
        row[recipe.task.tokens] = [f"{{{recipe.task.tokens}}}"]
    shown = recipe.task.form().read(row)
    messages = () if shown is None else compile_variable(recipe).prompt().messages(shown)
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
