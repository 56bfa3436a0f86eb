"""A codebook on the Hub: its card describes every variable, with agreement, condition and cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from hf_synthlabels import annotate
from hf_synthlabels.annotation import Codebook
from hf_synthlabels.cards import CardFields
from hf_synthlabels.clients import Completion, Request, ScriptedClient, Usage
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.publishing import AnnotatedData, dataset_upload, push
from tests.publishing.hub_server import HubServer

CARD = CardFields(license="cc-by-4.0", llm_terms="unknown")
RECIPE: dict[str, Any] = {
    "name": "news",
    "source": {"path": "json"},
    "task": {
        "variables": {
            "relevant": {
                "kind": "text-classification",
                "labels": {"yes": "It is about trade.", "no": None},
                "instructions": "Is it relevant?",
            },
            "topic": {
                "kind": "text-classification",
                "labels": ["tariffs", "ports"],
                "human": "topic_gold",
                "ask_if": {"variable": "relevant", "is": ["yes"]},
            },
            "tone": {"kind": "text-scale", "scale": {"low": 1, "high": 5}},
        }
    },
    "annotator": {
        "client": "openai",
        "model": "tiny",
        "response_format": "json_schema",
        "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1},
    },
}


@pytest.fixture
def coded() -> Dataset:
    def answer(request: Request) -> Completion:
        relevant = "no" if "text 1" in request.text else "yes"
        text = json.dumps({"relevant": relevant, "topic": "ports" if relevant == "yes" else None, "tone": 3})
        return Completion(request.key, text, usage=Usage(1000, 100))

    rows = [
        {
            "text": f"text {row}",
            "relevant_human": "no" if row == 1 else "yes",
            "topic_gold": None if row == 1 else "ports",
        }
        for row in range(6)
    ]
    return annotate(rows, RECIPE, client=ScriptedClient(answer))


def test_gates_by_variable_are_adjusted_as_in_validate(coded: Dataset, tmp_path: Path) -> None:
    data = AnnotatedData({"train": coded}, Codebook.from_dict(RECIPE))
    gates = ["relevant: accuracy>=0.3", "topic: accuracy>=0.9"]
    upload = dataset_upload(data, "user/news", tmp_path, card=CARD, gates=gates)
    files = {file.path: file.content for file in upload.files}
    family = json.loads(files["validation/gates.json"])  # type: ignore[arg-type]
    # Of two gates the first is judged by its 97.5% interval: 6 of 6 correct have the Wilson limit 6 / (6 + z²).
    first, second = family["gates"]
    assert (first["variable"], first["verdict"]) == ("relevant", "pass")
    assert first["interval"]["low"] == pytest.approx(6 / (6 + 2.2414027**2))
    assert (second["variable"], second["verdict"]) == ("topic", "too_few_human_labels")
    assert family["verdict"] == "too_few_human_labels"
    card = files["README.md"]
    assert isinstance(card, bytes)
    assert b"- relevant: accuracy >= 0.3: pass" in card
    assert b"Holm" in card
    # One gate of a codebook names its variable, too.
    for wrong, named in (("accuracy>=0.5", "relevant"), ("tone: mae<=1", "tone"), ("mood: mae<=1", "mood")):
        with pytest.raises(ConfigError, match=named):
            dataset_upload(data, "user/news", tmp_path, card=CARD, gates=[wrong])
    single = dataset_upload(data, "user/news", tmp_path, card=CARD, gates=["topic: accuracy>=0.3"], llm="topic")
    report = json.loads(next(file.content for file in single.files if file.path == "validation/0.json"))  # type: ignore[arg-type]
    assert (report["n_human"], report["gate"]["verdict"]) == (5, "pass")


def test_card_lists_every_variable(hub: HubServer, coded: Dataset, tmp_path: Path) -> None:
    data = AnnotatedData({"train": coded}, Codebook.from_dict(RECIPE))
    push(dataset_upload(data, "user/news", tmp_path, card=CARD))
    files = hub.repository("user/news").head.files
    card = files["README.md"].decode()
    lines = [line for line in card.splitlines() if line.startswith("| `")]
    rows = {line.split("`")[1]: line for line in reversed(lines)}
    assert "macro F1 1.000" in rows["relevant"]
    assert "(n = 5)" in rows["topic"]
    assert "relevant: yes" in rows["topic"]
    assert "not validated" in rows["tone"]
    assert all("33%" in rows[name] for name in ("relevant", "topic", "tone"))
    assert "Is it relevant?" in card
    assert "It is about trade." in card
    # The prompt is that of the joint request, and the recipe can be read again.
    assert b"Is it relevant?" in files["annotation/prompt.txt"]
    assert b"tone" in files["annotation/prompt.txt"]
    assert {"validation/0.json", "validation/1.json"} <= set(files)
    again = Codebook.from_dict(yaml.safe_load(files["annotation/recipe.yaml"]))
    assert again.fingerprint() == Codebook.from_dict(RECIPE).fingerprint()
