"""RecordedClient: answers that were made before, in a column or in a file."""

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
"""The place of an answer to a prompt that the server's filter rejected."""


class RecordedClient:
    """Replays recorded answers, raw or parsed, through the same parser as live ones.

    A null, or a row that the file does not contain, was never answered: it becomes `skipped`, which is neither an
    error of the annotator nor an unreadable answer.

    Args:
        column: the column of the row that holds its answer.
        file: a JSON Lines file of `{key: ..., answer: ...}`, instead of a column; several answers to one key are
            its samples, in the order of the file.
        key: the name of the row id, in the file and in the row.
        answer: the field of the file that holds the answer.
        names: label names, when the column holds the codes of a `ClassLabel`.
        answers: how many answers each row needs; more than these are an error. None checks nothing.
        list_labels: whether a label is itself a list, so that a recorded list is one answer unless several are needed.
        status: the status column, when `column` is a label column of this package: the status explains each missing
            label.
        text_labels: whether labels are free texts, so that those of a label column are replayed word for word.

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
        answers: int | None = None,
        list_labels: bool = False,
        status: str | None = None,
        text_labels: bool = False,
    ) -> None:
        if (column is None) == (file is None):
            raise ConfigError(
                f"`annotator` of client 'recorded' needs `column` or `file`, not both; they are {column!r}, {file!r}."
            )
        if file is not None and key is None:
            raise ConfigError("`annotator.key` is missing. Name the column that identifies a row in `annotator.file`.")
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
        """Where the answers come from."""
        if self._file is None:
            return {"client": "recorded", "column": self._column}
        return {"client": "recorded", "file": self._file.name, "key": self._key}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The recorded answer of each request's row, in order.

        Raises:
            DataError: a row has more answers than it needs, or two different rows share a key.
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
                    f"`annotator.key` {self._key!r} has {row_id[:40]!r} in two different rows. Name a column that "
                    "identifies each row."
                )
        return self._drawn(request, answers, f"`annotator.file` for {self._key} {row_id[:40]!r}")

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
        """A value with names for the codes of a `ClassLabel`, however deep; None for the code -1."""
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
    """The status of a row by its name or code; `labelled` where there is none, so that the label decides."""
    if isinstance(value, int) and 0 <= value < len(STATUSES):
        return STATUSES[value]
    return value if value in STATUSES else "labelled"


def _unlabelled(key: int, status: str) -> Completion:
    """What a row without a label came to in the run that is replayed."""
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
        # A table without null structures writes one whose fields are all null.
        return bool(value) and all(item is None for item in value.values())
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        # A data frame turns a column of whole numbers into floats as soon as one is missing.
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_answers(path: Path, key: str, field: str) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = {}
    try:
        # Not splitlines(): a JSON text may hold line separators such as U+2028 as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ClientError(f"`annotator.file` {str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"`annotator.file` {str(path)!r} is not UTF-8: {error.reason}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            answer = REJECTED if record.get("finish_reason") == "content_filter" else record[field]
            answers.setdefault(str(record[key]), []).append(answer)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ClientError(
                f"`annotator.file` {path.name!r}, line {number}: expected a JSON object with {key!r} and {field!r}, "
                f"got {line[:80]!r}."
            ) from None
    return answers
