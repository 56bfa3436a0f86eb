"""RecordedClient: replays answers from a column or a file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Request
from hf_synthlabels.errors import ClientError, ConfigError, DataError
from hf_synthlabels.labels import STATUSES

NOT_RECORDED = "no answer is recorded for the row"

REJECTED = object()
"""Marks an answer to a prompt that the server's content filter rejected."""


class RecordedClient:
    """Replays recorded answers, raw or parsed, through the same parser as live ones.

    A row with a null, or without a line in the file, was never answered: its status is `skipped`.

    Args:
        column: column with the answers.
        file: JSON Lines file of `{key: ..., answer: ...}`, instead of a column; several answers with one key are its
            samples, in the order of the file.
        key: name of the row ID, in the file and in the rows.
        answer: field of the file with the answers.
        names: label names, if the column has the codes of a `ClassLabel`.
        answers: answers that each row needs; more are an error. None does not check.
        list_labels: whether a label is itself a list, so that a recorded list is one answer unless several are needed.
        status: status column, if `column` is a label column of this package; it explains missing labels.
        text_labels: whether labels are free text, so that a label column is replayed verbatim.

    Raises:
        ConfigError: neither or both of `column` and `file`, or `file` without `key`.
        ClientError: the file does not exist, or a line is not a JSON object with both fields.
    """

    def __init__(
        self,
        *,
        column: str | None = None,
        file: str | Path | None = None,
        key: str | None = None,
        answer: str = "answer",
        names: Sequence[str] | None = None,
        answers: int | None = None,
        list_labels: bool = False,
        status: str | None = None,
        text_labels: bool = False,
    ) -> None:
        if (column is None) == (file is None):
            raise ConfigError(f"client 'recorded' needs either `column` or `file`; got {column!r} and {file!r}.")
        if file is not None and key is None:
            raise ConfigError("`key` is missing; name the column that identifies a row in `file`.")
        self._column = column
        self._key = key
        self._names = names
        self._needed = answers
        self._list_labels = list_labels and answers in (None, 1)
        self._status = status
        self._verbatim = text_labels and status is not None
        self._file = None if file is None else Path(file)
        self._answers = {} if file is None else _read_answers(Path(file), str(key), answer)
        self._asked: dict[tuple[str, int], int] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """Source of the answers."""
        if self._file is None:
            return {"client": "recorded", "column": self._column}
        return {"client": "recorded", "file": self._file.name, "key": self._key}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The recorded answer of each request's row, in order.

        Raises:
            DataError: a row has too many answers, or two different rows share a key.
        """
        for request in requests:
            yield self._from_column(request) if self._column else self._from_file(request)

    def _from_column(self, request: Request) -> Completion:
        value = request.row.get(str(self._column))
        if self._status is not None and (status := _status(request.row.get(self._status))) != "labelled":
            return _unlabelled(request.key, status)
        if isinstance(value, list | tuple) and not self._list_labels:
            return self._drawn(request, list(value), f"column {self._column!r}")
        return self._drawn(request, [] if _is_missing(value) else [value], f"column {self._column!r}")

    def _from_file(self, request: Request) -> Completion:
        row_id = str(request.row.get(str(self._key)))
        answers = self._answers.get(row_id, [])
        if len(answers) > 0:
            question = hash(request.messages)
            if self._asked.setdefault((row_id, request.sample), question) != question:
                raise DataError(
                    f"`key`: two different rows have {self._key} {row_id[:40]!r}; name a column with unique values."
                )
        return self._drawn(request, answers, f"`file` for {self._key} {row_id[:40]!r}")

    def _drawn(self, request: Request, answers: list[Any], where: str) -> Completion:
        """The answer of one sample."""
        if self._needed is not None and len(answers) > self._needed:
            raise DataError(
                f"{where} has {len(answers)} answers, but each row needs {self._needed}. Set "
                f"`num_samples: {len(answers)}`, "
                "or record one answer per row."
            )
        if request.sample < len(answers):
            if answers[request.sample] is REJECTED:
                return Completion(request.key, finish_reason="content_filter")
            value = self._named(answers[request.sample])
            if _is_missing(value):
                return _none(request.key, NOT_RECORDED)
            return Completion(request.key, text=_text({"label": value} if self._verbatim else value))
        if not answers:
            return _none(request.key, NOT_RECORDED)
        several = "" if self._needed is None else f" of {self._needed}"
        message = (
            f"{where} has no answer number {request.sample + 1}{several}: record a list with one answer per sample, "
            "and for pairs one per order"
        )
        return Completion(request.key, failure=Failure("missing", message))

    def _named(self, value: Any) -> Any:
        """Replace codes of a `ClassLabel` with label names, at any depth; -1 becomes None."""
        if self._names is None:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return self._names[value] if 0 <= value < len(self._names) else None
        if isinstance(value, list | tuple):
            return [self._named(item) for item in value]
        if isinstance(value, Mapping) and "label" in value:
            return {**value, "label": self._named(value["label"])}
        return value


def _none(key: int, message: str) -> Completion:
    return Completion(key, failure=Failure("skipped", message))


def _status(value: Any) -> str:
    """The status of a row, from its name or code; without one, `labelled`, so that the label decides."""
    if isinstance(value, int) and 0 <= value < len(STATUSES):
        return STATUSES[value]
    return value if value in STATUSES else "labelled"


def _unlabelled(key: int, status: str) -> Completion:
    """The completion of a row without a label, from its recorded status."""
    message = f"the recorded row is `{status}`"
    match status:
        case "abstained":
            return Completion(key, text="abstain")
        case "refused":
            return Completion(key, refusal=True)
        case "truncated":
            return Completion(key, finish_reason="length")
        case "unparsed":
            return Completion(key)
        case "failed":
            return Completion(key, failure=Failure("missing", message))
        case "over_budget":
            return Completion(key, failure=Failure("over_budget", message))
        case _:
            return _none(key, NOT_RECORDED)


def _is_missing(value: Any) -> bool:
    if isinstance(value, Mapping):
        # Formats without null structures have a structure of nulls instead.
        return bool(value) and all(item is None for item in value.values())
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        # pandas converts a column of integers with a missing value to floats.
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_answers(path: Path, key: str, field: str) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = {}
    try:
        # `splitlines` would also split at U+2028, which JSON strings may contain.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ClientError(f"`file` {str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"`file` {str(path)!r} is not UTF-8 ({error.reason}): save it as UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            answer = REJECTED if record.get("finish_reason") == "content_filter" else record[field]
            answers.setdefault(str(record[key]), []).append(answer)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ClientError(
                f"`file` {path.name!r}, line {number}: expected a JSON object with {key!r} and {field!r}, "
                f"got {line[:80]!r}."
            ) from None
    return answers
