"""Annotated data sets on the Hub: Parquet files, card, provenance records and reports."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation import Recipe, provenance
from hf_synthlabels.annotation.compiled import compile_recipe
from hf_synthlabels.cards import (
    PROMPT_FILE,
    DatasetFacts,
    Licenses,
    PromptFacts,
    SplitFacts,
    dataset_card,
    published_record,
)
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.publishing.hub.commit import HubFile, HubUpload, checked_repo
from hf_synthlabels.publishing.sampled_data import SAMPLE_KIND
from hf_synthlabels.statistics import Gate, ValidationReport, validate

RECORDS_FILE = "annotation/provenance.json"
"""Path of the provenance in the repository."""

RECIPE_FILE = "annotation/recipe.yaml"
SHARD_BYTES = 500_000_000
PROMPTED = ("openai", "transformers")
"""The clients that send a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCardFields:
    """What only the publisher can say of a data set."""

    licenses: Licenses
    summary: str | None = None
    human_rows: str | None = None
    """How the human-labelled rows were drawn and labelled."""
    language: tuple[str, ...] = ()


def dataset_upload(
    splits: Mapping[str, Any],
    repo: str,
    folder: Path,
    *,
    words: DatasetCardFields,
    recipe: Recipe | None = None,
    recipe_text: str | None = None,
    records: Mapping[str, list[dict[str, Any]]] | None = None,
    human: str | None = None,
    llm: str | None = None,
    gate: Gate | None = None,
) -> HubUpload:
    """All that is published of an annotated data set.

    Label columns are compared with human labels if both exist; the report is in the card and as JSON.

    Args:
        splits: by name, as a `DatasetDict` has them.
        repo: `user/name`.
        folder: where its Parquet files are written; they must be there until it is published.
        words: what only the publisher can say.
        recipe: that made the labels, if it is to be published.
        recipe_text: text of the recipe file (default: serialized from the recipe).
        records: the provenance by split, where the data set does not carry it.
        human: the column of human labels; by default the one that the provenance names.
        llm: the label column that is compared; by default every one that the provenance names.
        gate: a score that the labels were to reach.

    Raises:
        DataError: there is no label column, no row, or not a column that is named.
        ConfigError: the repository name or a card field is invalid.
    """
    checked_repo(repo)
    records = records or {name: provenance(rows) for name, rows in splits.items()}
    records = {name: [published_record(record) for record in entries] for name, entries in records.items()}
    columns = _label_columns(splits, records, llm, human)
    data = _parquet(splits, folder)
    reports = _validations(splits, columns, records, recipe, human=human, llm=llm, gate=gate)
    extra = _recipe_files(recipe, recipe_text)
    first = next(iter(splits.values()))
    every = next(iter(records.values()), [])
    facts = DatasetFacts(
        repo=repo,
        features=first.features,
        splits=tuple(
            SplitFacts(name, len(rows), _memory(rows), {column: _statuses(rows, column) for column in columns})
            for name, rows in splits.items()
        ),
        licenses=words.licenses,
        records=tuple(each for each in every if each.get("kind") != SAMPLE_KIND),
        samples=tuple(each for each in every if each.get("kind") == SAMPLE_KIND),
        description=first.info.description or "",
        validations=tuple(reports.values()),
        prompt=_prompt(recipe),
        human_rows=words.human_rows,
        summary=words.summary,
        language=words.language,
        download_size=sum(file.size for file in data),
        recipe_file=RECIPE_FILE if recipe is not None else None,
    )
    files = [HubFile("README.md", dataset_card(facts).encode()), *data, *extra]
    if any(records.values()):
        text = json.dumps(dict(records), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        files.append(HubFile(RECORDS_FILE, text.encode()))
    if facts.prompt is not None:
        files.append(HubFile(PROMPT_FILE, facts.prompt.system.encode()))
    files += [
        HubFile(f"validation/{place}.json", (report.to_json() + "\n").encode())
        for place, report in enumerate(reports.values())
    ]
    return HubUpload(repo, "dataset", tuple(files))


def _label_columns(
    splits: Mapping[str, Any], records: Mapping[str, list[dict[str, Any]]], llm: str | None, human: str | None
) -> list[str]:
    """The label columns, each with its statuses, in every split.

    Raises:
        DataError: there is none, or a named one is not there, or the splits differ.
    """
    if not splits or not all(len(rows) for rows in splits.values()):
        raise DataError("`data` has a split without rows. Give data with rows.")
    first = next(iter(splits.values()))
    for name, rows in splits.items():
        if rows.features != first.features:
            raise DataError(f"`data`: split {name!r} has other columns than the first. Publish it by itself.")
    known = first.column_names
    for field, column in (("llm", llm), ("human", human)):
        if column is not None and column not in known:
            raise DataError(f"`{field}` names the column {column!r}, which is not there. It has: {', '.join(known)}.")
    recorded = [
        str(record["column"]) for entries in records.values() for record in entries if record.get("kind") != SAMPLE_KIND
    ]
    found = list(
        dict.fromkeys([*recorded, *(name.removesuffix("_status") for name in known if _holds_status(first, name))])
    )
    missing = [name for column in found for name in (column, f"{column}_status") if name not in known]
    if missing:
        raise DataError(f"`data` was labelled with the column {missing[0]!r}, which is not there. Publish it whole.")
    if not found:
        raise DataError(
            "`data` has no label column written by a recipe, with its `_status` column. Annotate it first, or "
            "publish it with `datasets.push_to_hub`."
        )
    return found


def _holds_status(rows: Any, column: str) -> bool:
    names = getattr(rows.features[column], "names", None)
    if not column.endswith("_status") or column.removesuffix("_status") not in rows.column_names:
        return False
    return names == list(STATUSES) if names is not None else set(rows[column]) <= set(STATUSES)


def _statuses(rows: Any, column: str) -> dict[str, int]:
    """Rows by status, in the order of the statuses."""
    names = getattr(rows.features[f"{column}_status"], "names", None)
    counts = Counter(names[value] if names else value for value in rows[f"{column}_status"])
    return {status: counts[status] for status in STATUSES if counts[status]}


def _memory(rows: Any) -> int:
    return int(rows.data.nbytes)


def _parquet(splits: Mapping[str, Any], folder: Path) -> list[HubFile]:
    """Each split as Parquet files of a size that can be sent again."""
    files = []
    for name, rows in splits.items():
        count = max(1, math.ceil(_memory(rows) / SHARD_BYTES))
        for number in range(count):
            path = folder / f"{name}-{number:05d}-of-{count:05d}.parquet"
            shard = rows if count == 1 else rows.shard(count, number, contiguous=True)
            shard.to_parquet(str(path))
            files.append(HubFile(f"data/{path.name}", path))
    return files


def _validations(
    splits: Mapping[str, Any],
    columns: list[str],
    records: Mapping[str, list[dict[str, Any]]],
    recipe: Recipe | None,
    *,
    human: str | None,
    llm: str | None,
    gate: Gate | None,
) -> dict[str, ValidationReport]:
    """The label columns against the human ones, over all splits."""
    from datasets import concatenate_datasets

    rows = concatenate_datasets(list(splits.values()))
    by_column = {str(record["column"]): record for entries in records.values() for record in entries}
    found = {}
    for column in columns if llm is None else [llm]:
        record = by_column.get(column, {})
        people = human or record.get("human")
        if people is None or people not in rows.column_names:
            continue
        own = recipe is not None and recipe.output.column == column
        report = validate(
            rows,
            human=people,
            llm=column,
            schema=recipe.schema_of_labels() if own and recipe is not None else None,
            kind=record.get("kind"),
            tokens=recipe.task.tokens if own and recipe is not None else None,
            gate=gate,
        )
        found[column] = report
    if gate is not None and not found:
        raise DataError("`gate` is given, but there is no column of human labels. Name it with `human`.")
    return found


def _prompt(recipe: Recipe | None) -> PromptFacts | None:
    """What the annotator was told; None where no prompt is sent or none is to be published."""
    if recipe is None or recipe.annotator.client.kind not in PROMPTED:
        return None
    made = compile_recipe(recipe).prompt()
    return PromptFacts(made.messages("")[0].content, made.schema.guidelines, len(made.examples))


def _recipe_files(recipe: Recipe | None, text: str | None) -> list[HubFile]:
    """The recipe, with its guidelines and examples files."""
    if recipe is None:
        return []
    if text is None:
        import yaml

        text = yaml.safe_dump(
            recipe.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
        )
    files = [HubFile(RECIPE_FILE, text.encode())]
    for name in (recipe.task.guidelines_file, recipe.annotator.examples):
        # A file from elsewhere would lie outside of the repository.
        if isinstance(name, str) and "$" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts:
            files.append(HubFile(f"annotation/{Path(name).as_posix()}", Path(recipe.local_path(name))))
    return files
