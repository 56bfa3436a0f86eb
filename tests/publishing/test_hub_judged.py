"""A judged table on the Hub: its card lists the criteria with their scales, weights and means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from datasets import load_dataset

from hf_synthlabels import provenance
from hf_synthlabels.cards import CardFields
from hf_synthlabels.judging.judge_run import judge_to_files
from hf_synthlabels.publishing import AnnotatedData, dataset_upload
from tests.cards.test_cards import EVIL

CARD = CardFields(license="unknown", llm_terms="unknown")
RUBRIC: dict[str, Any] = {
    "name": "essays",
    "instructions": "Judge the text.",
    "criteria": {
        "accuracy": {
            "instructions": "Is it true?",
            "scale": {"low": 1, "high": 5},
            "anchors": {1: "wrong", 5: EVIL},
            "weight": 2,
        },
        "tone": {"instructions": "Is it polite?", "labels": ["rude", "polite"]},
    },
}
REPLIES = ["accuracy: 5\ntone: polite", "accuracy: 2\ntone: rude", "accuracy: 3\ntone: abstain"]


def published(folder: Path, rubric: dict[str, Any], replies: list[Any]) -> tuple[str, Path]:
    """The card of a judged table, and its Parquet file."""
    lines = [json.dumps({"text": f"text {row}", "reply": reply}) for row, reply in enumerate(replies)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    judge = {
        "name": "essays",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "rubric": rubric,
        "columns": {"prediction": "text"},
        "judge": {"client": "recorded", "column": "reply"},
    }
    (folder / "judge.yaml").write_text(yaml.safe_dump(judge, sort_keys=False))
    judge_to_files(folder / "judge.yaml", folder / "judged.parquet")
    (folder / "upload").mkdir()
    upload = dataset_upload(AnnotatedData.open(str(folder / "judged.parquet")), "user/x", folder / "upload", card=CARD)
    card, data = upload.files[0].content, upload.files[1].content
    assert isinstance(card, bytes)
    assert isinstance(data, Path)
    return card.decode(), data


def cells(card: str, column: str) -> list[str]:
    (line,) = [line for line in card.splitlines() if line.startswith(f"| `{column}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_card_lists_every_criterion_of_a_judge(tmp_path: Path) -> None:
    card, data = published(tmp_path, RUBRIC, REPLIES)
    assert cells(card, "judge_accuracy")[1:4] == ["1 to 5", "2", "`train`"]
    assert cells(card, "judge_tone")[1:3] == ["rude (0), polite (1)", "1"]
    # By hand: the means of 5, 2, 3 and of 1, 0; the overall scores are (2 + 1) / 3 and 2 / 3 * 1 / 4.
    means = {name: cells(card, f"judge_{name}")[4].split()[0] for name in ("accuracy", "tone", "score")}
    assert means == {"accuracy": "3.333", "tone": "0.500", "score": "0.583"}
    assert [cells(card, f"judge_{name}")[5:] for name in ("accuracy", "tone")] == [["3", "3"], ["2", "3"]]
    assert "Is it true?" in card
    assert "<script" not in card.partition("\n---\n\n# x\n")[2]
    assert "The provenance of the labels was not recorded" not in card
    # The provenance comes back with the data.
    (tmp_path / "repository" / "data").mkdir(parents=True)
    (tmp_path / "repository" / "README.md").write_text(card)
    data.rename(tmp_path / "repository" / "data" / data.name)
    (entry,) = provenance(load_dataset(str(tmp_path / "repository"), split="train"))
    assert entry["criteria"]["accuracy"]["weight"] == 2


def test_card_of_a_rubric_with_one_score_has_one_line(tmp_path: Path) -> None:
    rubric = {"name": "quality", "instructions": "Judge the text.", "scale": {"low": 1, "high": 5}}
    card, _ = published(tmp_path, rubric, ["score: 4", "score: 2"])
    assert cells(card, "judge_score")[4].split()[0] == "3.000"
    assert "weighted mean" not in card
