"""Card metadata for the Hub, built with the classes of `huggingface_hub`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import DatasetCardData, EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from hf_synthlabels.cards.card_data import DatasetFacts, ModelFacts, published_record
from hf_synthlabels.cards.publisher_fields import CardFields
from hf_synthlabels.statistics import MEASURES, Interval

DATA_PATTERN = "data/{split}-*"
"""Path pattern of the files of a split."""

CARD_TEMPLATE = "---\n{{ card_data }}\n---\n\n{{ body }}"
"""Template of a card whose body is rendered separately, with escaping."""

TASKS = {
    "text-classification": ("text-classification", "multi-class-classification"),
    "text-pair": ("text-classification", None),
    "multi-label": ("text-classification", "multi-label-classification"),
    "text-scale": ("text-classification", "text-scoring"),
    "token-classification": ("token-classification", None),
    "question-answering": ("question-answering", "extractive-qa"),
    "text-generation": ("text-generation", None),
}
"""Hub task and subtask of each kind."""

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MORE_SIZES = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))

FENCE = re.compile(r"```json hf_synthlabels\n.*?\n```", re.S)

# Identifiers of `evaluate` metrics; other scores keep their name.
METRIC_TYPES = {"macro_f1": "f1", "weighted_f1": "f1", "macro_precision": "precision", "macro_recall": "recall"}


def dataset_metadata(facts: DatasetFacts) -> DatasetCardData:
    """Return the metadata of a dataset card.

    `dataset_info.description` contains the provenance, so that `load_dataset` restores it.
    """
    kinds = dict.fromkeys(str(record.get("kind")) for record in facts.records)
    tasks = [TASKS[kind] for kind in kinds if kind in TASKS]
    rows = sum(split.rows for split in facts.splits)
    return DatasetCardData(
        pretty_name=facts.repo.rpartition("/")[2],
        **_publisher_metadata(facts.card),
        annotations_creators=["machine-generated"],
        task_categories=list(dict.fromkeys(task for task, _ in tasks)) or None,
        task_ids=list(dict.fromkeys(part for _, part in tasks if part)) or None,
        size_categories=[next((name for most, name in (*SIZES, *MORE_SIZES) if rows < most), "n>1T")],
        tags=["hf-synthlabels", "llm-labels"],
        dataset_info=_dataset_info(facts),
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": split.name, "path": DATA_PATTERN.format(split=split.name)} for split in facts.splits
                ],
            }
        ],
    )


def model_metadata(facts: ModelFacts) -> ModelCardData:
    """Return the metadata of a model card."""
    results = list(_results(facts))
    return ModelCardData(
        **_publisher_metadata(facts.card),
        base_model=facts.card.base_model if _on_hub(facts.card.base_model) else None,
        base_model_relation=("adapter" if facts.adapter else "finetune") if _on_hub(facts.card.base_model) else None,
        datasets=[facts.card.dataset] if facts.card.dataset else None,
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag=TASKS[facts.kind][0],
        tags=["hf-synthlabels", "llm-labels"],
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        widget=[{"text": text} for text in facts.card.widget] or None,
        model_name=facts.repo.rpartition("/")[2] if results else None,
        eval_results=results or None,
    )


def eval_results(facts: ModelFacts) -> list[dict[str, Any]]:
    """Return the content of `.eval_results/*.yaml`, which the Hub shows with a published dataset."""
    if facts.card.dataset is None:
        return []
    entries = [
        EvalResultEntry(
            dataset_id=facts.card.dataset,
            task_id=name,
            value=round(score.estimate, 6),
            dataset_revision=facts.card.dataset_revision,
            notes=f"{_range(score)}, {score.method}",
        )
        for name, _, score in _scores(facts)
    ]
    return eval_result_entries_to_yaml(entries)


def _results(facts: ModelFacts) -> Iterator[EvalResult]:
    """Yield each score, with the interval in its name, since the Hub has no field for it."""
    dataset = facts.card.dataset or (facts.study.name if facts.study is not None else "human-labeled rows")
    for name, title, score in _scores(facts):
        yield EvalResult(
            task_type=TASKS[facts.kind][0],
            dataset_type=facts.card.dataset or "unpublished",
            dataset_name=dataset,
            dataset_revision=facts.card.dataset_revision,
            metric_type=METRIC_TYPES.get(name, name),
            metric_name=f"{title} ({_range(score)})",
            metric_value=round(score.estimate, 6),
        )


def _range(score: Interval) -> str:
    return f"{100 * score.level:g}% interval {score.low:.3f} to {score.high:.3f}, n = {score.n:,}"


def _scores(facts: ModelFacts) -> Iterator[tuple[str, str, Interval]]:
    """Yield name, title and value of the model's scores, from its validation or else from the study."""
    if facts.validation is not None:
        titles = MEASURES[facts.validation.kind]
        for name, score in facts.validation.scores.items():
            if name != "coverage" and not math.isnan(score.estimate):
                yield name, titles[name], score
    elif facts.study is not None and len(facts.study.comparisons) == 1:
        (comparison,) = facts.study.comparisons
        for arm in comparison.arms:
            if arm.source == facts.card.label_source:
                for name, score in arm.scores.items():
                    title = name.replace("_", " ").replace("f1", "F1")
                    yield name, f"{title}, mean of {len(comparison.seeds)} seeds", score


def _dataset_info(facts: DatasetFacts) -> dict[str, Any]:
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo

    splits = SplitDict()
    for split in facts.splits:
        splits.add(SplitInfo(split.name, num_bytes=split.num_bytes, num_examples=split.rows))
    info = DatasetInfo(
        features=facts.features,
        splits=splits,
        download_size=facts.download_size,
        dataset_size=sum(split.num_bytes for split in facts.splits),
    )
    carrier = DatasetCardData()
    DatasetInfosDict({"default": info}).to_dataset_card_data(carrier)
    content: dict[str, Any] = dict(vars(carrier)["dataset_info"])
    judges = [record for records in facts.judges.values() for record in list(records.values())[:1]]
    if text := _description(facts.description, (*facts.records, *judges)):
        content["description"] = text
    return content


def _description(description: str, records: tuple[Mapping[str, Any], ...]) -> str:
    """Return the description with the provenance on one line, as it is embedded in YAML."""
    text = FENCE.sub("", description).strip()
    if not records:
        return text
    block = json.dumps([published_record(record) for record in records], ensure_ascii=False, sort_keys=True)
    return f"{text}\n\n```json hf_synthlabels\n{block}\n```".strip()


def _publisher_metadata(card: CardFields) -> dict[str, Any]:
    values = {
        "license": card.license,
        "license_name": card.license_name,
        "license_link": card.license_link,
        "language": list(card.language) or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _on_hub(model: str | None) -> bool:
    """Whether a name has the form of a Hub ID, unlike that of a folder or package."""
    return model is not None and re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", model) is not None
