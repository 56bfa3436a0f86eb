"""The card of an annotated data set."""

from __future__ import annotations

from collections.abc import Mapping

from hf_synthlabels.cards import passages
from hf_synthlabels.cards.card_data import DatasetFacts, SplitFacts
from hf_synthlabels.cards.markdown import Markdown, rendered
from hf_synthlabels.cards.metadata import dataset_metadata
from hf_synthlabels.cards.sampling_passage import sample_text, strata_table

PROMPT_FILE = "annotation/prompt.txt"
"""Where in the repository the whole system prompt stands."""

MAX_PROMPT = 6000
"""Characters of a prompt that a page shows."""


def dataset_card(facts: DatasetFacts) -> str:
    """The README.md of an annotated data set: metadata and text, of recorded facts alone; equal facts, equal text.

    Raises:
        ConfigError: a language is no code.
    """
    prompt = facts.prompt.system if facts.prompt is not None else ""
    body = rendered(
        "dataset.md",
        title=facts.repo.rpartition("/")[2],
        summary=facts.summary,
        columns=_columns(facts),
        splits=facts.splits,
        statuses=_statuses,
        load=_load(facts.repo),
        records=facts.records,
        returned=any(record.get("returned_models") for record in facts.records),
        prompt=prompt,
        prompt_shown=prompt if len(prompt) <= MAX_PROMPT else prompt[:MAX_PROMPT] + "\n[...]",
        prompt_cut=len(prompt) > MAX_PROMPT,
        prompt_length=len(prompt),
        prompt_file=Markdown(PROMPT_FILE),
        validations=facts.validations,
        human_rows=facts.human_rows,
        samples=[sample_text(sample) for sample in facts.samples],
        strata=[strata_table(sample) for sample in facts.samples],
        weak=[line for report in facts.validations for line in passages.limits(report)],
        licenses=facts.licenses,
        recipe_file=facts.recipe_file,
        again=f"hf-synthlabels pull {facts.repo} -o {_name(facts)}\n"
        f"hf-synthlabels annotate {_name(facts)}/{facts.recipe_file} -o again.parquet",
        made=passages.made_table,
        head=passages.score_heads,
        agreement=passages.agreement_table,
        classes=passages.class_table,
        confusion=passages.confusion_table,
        mistakes=passages.mistakes,
        breakdowns=passages.breakdowns,
    )
    return f"---\n{dataset_metadata(facts).to_yaml()}\n---\n\n{body}"


def _columns(facts: DatasetFacts) -> list[tuple[str, str]]:
    """The label columns with the kind of their labels."""
    kinds = {
        str(record["column"]): str(record.get("kind", "of a kind that was not recorded")) for record in facts.records
    }
    for split in facts.splits:
        for column in split.statuses:
            kinds.setdefault(column, "of a kind that was not recorded")
    return list(kinds.items())


def _statuses(split: SplitFacts, column: str) -> Markdown | str:
    counts: Mapping[str, int] = split.statuses.get(column, {})
    return ", ".join(f"{status} {count:,}" for status, count in counts.items()) or "–"


def _name(facts: DatasetFacts) -> str:
    return facts.repo.rpartition("/")[2]


def _load(repo: str) -> str:
    return (
        "from datasets import load_dataset\n\nimport hf_synthlabels\n\n"
        f'ds = load_dataset("{repo}")\n'
        "print(hf_synthlabels.provenance(ds))  # how the labels were made"
    )
