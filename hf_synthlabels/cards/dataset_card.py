"""The card of an annotated dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import DatasetCard

from hf_synthlabels.cards import passages
from hf_synthlabels.cards.card_data import DatasetFacts, SplitFacts
from hf_synthlabels.cards.criteria_tables import criteria_definitions, judge_table, score_note, score_table
from hf_synthlabels.cards.markdown import Markdown, code, rendered, table
from hf_synthlabels.cards.metadata import CARD_TEMPLATE, dataset_metadata
from hf_synthlabels.cards.variable_tables import definition_table, variable_table

PROMPT_FILE = "annotation/prompt.txt"
"""Path of the complete system prompt in the repository."""

MAX_PROMPT = 6000
"""Maximum number of characters of a prompt on a page."""

DESIGNS = {
    "random": "by simple random sampling",
    "stratified": "by stratified random sampling, with {strata} as stratum",
    "confidence": "with higher probability where the LLM was less confident",
}


def dataset_card(facts: DatasetFacts) -> str:
    """Render the README.md of an annotated dataset from recorded facts."""
    prompt, name = facts.prompt, facts.repo.rpartition("/")[2]
    # Several splits are written into a folder.
    output = "again.parquet" if len(facts.splits) == 1 else "again"
    body = rendered(
        "dataset.md",
        facts=facts,
        passages=passages,
        title=name,
        columns=_columns(facts),
        statuses=_statuses,
        variables=variable_table(facts),
        definitions=[(each, definition_table(each)) for each in facts.variables],
        judges=[
            (
                column,
                judge_table(next(iter(records.values()))),
                score_table(records),
                score_note(records),
                list(criteria_definitions(records)),
            )
            for column, records in facts.judges.items()
        ],
        load=_load(facts.repo),
        returned=any(record.get("returned_models") for record in facts.records),
        recipe_hashes=_recipe_hashes(facts),
        prompt=prompt,
        prompt_shown=prompt if len(prompt) <= MAX_PROMPT else prompt[:MAX_PROMPT] + "\n[...]",
        prompt_cut=len(prompt) > MAX_PROMPT,
        prompt_file=Markdown(PROMPT_FILE),
        samples=[(sample_text(sample), strata_table(sample)) for sample in facts.samples],
        limitations=[line for report in facts.validations for line in passages.limitations(report)],
        reproduce=f"hf-synthlabels pull {facts.repo} -o {name}\n"
        f"hf-synthlabels annotate {name}/{facts.recipe_file} -o {output}",
    )
    return str(DatasetCard.from_template(dataset_metadata(facts), template_str=CARD_TEMPLATE, body=body))


def sample_text(sample: Mapping[str, Any]) -> Markdown:
    """Describe a sample of human-labeled rows: size, design, inclusion probabilities and seed."""
    design = str(sample.get("design", "not recorded"))
    columns = " and ".join(f"the value of {code(name)}" for name in sample.get("stratify") or ())
    method = DESIGNS.get(design, f"by the design {code(design)}").replace("{strata}", columns or "the LLM label")
    if sample.get("allocation") == "equal":
        method += " and equal allocation"
    sentences = [
        f"{_count(sample, 'drawn')} of {_count(sample, 'rows')} rows were sampled for human annotation {method}, "
        f"{_count(sample, 'new')} of them in the last draw (seed {_count(sample, 'seed')}).",
        f"The human labels are in {_human_columns(sample)}.",
    ]
    low, high = sample.get("least_probability"), sample.get("greatest_probability")
    if isinstance(low, int | float) and isinstance(high, int | float):
        column = code(sample.get("column", "inclusion_probability"))
        probabilities = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        weights = "" if low == high else " Estimates weight each row by its inverse inclusion probability."
        sentences.append(f"The inclusion probabilities are {probabilities}, stored in {column}.{weights}")
    return Markdown(" ".join(sentences))


def _human_columns(sample: Mapping[str, Any]) -> str:
    variables = sample.get("variables") or {}
    return ", ".join(map(code, variables.values())) or code(sample.get("human", "not recorded"))


def strata_table(sample: Mapping[str, Any]) -> Markdown | None:
    """Return the table of strata of a stratified sample; None for other designs."""
    rows = [
        (code(stratum.get("label", "?"), passages.MAX_NAME), _count(stratum, "rows"), _count(stratum, "drawn"))
        for stratum in sample.get("strata") or ()
        if isinstance(stratum, Mapping)
    ]
    return (
        table(("stratum" if sample.get("stratify") else "LLM label", "rows", "sampled"), rows, right=(1, 2))
        if rows
        else None
    )


def _count(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return f"{value:,}" if isinstance(value, int) else "(not recorded)"


def _recipe_hashes(facts: DatasetFacts) -> Markdown | None:
    hashes = dict.fromkeys(str(record["recipe_hash"]) for record in facts.records if record.get("recipe_hash"))
    return Markdown(", ".join(map(code, hashes))) if hashes else None


def _columns(facts: DatasetFacts) -> list[tuple[str, str]]:
    """Return the label columns with their kinds."""
    kinds = {str(record["column"]): str(record.get("kind", "kind not recorded")) for record in facts.records}
    for split in facts.splits:
        for column in split.statuses:
            kinds.setdefault(column, "kind not recorded")
    return list(kinds.items())


def _statuses(split: SplitFacts, column: str) -> str:
    counts: Mapping[str, int] = split.statuses.get(column, {})
    return ", ".join(f"{status} {count:,}" for status, count in counts.items()) or "–"


def _load(repo: str) -> str:
    return (
        "from datasets import load_dataset\n\nimport hf_synthlabels\n\n"
        f'ds = load_dataset("{repo}")\n'
        "print(hf_synthlabels.provenance(ds))  # provenance of the labels"
    )
