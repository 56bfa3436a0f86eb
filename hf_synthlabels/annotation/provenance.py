"""Provenance: where labels come from, carried in the data set's own metadata."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.compiler import Job
from hf_synthlabels.annotation.prompting.row_inputs import compared
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients import Usage
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.labels import PARSER_VERSION
from hf_synthlabels.tables import extract_records

_LOGGER = logging.getLogger(__name__)


EXAMPLE_ROWS = "example_rows"
"""Key of a record with the digests of the few-shot examples."""

ANNOTATOR_KEYS = {
    "openai": {
        *("client", "model", "base_url", "temperature", "top_p", "max_tokens", "seed"),
        *("response_format", "num_samples", "system", "price", "logprobs", "reasoning_model", "reasoning_effort"),
        *("example_selection", "batch", "extra_body", "headers", "system_role"),
    },
    "transformers": {
        *("client", "model", "dtype", "scoring", "temperature", "top_p", "max_tokens", "seed", "num_samples", "system"),
        *("logprobs", "reasoning_model", "example_selection"),
    },
    "embedding": {"client", "model"},
    "recorded": {"client", "model", "column", "file", "key", "answer", "num_samples"},
}
"""The keys of each annotator that can change a label or its cost."""


def records(job: Job, tally: RunStats, *, seconds: float) -> list[dict[str, Any]]:
    """The provenance of each label column of a run.

    Requests and tokens are those of the whole run; of a codebook, each variable has an equal share of the cost.
    """
    if isinstance(job, AnnotationJob):
        return [record(job, tally, seconds=seconds)]
    codebook, size = job.recipe, len(job.variables)
    shared = {
        "hash": codebook.fingerprint(),
        "variables": list(job.variables),
        "groups": [list(group) for group in codebook.groups],
        **codebook.task.model_dump(mode="json", include={"group", "variable_order", "label_order", "seed"}),
    }
    entries = []
    for name, variable in job.variables.items():
        entry = record(variable, tally.of_variable(name), seconds=seconds)
        condition = codebook.conditions[name]
        ask_if = None if condition is None else {"variable": condition.variable, "is": list(condition.labels)}
        entry |= {"recipe": codebook.name, "codebook": {**shared, "ask_if": ask_if}}
        for costs in (entry, entry.get("escalate", {})):
            if costs.get("cost_usd") is not None:
                costs["cost_usd"] /= size
        entries.append(entry)
    return entries


def record(job: AnnotationJob, tally: RunStats, *, seconds: float) -> dict[str, Any]:
    """The provenance of one label column as plain values, without secrets.

    `cost_usd` is null if requests were paid for and no price is known.
    """
    recipe, prompt = job.recipe, job.prompt()
    scale = prompt.schema.scale
    return {
        "column": recipe.output.column,
        "recipe": recipe.name,
        "recipe_hash": recipe.fingerprint(),
        "source": recipe.source.model_dump(mode="json"),
        "human": recipe.task.human,
        "kind": recipe.task.kind,
        "text_columns": recipe.task.columns,
        "labels": list(prompt.schema.names),
        "scale": None if scale is None else asdict(scale),
        "strategy": _strategy(recipe),
        "annotator": described_annotator(recipe.annotator),
        **_escalation(job, tally),
        "examples": len(prompt.examples),
        **_example_rows(job),
        "returned_models": sorted(tally.models),
        "prompt_hash": prompt.fingerprint(),
        "schema_hash": prompt.schema.fingerprint(),
        "guidelines_hash": _hash(prompt.schema.guidelines) if prompt.schema.guidelines else None,
        "parser_version": PARSER_VERSION,
        "tally": tally.to_dict(),
        "cost_usd": cost_usd(job.client, tally),
        "price": _price(job.client),
        "annotation_s": round(seconds, 3),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "package_version": package_version(),
    }


def _example_rows(job: AnnotationJob) -> dict[str, Any]:
    """Digests of the few-shot examples before the selection, and how a row is read to be compared with them."""
    if not job.examples:
        return {}
    form = job.recipe.task.form()
    digests = sorted({example_digest(example.row_text(form).text) for example in job.examples})
    return {EXAMPLE_ROWS: {"form": {**asdict(form), "columns": list(form.columns)}, "digests": digests}}


def example_digest(text: str) -> str:
    """Digest of a text that identifies an example, without regard to case and white space."""
    return _hash(compared(text))


def described_annotator(annotator: AnnotatorConfig) -> dict[str, Any]:
    """The keys of an annotator that can change a label or its cost, as far as they say anything.

    Of headers only the names are recorded: their values may identify an account.
    """
    used = ANNOTATOR_KEYS[annotator.client.kind]
    keys = {key: value for key, value in annotator.model_dump(mode="json").items() if key in used}
    if keys.get("headers"):
        keys["headers"] = sorted(keys["headers"])
    if keys.get("system_role") == "system":
        del keys["system_role"]
    return {key: value for key, value in keys.items() if value not in (None, {})}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _strategy(recipe: Recipe) -> dict[str, Any]:
    """The keys that lead the annotator to a label, where they are not as usual."""
    usual = {
        name: field.get_default(call_default_factory=True) for name, field in type(recipe.task).model_fields.items()
    }
    keys = (
        "reasoning",
        "rows_per_call",
        "questions",
        "decide",
        "candidates",
        "confidence",
        "label_order",
        "seed",
        "long_text",
    )
    content = recipe.task.model_dump(mode="json", include=set(keys))
    return {key: content[key] for key in keys if content[key] != usual[key]}


def _price(config: ClientConfig) -> dict[str, Any] | None:
    """What the cost was computed with, and where the price was seen."""
    price = config.resolved_price
    return None if price is None else {key: value for key, value in asdict(price).items() if value not in (None, "")}


def cost_usd(config: ClientConfig, tally: RunStats) -> float | None:
    """Cost of the requests of a run, those of a second annotator included; None if a price is unknown."""
    second = tally.second
    if second["requests"] and "usd" not in second:
        return None
    if config.kind in ("embedding", "transformers"):
        return float(second["usd"])
    price = config.resolved_price
    if price is None:
        return None
    keys = ("prompt_tokens", "completion_tokens", "cached_tokens", "requests")
    prompt, completion, cached, requests = (getattr(tally, key) - second[key] for key in keys)
    return price.usd(Usage(prompt, completion, cached), batch=config.batch, requests=requests) + second["usd"]


def _escalation(job: AnnotationJob, tally: RunStats) -> dict[str, Any]:
    """The second annotator of a run and its part of the requests and the cost; nothing without one."""
    escalate, second = job.recipe.annotator.escalate, job.second
    if escalate is None or second is None:
        return {}
    counts = {key: tally.second[key] for key in ("rows", "requests", "stored", "prompt_tokens", "completion_tokens")}
    described = {
        "below": escalate.below,
        "annotator": described_annotator(second.recipe.annotator),
        **counts,
        "cost_usd": tally.second["usd"] if "usd" in tally.second or not counts["requests"] else None,
        "price": _price(second.client),
    }
    return {"escalate": described}


def provenance(dataset: Any) -> list[dict[str, Any]]:
    """How the label columns of a data set were made: one record for each column, in the order in which they came.

    The records of data sets that were concatenated follow each other. A record of a column that was renamed or removed
    is left out, with a warning.

    Args:
        dataset: a `Dataset`, an `IterableDataset`, or a `DatasetDict`, of which the first split is read.
    """
    rows = next(iter(dataset.values())) if isinstance(dataset, dict) else dataset
    records = extract_records(rows.info.description)
    columns = rows.features
    if columns is None:
        return records
    stale = [entry for entry in records if not _describes(entry, columns)]
    for entry in stale:
        _LOGGER.warning(
            "The provenance of the column %r is left out: the data set has no column of that name any more.",
            entry.get("column"),
        )
    return [entry for entry in records if entry not in stale]


def carry_over(source: Any, made: Any) -> None:
    """Give a data set's info what its source says for all copies of it: citation, license and home page."""
    for field in ("citation", "license", "homepage"):
        if not getattr(made, field):
            setattr(made, field, getattr(source, field))


def _describes(entry: dict[str, Any], columns: Any) -> bool:
    """Whether a record's column is there; of judgments the column is what several names begin with."""
    column = str(entry.get("column", ""))
    begins = "rubric" in entry and any(name.startswith(f"{column}_") for name in columns)
    return column in columns or begins


def package_version() -> str:
    """The installed version of this package."""
    return metadata.version("hf-synthlabels")
