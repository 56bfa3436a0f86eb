"""RecordedClient: answers that were made before, in a column or in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Request
from hf_synthlabels.errors import ClientError, ConfigError

__all__ = ["RecordedClient"]


class RecordedClient:
    """Replays recorded answers, raw or parsed, through the same parser as live ones.

    A recorded null is an answer with nothing in it, so it becomes `unparsed`; a row that the file does not know
    becomes `failed`.

    Args:
        column: the column of the row that holds its answer.
        file: a JSON Lines file of `{key: ..., answer: ...}`, instead of a column; several answers to one key are
            its draws, in the order of the file.
        key: the name of the row id, in the file and in the row.
        answer: the field of the file that holds the answer.
        names: label names, when the column holds the codes of a `ClassLabel`.

    Raises:
        ConfigError: neither or both of `column` and `file`, or `file` without `key`.
        ClientError: the file is not there, or a line of it is not a JSON object with both fields.
    """

    def __init__(
        self,
        *,
        column: str | None = None,
        file: str | Path | None = None,
        key: str | None = None,
        answer: str = "answer",
        names: Sequence[str] | None = None,
    ) -> None:
        if (column is None) == (file is None):
            raise ConfigError(
                f"`teacher` of client 'recorded' needs `column` or `file`, not both; they are {column!r}, {file!r}."
            )
        if file is not None and key is None:
            raise ConfigError("`teacher.key` is missing. Name the column that identifies a row in `teacher.file`.")
        self._column = column
        self._key = key
        self._names = names
        self._file = None if file is None else Path(file)
        self._answers = {} if file is None else _read_answers(Path(file), str(key), answer)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the answers come from."""
        if self._file is None:
            return {"client": "recorded", "column": self._column}
        return {"client": "recorded", "file": self._file.name, "key": self._key}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The recorded answer of each request's row, in order."""
        for request in requests:
            yield self._from_column(request) if self._column else self._from_file(request)

    def _from_column(self, request: Request) -> Completion:
        value = request.row.get(str(self._column))
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[request.draw] if request.draw < len(value) else None
        elif request.draw > 0:
            return _missing(request, f"column {self._column!r} holds one answer, `draws` asks for more")
        if self._names is not None and isinstance(value, int):
            # The code -1 is how a `ClassLabel` column says that there is no label.
            value = self._names[value] if 0 <= value < len(self._names) else None
        return Completion(request.key, text=_text(value))

    def _from_file(self, request: Request) -> Completion:
        answers = self._answers.get(str(request.row.get(str(self._key))), [])
        if request.draw >= len(answers):
            row_id = request.row.get(str(self._key))
            return _missing(request, f"no answer number {request.draw + 1} for {self._key} {row_id!r}")
        return Completion(request.key, text=_text(answers[request.draw]))


def _missing(request: Request, message: str) -> Completion:
    return Completion(request.key, failure=Failure("missing", message))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_answers(path: Path, key: str, field: str) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = {}
    try:
        # Not splitlines(): a JSON text may hold line separators such as U+2028 as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ClientError(f"`teacher.file` {str(path)!r} can not be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"`teacher.file` {str(path)!r} is not UTF-8: {error.reason}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            answers.setdefault(str(record[key]), []).append(record[field])
        except (ValueError, TypeError, KeyError):
            raise ClientError(
                f"`teacher.file` {path.name!r}, line {number}: expected a JSON object with {key!r} and {field!r}, "
                f"got {line[:80]!r}."
            ) from None
    return answers
