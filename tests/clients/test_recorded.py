from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, RecordedClient, Request
from hf_synthlabels.errors import ClientError, ConfigError

NAMES = ["bad", "good"]


def replay(client: RecordedClient, *rows: dict[str, Any], num_samples: int = 1) -> list[Completion]:
    requests = [
        Request(number * num_samples + draw, (), draw, row=row)
        for number, row in enumerate(rows)
        for draw in range(num_samples)
    ]
    return list(client.complete(requests))


def not_asked(completion: Completion) -> bool:
    return completion.failure is not None and completion.failure.kind == "skipped"


def write(folder: Path, *records: Any) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_column_of_texts() -> None:
    completions = replay(
        RecordedClient(column="annotator"),
        {"annotator": "good"},
        {"annotator": "I think it is bad."},
        {"annotator": None},
    )
    assert completions[:2] == [Completion(0, text="good"), Completion(1, text="I think it is bad.")]
    assert not_asked(completions[2])


def test_a_column_of_other_values_becomes_json(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        ({"label": "größer"}, '{"label": "größer"}'),
        (3, "3"),
        (0.5, "0.5"),
        ("", ""),
    ]
    for value, text in cases:
        with subtests.test(value=value, text=text):
            assert replay(RecordedClient(column="annotator"), {"annotator": value}) == [Completion(0, text=text)]


def test_a_column_of_codes_becomes_names() -> None:
    client = RecordedClient(column="annotator", names=NAMES)
    texts = [completion.text for completion in replay(client, *({"annotator": code} for code in (1, 0, 1)))]
    assert texts == ["good", "bad", "good"]


def test_a_code_that_stands_for_no_name_was_not_asked(subtests: pytest.Subtests) -> None:
    cases: list[int | None] = [None, -1, -2, 2]
    for code in cases:
        with subtests.test(code=code):
            (completion,) = replay(RecordedClient(column="annotator", names=NAMES), {"annotator": code})
            assert not_asked(completion)


def test_a_column_of_lists_holds_the_draws() -> None:
    client = RecordedClient(column="annotator")
    completions = replay(client, {"annotator": ["good", None, "bad"]}, num_samples=3)
    assert [completion.text for completion in completions] == ["good", "", "bad"]
    assert [not_asked(completion) for completion in completions] == [False, True, False]


def test_a_column_of_lists_of_codes() -> None:
    client = RecordedClient(column="annotator", names=NAMES)
    assert [completion.text for completion in replay(client, {"annotator": [1, 0, -1]}, num_samples=3)] == [
        "good",
        "bad",
        "",
    ]


def test_a_column_with_one_answer_has_no_second_draw() -> None:
    first, second = replay(RecordedClient(column="annotator"), {"annotator": "good"}, num_samples=2)
    assert first == Completion(0, text="good")
    assert second.failure is not None
    assert second.failure.kind == "missing"
    assert "column 'annotator' has no answer number 2" in second.failure.message


def test_a_file_is_looked_up_by_the_key_of_the_row(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "b", "answer": "bad"}, {"id": "a", "answer": "good"}, {"id": "c", "answer": None})
    client = RecordedClient(file=path, key="id")
    completions = replay(client, {"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "a"})
    assert [completion.text for completion in completions] == ["good", "bad", "", "good"]
    assert not_asked(completions[2])


def test_a_number_as_key_may_be_written_as_text(tmp_path: Path) -> None:
    client = RecordedClient(file=write(tmp_path, {"id": "7", "answer": "bad"}), key="id")
    assert replay(client, {"id": 7}) == [Completion(0, text="bad")]


def test_a_field_of_another_name_and_an_answer_that_is_an_object(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": 1, "said": {"label": "good"}})
    client = RecordedClient(file=str(path), key="id", answer="said")
    assert replay(client, {"id": 1}) == [Completion(0, text='{"label": "good"}')]


def test_several_answers_to_a_key_are_its_draws(tmp_path: Path) -> None:
    path = write(tmp_path, *({"id": name, "answer": text} for name, text in [("a", "x"), ("b", "y"), ("a", "z")]))
    completions = replay(RecordedClient(file=path, key="id"), {"id": "a"}, {"id": "b"}, num_samples=2)
    assert [completion.text for completion in completions] == ["x", "z", "y", ""]
    assert completions[3].failure is not None
    assert completions[3].failure.kind == "missing"


def test_a_row_that_the_file_does_not_know_was_not_asked(tmp_path: Path) -> None:
    client = RecordedClient(file=write(tmp_path, {"id": "a", "answer": "good"}), key="id")
    unknown, no_id = replay(client, {"id": "z"}, {"text": "a"})
    assert not_asked(unknown)
    assert not_asked(no_id)


def test_a_text_may_hold_any_line_separator_and_the_file_a_mark_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    text = "one\u2028two\u2029three\x85four"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"id": 1, "answer": text}, ensure_ascii=False).encode() + b"\r\n\n\n")
    assert replay(RecordedClient(file=path, key="id"), {"id": 1}) == [Completion(0, text=text)]


def test_a_line_that_does_not_fit_is_shown(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("not json", "'not json'"),
        ('{"id": 2}', "'{\"id\": 2}'"),
        ('{"answer": "good"}', '\'{"answer": "good"}\''),
        ("[1, 2]", r"'\[1, 2\]'"),
        ("null", "'null'"),
    ]
    for number, (line, shown) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(line=line, shown=shown):
            path = folder / "answers.jsonl"
            path.write_text('{"id": 1, "answer": "good"}\n\n' + line + "\n", encoding="utf-8")
            wanted = rf"^`file` 'answers.jsonl', line 3: expected a JSON object with 'id' and 'answer', got {shown}\.$"
            with pytest.raises(ClientError, match=wanted):
                RecordedClient(file=path, key="id")


def test_a_file_that_is_not_there_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"`file` .*nowhere.* cannot be read: No such file or directory\.$"):
        RecordedClient(file=tmp_path / "nowhere.jsonl", key="id")
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"id": 1, "answer": "gr\xf6\xdfer"}\n')
    with pytest.raises(ClientError, match=r"`file` .*latin.* is not UTF-8"):
        RecordedClient(file=path, key="id")


def test_options_that_do_not_fit(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, r"`column` or `file`"),
        ({"column": "annotator", "file": "answers.jsonl"}, r"`column` or `file`"),
        ({"file": "answers.jsonl"}, r"`key` is missing"),
    ]
    for options, match in cases:
        with subtests.test(options=options, match=match), pytest.raises(ConfigError, match=match):
            RecordedClient(**options)


def test_the_identity_says_where_the_answers_come_from(tmp_path: Path) -> None:
    assert RecordedClient(column="annotator").identity == {"client": "recorded", "column": "annotator"}
    client = RecordedClient(file=write(tmp_path), key="id")
    assert client.identity == {"client": "recorded", "file": "answers.jsonl", "key": "id"}
