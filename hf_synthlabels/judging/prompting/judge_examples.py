"""Few-shot examples of a judge: rows with human scores, as the review exports them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.prompting.judge_prompt import Item, JudgeExample
from hf_synthlabels.judging.rubric import Rubric


def read_examples(
    files: Path | Mapping[str, Path],
    rubric: Rubric,
    columns: Sequence[str],
    item: Callable[[Mapping[str, Any]], Item],
    count: int | None = None,
) -> tuple[JudgeExample, ...]:
    """Read examples from JSON Lines files of `{"row": {...}, "label": ..., "reasoning": ...}`.

    Args:
        files: one file, in which the labels of several criteria are a mapping, or a file for each criterion, of which
            the rows with all labels are read.
        rubric: its verdicts are the labels.
        columns: the judged columns, which every row needs.
        item: makes the item of a row.
        count: number of examples; None for all.

    Raises:
        ConfigError: a file cannot be read, a line is not an example, or a label is not a verdict of the rubric.
    """
    if rubric.protocol != "pointwise":
        raise ConfigError(
            f"`examples` do not fit rubric {rubric.name!r}, which does not score one answer. Remove them."
        )
    if isinstance(files, Path):
        lines = list(_lines(files, columns))
    else:
        if set(files) != set(rubric.parts):
            raise ConfigError(
                f"`examples.file` has files for {sorted(files)}, but the criteria are {sorted(rubric.parts)}. Give one "
                "for each criterion."
            )
        lines = _joined({name: list(_lines(path, columns)) for name, path in files.items()})
    examples = [
        JudgeExample(item(row), _verdicts(rubric, label, row, columns), reasoning) for row, label, reasoning in lines
    ]
    if not examples:
        raise ConfigError(
            "`examples.file` has no row with a label for every criterion. Give at least one, or remove it."
        )
    return tuple(examples[:count])


def described_examples(examples: Sequence[JudgeExample]) -> list[dict[str, Any]]:
    """Examples for the provenance, without their texts."""
    return [{"row_hash": _row_hash(example.item), "verdicts": dict(example.verdicts)} for example in examples]


def _row_hash(item: Item) -> str:
    """Hash of the judged texts, 16 hexadecimal digits."""
    content = json.dumps([item.input.strip(), item.prediction.strip(), item.other.strip()])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


_Line = tuple[Mapping[str, Any], Any, str]
"""The row, label and reasoning of an example."""


def _lines(path: Path, columns: Sequence[str]) -> Iterator[_Line]:
    try:
        # Not splitlines(): a JSON text may hold line separators such as U+2028 as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"`examples.file` {str(path)!r} cannot be read: {reason}. Give a JSON Lines file.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"`examples.file` {path.name!r}, line {number}"
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict) or content.get("label") is None:
            raise ConfigError(f'{where}: expected {{"row": ..., "label": ...}}, got {line[:60]!r}.')
        row = content["row"] if isinstance(content.get("row"), dict) else content
        if missing := [column for column in columns if column not in row]:
            raise ConfigError(f"{where}: has no `{missing[0]}`, a judged column. Export it with the review.")
        yield row, content["label"], str(content.get("reasoning") or "")


def _joined(lines: Mapping[str, Sequence[_Line]]) -> list[_Line]:
    """The rows that are in the file of every criterion, with a label for each."""
    rows: dict[str, dict[str, _Line]] = {}
    for name, examples in lines.items():
        for row, label, reasoning in examples:
            key = json.dumps({column: row[column] for column in sorted(row) if column != "label"}, default=str)
            rows.setdefault(key, {})[name] = (row, label, reasoning)
    return [
        (
            next(iter(by_name.values()))[0],
            {name: label for name, (_, label, _) in by_name.items()},
            "\n".join(f"{name.replace('_', ' ')} – {text}" for name, (_, _, text) in by_name.items() if text),
        )
        for by_name in rows.values()
        if len(by_name) == len(lines)
    ]


def _verdicts(rubric: Rubric, label: Any, row: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, float | str]:
    if not rubric.criteria:
        return {rubric.verdict.name: _verdict(rubric, label, row, columns)}
    if not isinstance(label, Mapping) or set(label) != set(rubric.parts):
        raise ConfigError(
            f"`examples.file` has the label {label!r}, but rubric {rubric.name!r} has several criteria. Give a mapping "
            f"with {', '.join(rubric.parts)}, or one file for each."
        )
    return {name: _verdict(part, label[name], row, columns) for name, part in rubric.parts.items()}


def _verdict(rubric: Rubric, label: Any, row: Mapping[str, Any], columns: Sequence[str]) -> float | str:
    """A label as the judge writes it: a number, or a choice, also by its score."""
    try:
        number = None if isinstance(label, bool) else float(label)
    except (TypeError, ValueError):
        number = None
    if rubric.scale is not None and number is not None and rubric.holds(number):
        return int(number) if number.is_integer() else number
    if rubric.scale is None:
        for answer, score in rubric.answers.items():
            if str(label).strip().casefold() == answer.casefold() or number == score:
                return answer
    shown = str(row[columns[0]])[:40]
    raise ConfigError(
        f"`examples.file` has the label {label!r} for {shown!r}, which is not a verdict of {rubric.name!r}: "
        f"{', '.join(rubric.answers)}. Correct it."
    )
