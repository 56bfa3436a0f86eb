"""Annotated data sets on the Hub: Parquet files, card, provenance records and validation reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hf_synthlabels.annotation import Codebook, Recipe
from hf_synthlabels.annotation.codebook.codebook_job import CodebookJob
from hf_synthlabels.annotation.compiler import compile_recipe
from hf_synthlabels.annotation.prompting.row_inputs import RowText
from hf_synthlabels.cards import PROMPT_FILE, CardFields, DatasetFacts, SplitFacts, dataset_card
from hf_synthlabels.cards.card_data import VariableFacts
from hf_synthlabels.publishing.hub.annotated_data import AnnotatedData, count_statuses, is_judge
from hf_synthlabels.publishing.hub.commit import checked_repo
from hf_synthlabels.publishing.hub.label_validation import LabelValidation, validate_labels
from hf_synthlabels.publishing.hub.upload import HubFile, HubUpload
from hf_synthlabels.publishing.label_variables import recorded_variables
from hf_synthlabels.publishing.sampled_data import SAMPLE_KIND

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
    gates: Sequence[str] = (),
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
        gates: scores that the labels must reach, such as `bias: macro_f1>=0.7`; see `validate_codebook`.

    Raises:
        DataError: there is no label column or no row, or a named column is missing.
        ConfigError: the repository name or a gate is invalid, or a gate names an unknown variable.
    """
    checked_repo(repo)
    columns = data.label_columns(("llm", llm), ("human", human))
    records = data.published_records()
    validation = validate_labels(data, columns if llm is None else [llm], human=human, gates=gates)
    shards = _write_parquet(data.splits, folder)
    facts = _facts(data, repo, columns, card, human_rows, validation, sum(file.size for file in shards))
    files = [HubFile("README.md", dataset_card(facts).encode()), *shards, *_recipe_files(data)]
    if any(records.values()):
        text = json.dumps(records, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        files.append(HubFile(RECORDS_FILE, text.encode()))
    if facts.prompt:
        files.append(HubFile(PROMPT_FILE, facts.prompt.encode()))
    for number, report in enumerate(validation.reports):
        files.append(HubFile(f"validation/{number}.json", (report.to_json() + "\n").encode()))
    if validation.family is not None:
        files.append(HubFile("validation/gates.json", (validation.family.to_json() + "\n").encode()))
    return HubUpload(repo, "dataset", tuple(files))


def _facts(
    data: AnnotatedData,
    repo: str,
    columns: Sequence[str],
    card: CardFields,
    human_rows: str | None,
    validation: LabelValidation,
    download_size: int,
) -> DatasetFacts:
    first = next(iter(data.splits.values()))
    published = data.published_records()
    records = [record for record in next(iter(published.values()), []) if not is_judge(record)]
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
        variables=_variables(data, records),
        judges=_judges(published),
        description=first.info.description or "",
        validations=validation.reports,
        gates=validation.gate_lines(),
        prompt=_system_prompt(data.recipe),
        human_rows=human_rows,
        download_size=download_size,
        recipe_file=RECIPE_FILE if data.recipe is not None else None,
    )


def _judges(published: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The records of judges, by the prefix of their columns and by split."""
    judges: dict[str, dict[str, Mapping[str, Any]]] = {}
    for split, records in published.items():
        for record in filter(is_judge, records):
            judges.setdefault(str(record["column"]), {})[split] = record
    return judges


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


def _variables(data: AnnotatedData, records: Sequence[Mapping[str, Any]]) -> tuple[VariableFacts, ...]:
    """The variables of a codebook, with the definitions of its recipe if that is published."""
    recipes = data.recipe.variables if isinstance(data.recipe, Codebook) else {}
    facts = []
    for name, variable in recorded_variables(records).items():
        recipe, condition = recipes.get(name), variable.condition
        labels: dict[str, str | None] = {}
        if recipe is not None:
            given = recipe.task.labels
            labels = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
        text = None if condition is None else f"{condition.variable}: {' or '.join(condition.labels)}"
        instructions = "" if recipe is None else recipe.task.instructions_or_default()
        facts.append(VariableFacts(name, variable.kind or "kind not recorded", instructions, labels, text))
    return tuple(facts)


def _system_prompt(recipe: Recipe | Codebook | None) -> str:
    """System prompt of the annotator, or of each request of a codebook; empty if none is sent."""
    if recipe is None or recipe.annotator.client.kind not in PROMPTED:
        return ""
    job = compile_recipe(recipe)
    if not isinstance(job, CodebookJob):
        return job.prompt().messages("")[0].content
    prompts = job.prompt()
    systems = [prompts.joint[group].messages(RowText(()))[0] for group in prompts.groups if group in prompts.joint]
    systems += [prompts.alone[group[0]].messages("")[0] for group in prompts.groups if len(group) == 1]
    return "\n\n---\n\n".join(system.content for system in systems)


def _recipe_files(data: AnnotatedData) -> list[HubFile]:
    """The recipe, with its guidelines and examples files."""
    recipe, text = data.recipe, data.recipe_text
    if recipe is None:
        return []
    if text is None:
        keys = recipe.keys if isinstance(recipe, Codebook) else recipe
        content = keys.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    files = [HubFile(RECIPE_FILE, text.encode())]
    guidelines = [each.task.guidelines_file for each in recipe.variables.values()]
    for name in dict.fromkeys(name for name in (*guidelines, recipe.annotator.examples) if isinstance(name, str)):
        # A file outside the recipe's folder would lie outside the repository.
        if "$" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts:
            files.append(HubFile(f"annotation/{Path(name).as_posix()}", Path(recipe.paths.local(name))))
    return files
