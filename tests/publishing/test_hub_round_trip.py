"""There and back: what a program of its own loads from the Hub is what was published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import DatasetDict, load_dataset
from huggingface_hub import EvalResultEntry, ModelCard

import hf_synthlabels
from hf_synthlabels.annotation import Recipe
from hf_synthlabels.annotation.trust.downloaded import MANIFEST
from hf_synthlabels.cards import CardFields
from hf_synthlabels.errors import ConfigError, DataError, HubError, UntrustedRecipeError
from hf_synthlabels.publishing import (
    AnnotatedData,
    HubUpload,
    dataset_upload,
    metric_upload,
    model_upload,
    pull,
    push,
    push_student,
)
from hf_synthlabels.publishing.hub.upload import HubFile
from hf_synthlabels.tables import read_table
from hf_synthlabels.training import Student, StudentConfig, train_student
from tests.publishing.conftest import RECIPE, TOKEN
from tests.publishing.hub_server import HubServer

CARD = CardFields(license="mit", llm_terms="unknown")


def loaded(code: str, hub: HubServer, folder: Path, token: str = TOKEN) -> Any:
    """What a program prints as JSON that knows nothing but the Hub's address and a token."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))},
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": token,
        "HF_HOME": str(folder / "hf-home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    assert token not in run.stdout + run.stderr
    return json.loads(run.stdout.strip().splitlines()[-1])


LOAD_DATASET = """
import json
from datasets import load_dataset
import hf_synthlabels
ds = load_dataset("user/tickets")
streamed = load_dataset("user/tickets", split="test", streaming=True)
print(json.dumps({
    "splits": {name: {"features": rows.features.to_dict(), "rows": rows.to_dict()} for name, rows in ds.items()},
    "provenance": hf_synthlabels.provenance(ds),
    "streamed": hf_synthlabels.provenance(streamed),
    "first": list(streamed)[0]["llm_label_status"],
}))
"""


def test_data_set_loads_back_with_features_statuses_and_provenance(
    hub: HubServer, tickets: DatasetDict, tmp_path: Path
) -> None:
    push(dataset_upload(AnnotatedData(tickets, Recipe.from_dict(RECIPE)), "user/tickets", tmp_path, card=CARD))
    found = loaded(LOAD_DATASET, hub, tmp_path)
    assert set(found["splits"]) == {"train", "test"}
    for name, rows in tickets.items():
        assert found["splits"][name]["features"] == json.loads(json.dumps(rows.features.to_dict()))
        assert found["splits"][name]["rows"] == rows.to_dict()
    assert found["provenance"] == hf_synthlabels.provenance(tickets)
    assert found["streamed"] == found["provenance"]
    assert found["first"] == tickets["test"]["llm_label_status"][0]


def test_pulled_data_set_is_read_with_its_provenance(hub: HubServer, tickets: DatasetDict, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    done = push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path / "made", card=CARD))
    got = pull("user/tickets", tmp_path / "got")
    assert (got.repo_type, got.kind, got.revision) == ("dataset", "dataset", done.revision)
    back = read_table(tmp_path / "got")
    assert hf_synthlabels.provenance(back) == hf_synthlabels.provenance(tickets)
    for name, rows in tickets.items():
        assert back[name].features == rows.features
        assert back[name].to_dict() == rows.to_dict()
    # Each split's own, which differ in their counts.
    own = json.loads((tmp_path / "got" / "annotation" / "provenance.json").read_text())
    assert own == {name: hf_synthlabels.provenance(rows) for name, rows in tickets.items()}


def test_pulled_recipe_is_not_trusted(hub: HubServer, tickets: DatasetDict, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path / "made", card=CARD))
    pull("user/tickets", tmp_path / "got")
    task = {"kind": "text-classification", "instructions": "?", "labels": ["a", "b"]}
    source = {"path": "json", "data_files": "rows.jsonl"}
    annotator = {"client": "openai", "model": "m", "base_url": "https://evil.example/v1", "api_key_env": None}
    evil = tmp_path / "got" / "annotation" / "recipe.yaml"
    evil.parent.mkdir(exist_ok=True)
    evil.write_text(yaml.safe_dump({"name": "t", "source": source, "task": task, "annotator": annotator}))
    with pytest.raises(UntrustedRecipeError, match=r"evil\.example"):
        Recipe.from_yaml(evil)


def test_old_revision_is_pulled_as_it_was(hub: HubServer, tmp_path: Path) -> None:
    first = push(HubUpload("user/a", "dataset", (HubFile("x", b"1"),)))
    push(HubUpload("user/a", "dataset", (HubFile("y", b"2"),)))
    pull("user/a", tmp_path / "old", revision=first.revision)
    assert (tmp_path / "old" / "x").read_bytes() == b"1"
    assert not (tmp_path / "old" / "y").exists()
    with pytest.raises(HubError, match="`user/a` has no revision 'v2'"):
        pull("user/a", tmp_path / "none", revision="v2")


def test_newer_revision_leaves_nothing_of_the_older_one(hub: HubServer, tmp_path: Path) -> None:
    push(HubUpload("user/a", "dataset", tuple(HubFile(f"data/train-{number}", b"1") for number in (1, 2, 3))))
    pull("user/a", tmp_path)
    (tmp_path / "data" / "train-3").write_bytes(b"my own")
    (tmp_path / "notes").write_bytes(b"mine")
    push(HubUpload("user/a", "dataset", (HubFile("data/train-1", b"2"),)))
    pull("user/a", tmp_path)
    assert (tmp_path / "data" / "train-1").read_bytes() == b"2"
    # What was changed here is left alone.
    assert {path.name for path in tmp_path.rglob("*") if path.is_file() and ".cache" not in path.parts} == {
        ".gitattributes",
        "train-1",
        "train-3",
        "notes",
        MANIFEST,
        ".hf_synthlabels_pulled",
    }


def test_file_that_is_missing_in_a_pulled_set_is_told(hub: HubServer, tickets: DatasetDict, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path / "made", card=CARD))
    there = hub.repository("user/tickets")
    files = dict(there.head.files)
    del files["data/test-00000-of-00001.parquet"]
    there.commit(files, "by hand")
    with pytest.raises(HubError, match=r"differs from what was published: data/test-00000\S+ is missing"):
        pull("user/tickets", tmp_path / "got")
    there.commit({**files, "data/test-00000-of-00001.parquet": b"PAR1"}, "by hand")
    with pytest.raises(HubError, match=r"data/test-00000-of-00001\.parquet was changed"):
        pull("user/tickets", tmp_path / "got")


def test_pull_goes_on_where_it_was_cut(hub: HubServer, no_waiting: list[float], tmp_path: Path) -> None:
    push(HubUpload("user/a", "dataset", tuple(HubFile(name, name.encode() * 9) for name in ("a", "b", "c"))))
    hub.fail("GET", "/resolve/.*/c$", cut="before", times=99)
    with pytest.raises(HubError, match=r"`user/a` cannot be downloaded: .*Run it again"):
        pull("user/a", tmp_path / "got")
    hub.faults.clear()
    hub.requests.clear()
    assert pull("user/a", tmp_path / "got").files == 3
    assert hub.count("GET", "/resolve/.*/a$") == 0


def test_manifest_can_not_point_out_of_the_folder(hub: HubServer, tmp_path: Path) -> None:
    push(HubUpload("user/a", "dataset", (HubFile("x", b"1"),)))
    there = hub.repository("user/a")
    listed = json.loads(there.head.files[MANIFEST])
    listed["files"]["../outside"] = {"size": 1, "sha256": "0"}
    there.commit({**there.head.files, MANIFEST: json.dumps(listed).encode()}, "by hand")
    with pytest.raises(HubError, match=r"\.\./outside is outside"):
        pull("user/a", tmp_path / "got")


def test_what_another_program_published_is_fetched_and_said_to_be_unchecked(hub: HubServer, tmp_path: Path) -> None:
    hub.create("user/theirs").commit({"README.md": b"theirs"}, "theirs")
    assert pull("user/theirs", tmp_path / "got").kind is None
    assert (tmp_path / "got" / "README.md").read_bytes() == b"theirs"


def test_name_of_several_or_of_none(hub: HubServer, tmp_path: Path) -> None:
    hub.create("user/a")
    hub.create("user/a", "model")
    with pytest.raises(ConfigError, match="is ambiguous: dataset, model"):
        pull("user/a", tmp_path / "got")
    assert pull("user/a", tmp_path / "got", repo_type="model").repo_type == "model"
    with pytest.raises(HubError, match="no data set, model or space has this name"):
        pull("user/b", tmp_path / "got")


@pytest.fixture(scope="module")
def student(encoder: str, toy: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Student:
    config = StudentConfig(
        model=encoder, output_dir=str(tmp_path_factory.mktemp("out")), max_length=32, max_steps=3, learning_rate=1e-3
    )
    return train_student(config, toy(24), names=["film", "sport"], eval=toy(12, seed=1))


LOAD_MODELS = """
import json
import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer

found = {}
loaders = {"user/lora": AutoPeftModelForSequenceClassification, "user/student": AutoModelForSequenceClassification}
for name, loader in loaders.items():
    model = loader.from_pretrained(name, num_labels=2).eval()
    tokenizer = AutoTokenizer.from_pretrained(name)
    with torch.no_grad():
        found[name] = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.softmax(-1).tolist()
print(json.dumps({**found, "names": model.config.id2label}))
"""


def test_student_is_one_commit_with_card_and_scores(
    hub: HubServer, student: Student, toy: Callable[..., Any], tmp_path: Path
) -> None:
    rows = toy(40, seed=2)
    predicted = rows.add_column("own", [student.names[code] for code in student.predict(rows).codes])
    report = hf_synthlabels.validate(predicted, human="label", llm="own", resamples=200)
    card_fields = replace(
        CARD, base_model="user/base", dataset="user/tickets", language=("en",), widget=("a <b> match",)
    )
    done = push_student(student, "user/student", card=card_fields, folder=tmp_path / "saved", validation=report)
    assert done is not None
    assert [commit.sha for commit in hub.repository("user/student", "model").commits][1:] == [done.revision]
    files = hub.repository("user/student", "model").head.files
    # As the client reads it back.
    card = ModelCard(files["README.md"].decode()).data.to_dict()
    (entry,) = card["model-index"]
    assert entry["results"][0]["metrics"][0]["value"] == round(report.accuracy.estimate, 6)
    assert card["base_model"] == "user/base"
    assert card["widget"] == [{"text": "a <b> match"}]
    (first, *_) = yaml.safe_load(files[".eval_results/hf_synthlabels.yaml"])
    EvalResultEntry(dataset_id=first["dataset"]["id"], task_id=first["dataset"]["task_id"], value=first["value"])
    assert first["dataset"] == {"id": "user/tickets", "task_id": "accuracy"}
    facts = json.loads(files["student.json"])
    assert facts["metrics"]["eval_rows"] == 12
    # Of a folder its name alone: it says nothing of this machine.
    assert "/" not in facts["base_model"]
    assert not [path for path, data in files.items() if str(tmp_path).encode() in data]


def test_full_model_and_adapters_load_back_and_say_the_same(
    hub: HubServer, student: Student, encoder: str, toy: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    config = StudentConfig(
        model=encoder, output_dir=str(tmp_path / "out"), max_length=32, max_steps=3, learning_rate=1e-2, lora_r=4
    )
    adapted = train_student(config, toy(24), names=["film", "sport"])
    folder = tmp_path / "saved"
    with pytest.raises(DataError, match=r"is an adapter of a local folder.*--base-model"):
        push_student(adapted, "user/lora", card=CARD, folder=folder)
    base = hub.create("user/encoder", "model")
    base.commit({path.name: path.read_bytes() for path in Path(encoder).iterdir()}, "base")
    card_fields = replace(CARD, base_model="user/encoder")
    push_student(adapted, "user/lora", card=card_fields, folder=folder)
    push_student(student, "user/student", card=card_fields, folder=tmp_path / "full")
    files = hub.repository("user/lora", "model").head.files
    card = ModelCard(files["README.md"].decode()).data.to_dict()
    assert (card["library_name"], card["base_model"], card["base_model_relation"]) == (
        "peft",
        "user/encoder",
        "adapter",
    )
    assert not [path for path, data in files.items() if encoder.encode() in data]
    rows = toy(5, seed=3)
    found = loaded(f"texts = {list(rows['text'])!r}\n{LOAD_MODELS}", hub, tmp_path)
    np.testing.assert_allclose(found["user/lora"], adapted.predict(rows).probabilities, atol=1e-5)
    np.testing.assert_allclose(found["user/student"], student.predict(rows).probabilities, atol=1e-5)
    assert found["names"] == {"0": "film", "1": "sport"}


def test_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        model_upload(tmp_path / "none", "user/m", card=CARD)
    with pytest.raises(DataError, match=r"has no config\.json"):
        model_upload(tmp_path, "user/m", card=CARD)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match="has no weights"):
        model_upload(tmp_path, "user/m", card=CARD)
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json that cannot be read"):
        model_upload(tmp_path, "user/m", card=CARD)


def test_kind_of_a_student_is_read_of_its_configuration(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"architectures": ["BertForSequenceClassification"]}, "text-classification"),
        ({"architectures": ["BertForTokenClassification"]}, "token-classification"),
        ({"problem_type": "multi_label_classification"}, "multi-label"),
        ({"problem_type": "regression"}, "text-scale"),
        # An ordinal scale asks of each step whether it is reached.
        ({"problem_type": "multi_label_classification", "id2label": {"0": ">=2", "1": ">=3"}}, "text-scale"),
        ({"architectures": ["BertForQuestionAnswering"]}, "question-answering"),
        ({"architectures": ["LlamaForCausalLM"]}, "text-generation"),
        # What was trained is known; the configuration alone may mislead.
        ({"architectures": ["BertForSequenceClassification"], "task": "text-scale"}, "text-scale"),
    ]
    for config, kind in cases:
        (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b"}, **config}))
        (tmp_path / "model.safetensors").write_bytes(b"0")
        if task := config.get("task"):
            (tmp_path / "student.json").write_text(json.dumps({"task": task, "names": [], "scale": [1, 5]}))
        upload = model_upload(tmp_path, "user/m", card=CARD)
        (card,) = (file.content for file in upload.files if file.path == "README.md")
        assert isinstance(card, bytes)
        own = ("token-classification", "question-answering", "text-generation")
        wanted = kind if kind in own else "text-classification"
        assert ModelCard(card.decode()).data.to_dict()["pipeline_tag"] == wanted
        assert (b"| 1 | `b` |" in card) == (kind not in ("text-scale", "question-answering", "text-generation"))
        if kind not in ("text-classification", "token-classification"):
            assert b"pipeline(" not in card


LOAD_METRIC = """
import json
import evaluate
metric = evaluate.load("user/label_agreement", "strings")
scores = metric.compute(predictions=["a", "b", None, "b"], references=["a", "b", "a", "b"])
print(json.dumps({"accuracy": scores["accuracy"], "coverage": scores["coverage"]}))
"""


@pytest.mark.slow
def test_metric_loads_back_as_a_gradio_space(hub: HubServer, tmp_path: Path) -> None:
    upload = metric_upload(Path(hf_synthlabels.metric_path("label_agreement")), "user/label_agreement")
    # A private one is found, too, since `evaluate` sends the token.
    push(upload)
    assert hub.repository("user/label_agreement", "space").sdk == "gradio"
    # Three of four are right, and one has no label.
    assert loaded(LOAD_METRIC, hub, tmp_path) == {"accuracy": 0.75, "coverage": 0.75}
    pull("user/label_agreement", tmp_path / "label_agreement")
    assert (tmp_path / "label_agreement" / "label_agreement.py").is_file()


def test_every_metric_of_the_package_can_be_published(hub: HubServer) -> None:
    for name in ["bleu_accuracy", "label_agreement", "llm_judge", "metric_audit"]:
        done = push(metric_upload(Path(hf_synthlabels.metric_path(name)), f"user/{name}"))
        assert {f"{name}.py", "app.py", "README.md"} <= set(hub.repository(f"user/{name}", "space").head.files)
        assert done.private


def test_metric_whose_space_has_another_name_is_told(tmp_path: Path) -> None:
    folder = Path(hf_synthlabels.metric_path("llm_judge"))
    with pytest.raises(DataError, match="end it in /llm_judge"):
        metric_upload(folder, "user/judge")
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match=r"has no mine\.py"):
        metric_upload(tmp_path / "mine", "user/mine")


def test_plain_load_dataset_of_a_pulled_folder_restores_the_provenance(
    hub: HubServer, tickets: DatasetDict, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path / "made", card=CARD))
    pull("user/tickets", tmp_path / "got")
    assert hf_synthlabels.provenance(load_dataset(str(tmp_path / "got"))) == hf_synthlabels.provenance(tickets)
