"""Few-shot examples of a judge: rows with human scores, marked in the judged table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging import Judge, JudgeFile, judge_to_files
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.review import AnnotationSession, DecisionStore, ReviewOptions, ReviewState, examples
from hf_synthlabels.review.annotation_session import Decision
from hf_synthlabels.review.disagreements import Disagreements
from hf_synthlabels.review.review_rows import review_rows
from tests.judging.test_criteria import CRITERIA

ROWS = [{"q": f"question {number}", "answer": f"answer {number}"} for number in range(4)]


def lines(*content: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in content)


def judge_file(folder: Path, examples: Any, **parts: Any) -> JudgeFile:
    (folder / "rows.jsonl").write_text(lines(*ROWS))
    content = {
        "name": "shown",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "rubric": "score_1_5",
        "columns": {"prediction": "answer", "input": "q"},
        "judge": {"client": "openai", "model": "tiny", "base_url": "http://127.0.0.1:9/v1", "api_key_env": None},
        "examples": examples,
    }
    return JudgeFile.from_dict({**content, **parts}, folder=folder)


def turns(client: ScriptedClient, place: int) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in client.requests[place].messages[1:]]


def test_examples_precede_the_item_and_are_marked(tmp_path: Path) -> None:
    shown = [{"row": ROWS[1], "label": 4.0, "reasoning": "Nearly."}, {"row": ROWS[3], "label": 2}]
    (tmp_path / "shown.jsonl").write_text(lines(*shown))
    file = judge_file(tmp_path, {"file": "shown.jsonl"})
    client = ScriptedClient(lambda _: "score: 3")
    (part,) = judge_to_files(file, tmp_path / "judged.jsonl", client=client)
    assert turns(client, 0) == [
        ("user", "<input>\nquestion 1\n</input>\n<answer>\nanswer 1\n</answer>"),
        ("assistant", "Nearly.\nscore: 4"),
        ("user", "<input>\nquestion 3\n</input>\n<answer>\nanswer 3\n</answer>"),
        ("assistant", "score: 2"),
        ("user", "<input>\nquestion 0\n</input>\n<answer>\nanswer 0\n</answer>"),
    ]
    # A row is not shown with its own verdict.
    assert [content for role, content in turns(client, 1) if role == "assistant"] == ["score: 2"]
    rows = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    assert [row["judge_example"] for row in rows] == [False, True, False, True]
    assert [each["verdicts"] for each in part.record["examples"]] == [{"score": 4}, {"score": 2}]
    assert file.fingerprint() != judge_file(tmp_path, {"file": "shown.jsonl", "count": 1}).fingerprint()
    assert len(judge_file(tmp_path, {"file": "shown.jsonl", "count": 1}).judge_examples) == 1


def test_examples_of_several_criteria_from_one_file_or_one_for_each(tmp_path: Path) -> None:
    rubric = {"name": "answers", "instructions": "Judge.", "criteria": CRITERIA}
    (tmp_path / "both.jsonl").write_text(lines({"row": ROWS[1], "label": {"accuracy": 4, "tone": "polite"}}))
    accuracy = [{"row": ROWS[1], "label": 4, "reasoning": "True."}, {"row": ROWS[2], "label": 1}]
    # The review exports the scores of the judged column, which are numbers.
    tone = [{"row": ROWS[1], "label": 2.0, "reasoning": "Kind."}]
    (tmp_path / "accuracy.jsonl").write_text(lines(*accuracy))
    (tmp_path / "tone.jsonl").write_text(lines(*tone))
    one = judge_file(tmp_path, {"file": "both.jsonl"}, rubric=rubric)
    each = judge_file(tmp_path, {"file": {"accuracy": "accuracy.jsonl", "tone": "tone.jsonl"}}, rubric=rubric)
    assert [example.verdicts for example in one.judge_examples] == [{"accuracy": 4, "tone": "polite"}]
    assert [example.verdicts for example in each.judge_examples] == [{"accuracy": 4, "tone": "polite"}]
    client = ScriptedClient(lambda _: "accuracy: 4")
    judge_to_files(each, client=client)
    assert turns(client, 0)[1] == ("assistant", "accuracy – True.\ntone – Kind.\naccuracy: 4\ntone: polite")
    repeated = next(request for request in client.requests if "Criterion accuracy" not in request.messages[0].content)
    assert repeated.messages[2].content.endswith("\ntone: polite")
    assert "accuracy: 4" not in repeated.messages[2].content


def test_examples_in_json(tmp_path: Path) -> None:
    (tmp_path / "shown.jsonl").write_text(lines({**ROWS[1], "label": 4}))
    file = judge_file(tmp_path, {"file": "shown.jsonl"})
    client = ScriptedClient(lambda _: "score: 3")
    Judge(file.read_rubric(), client, as_json=True, examples=file.judge_examples).judge(["a"])
    assert turns(client, 0)[1] == ("assistant", '{"score": 4}')


def test_adjudicated_rows_of_a_judged_table_are_examples(tmp_path: Path) -> None:
    scores = {"judge_score": [1.0, 2.0, 3.0, 4.0], "judge_status": ["scored"] * 4}
    judged = Dataset.from_dict({**{name: [row[name] for row in ROWS] for name in ROWS[0]}, **scores})
    schema = LabelSchema(kind="text-scale", scale=Scale(1, 5))
    options = ReviewOptions(show_columns=("q",), all_rows=True)
    rows = review_rows(judged, schema=schema, form=RowForm(("answer",)), llm="judge_score", options=options)
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "store.sqlite")), blind=False)
    for name, value in (("ann", 4), ("bob", 2)):
        session.decide(Decision(name, 1, rows.row(1).digest, value))
    page = Disagreements(session.state)
    page.decide("ann", 1, 4, "Nearly.")
    page.mark_example("ann", 1, chosen=True)
    (tmp_path / "shown.jsonl").write_text(lines(*examples(session.state)))
    (example,) = judge_file(tmp_path, {"file": "shown.jsonl"}).judge_examples
    assert (example.item.prediction, example.item.input) == ("answer 1", "question 1")
    assert (example.verdicts, example.reasoning) == ({"score": 4}, "Nearly.")


WRONG: list[tuple[Any, dict[str, Any]]] = [
    ({"row": ROWS[1]}, {}),
    ({"row": ROWS[1], "label": 9}, {}),
    ({"row": {"answer": "a"}, "label": 4}, {}),
    ({"row": ROWS[1], "label": 4}, {"rubric": {"name": "c", "instructions": "?", "criteria": CRITERIA}}),
    ({"row": ROWS[1], "label": {"tone": "rude"}}, {"rubric": {"name": "c", "instructions": "?", "criteria": CRITERIA}}),
    ("text", {}),
]


@pytest.mark.parametrize(("line", "parts"), WRONG)
def test_wrong_examples(line: Any, parts: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "shown.jsonl").write_text(lines(line))
    with pytest.raises(ConfigError, match=r"examples\.file"):
        _ = judge_file(tmp_path, {"file": "shown.jsonl"}, **parts).judge_examples


def test_missing_files_and_rubrics_without_examples(tmp_path: Path) -> None:
    (tmp_path / "shown.jsonl").write_text(lines({"row": {**ROWS[1], "other": "b"}, "label": "A"}))
    criteria = {"name": "c", "instructions": "?", "criteria": CRITERIA}
    for keys, parts in (
        ({"file": "none.jsonl"}, {}),
        ({"file": {"tone": "shown.jsonl"}}, {"rubric": criteria}),
        ({"file": "shown.jsonl"}, {"rubric": "preference", "columns": {"prediction": "answer", "other": "other"}}),
    ):
        with pytest.raises(ConfigError, match="examples"):
            _ = judge_file(tmp_path, keys, **parts).judge_examples
