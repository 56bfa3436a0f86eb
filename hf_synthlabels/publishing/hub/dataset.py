"""Annotated data sets on the Hub: Parquet files, card, provenance records and validation reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.annotation.compiler import compile_variable
from hf_synthlabels.cards import PROMPT_FILE, CardFields, DatasetFacts, SplitFacts, dataset_card
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.hub.annotated_data import AnnotatedData, count_statuses
from hf_synthlabels.publishing.hub.commit import checked_repo
from hf_synthlabels.publishing.hub.upload import HubFile, HubUpload
from hf_synthlabels.publishing.sampled_data import SAMPLE_KIND
from hf_synthlabels.statistics import Gate, ValidationReport, validate

RECORDS_FILE = "annotation/provenance.json"
RECIPE_FILE = "annotation/recipe.yaml"
SHARD_BYTES = 500_000_000
PROMPTED = ("openai", "transformers")
"""Clients that send a prompt."""


def dataset_upload(
    data: AnnotatedData,
    repo: str,
    folder: Path,
    *,
    card: CardFields,
    human_rows: str | None = None,
    human: str | None = None,
    llm: str | None = None,
    gate: Gate | None = None,
) -> HubUpload:
    """Collect the files of an annotated data set.

    Label columns are compared with human labels if both exist; the report is in the card and as JSON.

    Args:
        data: labels with their recipe and provenance.
        repo: `user/name`.
        folder: folder for the Parquet files, which must exist until the upload.
        card: publisher input.
        human_rows: how the human-labeled rows were sampled and labeled.
        human: column of human labels (default: from the provenance).
        llm: label column to compare (default: all in the provenance).
        gate: score that the labels must reach.

    Raises:
        DataError: there is no label column or no row, or a named column is missing.
        ConfigError: the repository name is invalid.
    """
    checked_repo(repo)
    columns = data.label_columns(("llm", llm), ("human", human))
    records = data.published_records()
    reports = _validations(data, columns, human=human, llm=llm, gate=gate)
    shards = _write_parquet(data.splits, folder)
    facts = _facts(data, repo, columns, card, human_rows, reports, sum(file.size for file in shards))
    files = [HubFile("README.md", dataset_card(facts).encode()), *shards, *_recipe_files(data)]
    if any(records.values()):
        text = json.dumps(records, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        files.append(HubFile(RECORDS_FILE, text.encode()))
    if facts.prompt:
        files.append(HubFile(PROMPT_FILE, facts.prompt.encode()))
    for number, report in enumerate(reports):
        files.append(HubFile(f"validation/{number}.json", (report.to_json() + "\n").encode()))
    return HubUpload(repo, "dataset", tuple(files))


def _facts(
    data: AnnotatedData,
    repo: str,
    columns: Sequence[str],
    card: CardFields,
    human_rows: str | None,
    reports: Sequence[ValidationReport],
    download_size: int,
) -> DatasetFacts:
    first = next(iter(data.splits.values()))
    records = next(iter(data.published_records().values()), [])
    return DatasetFacts(
        repo=repo,
        features=first.features,
        splits=tuple(
            SplitFacts(name, len(rows), _num_bytes(rows), {column: count_statuses(rows, column) for column in columns})
            for name, rows in data.splits.items()
        ),
        card=card,
        records=tuple(record for record in records if record.get("kind") != SAMPLE_KIND),
        samples=tuple(record for record in records if record.get("kind") == SAMPLE_KIND),
        description=first.info.description or "",
        validations=tuple(reports),
        prompt=_system_prompt(data.recipe),
        human_rows=human_rows,
        download_size=download_size,
        recipe_file=RECIPE_FILE if data.recipe is not None else None,
    )


def _num_bytes(rows: Any) -> int:
    return int(rows.data.nbytes)


def _write_parquet(splits: Mapping[str, Any], folder: Path) -> list[HubFile]:
    """Write each split as Parquet files of at most `SHARD_BYTES` in memory."""
    files = []
    for name, rows in splits.items():
        count = max(1, math.ceil(_num_bytes(rows) / SHARD_BYTES))
        for number in range(count):
            path = folder / f"{name}-{number:05d}-of-{count:05d}.parquet"
            shard = rows if count == 1 else rows.shard(count, number, contiguous=True)
            shard.to_parquet(str(path))
            files.append(HubFile(f"data/{path.name}", path))
    return files


def _validations(
    data: AnnotatedData, columns: list[str], *, human: str | None, llm: str | None, gate: Gate | None
) -> list[ValidationReport]:
    """Validate the label columns against human labels, over all splits."""
    from datasets import concatenate_datasets

    rows = concatenate_datasets(list(data.splits.values()))
    records = {str(record["column"]): record for entries in data.published_records().values() for record in entries}
    reports = []
    for column in columns if llm is None else [llm]:
        record = records.get(column, {})
        human_column = human or record.get("human")
        if human_column is None or human_column not in rows.column_names:
            continue
        recipe = data.recipe if data.recipe is not None and data.recipe.output.column == column else None
        report = validate(
            rows,
            human=human_column,
            llm=column,
            schema=None if recipe is None else recipe.schema_of_labels(),
            kind=record.get("kind"),
            tokens=None if recipe is None else recipe.task.tokens,
            gate=gate,
        )
        reports.append(report)
    if gate is not None and not reports:
        raise DataError("`gate` is given, but there is no column of human labels. Name it with `human`.")
    return reports


def _system_prompt(recipe: Recipe | None) -> str:
    """System prompt of the annotator; empty if none is sent."""
    if recipe is None or recipe.annotator.client.kind not in PROMPTED:
        return ""
    return compile_variable(recipe).prompt().messages("")[0].content


def _recipe_files(data: AnnotatedData) -> list[HubFile]:
    """The recipe, with its guidelines and examples files."""
    recipe, text = data.recipe, data.recipe_text
    if recipe is None:
        return []
    if text is None:
        content = recipe.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    files = [HubFile(RECIPE_FILE, text.encode())]
    for name in (recipe.task.guidelines_file, recipe.annotator.examples):
        # A file outside the recipe's folder would lie outside the repository.
        if isinstance(name, str) and "$" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts:
            files.append(HubFile(f"annotation/{Path(name).as_posix()}", Path(recipe.paths.local(name))))
    return files
