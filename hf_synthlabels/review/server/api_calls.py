"""The calls of the review page: what it asks for, by name, with JSON in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.annotation_session import AnnotationSession, Decision, annotator_name
from hf_synthlabels.review.disagreements import Disagreements, case
from hf_synthlabels.review.review_progress import progress
from hf_synthlabels.review.review_report import Reading

Said = dict[str, Any]
Call = Callable[[Said], Any]

MAX_BUTTONS = 21
"""A scale with more numbers is typed."""


def review_calls(desk: AnnotationSession, title: str = "") -> dict[str, Call]:
    """Every call by its name; each sees what other processes have stored meanwhile."""
    calls = {**_label_calls(desk, title), **_look_calls(desk)}
    return {name: _synced(desk, call) for name, call in calls.items()}


def _label_calls(desk: AnnotationSession, title: str) -> dict[str, Call]:
    """Of the label page."""

    def setup(_: Said) -> Any:
        return _setup(desk, title)

    def begin(said: Said) -> Any:
        return {"annotator": _name(said), "progress": progress(desk.board, _name(said))}

    def upcoming(said: Said) -> Any:
        held = said.get("held")
        numbers = tuple(number for number in held if isinstance(number, int)) if isinstance(held, list) else ()
        return {"rows": desk.next_rows(_name(said), skip=numbers)}

    def decide(said: Said) -> Any:
        value, note, seconds = said.get("value"), said.get("note", ""), said.get("seconds")
        return desk.decide(
            Decision(_name(said), _whole(said, "row"), str(said.get("digest")), value, note, seconds, _key(said))
        )

    return {
        "setup": setup,
        "begin": begin,
        "next": upcoming,
        "row": lambda said: desk.row(_name(said), _whole(said, "row")),
        "decide": decide,
        "undo": lambda said: desk.undo(_name(said)),
        "show": lambda said: desk.show(_name(said), _whole(said, "row")),
        "skipped": lambda said: desk.skipped(_name(said)),
        "progress": lambda said: progress(desk.board, _name(said)),
    }


def _look_calls(desk: AnnotationSession) -> dict[str, Call]:
    """Calls that show LLM labels; each view is recorded."""
    board = desk.board
    disagreements, reading = Disagreements(board), Reading(board)

    def revealed(said: Said, rows: list[dict[str, Any]]) -> None:
        digests = {entry["row"]: entry["digest"] for entry in rows}
        desk.reveal(_name(said), list(digests), digests)

    def listed(said: Said) -> Any:
        page = disagreements.page(
            str(said.get("show", "open")), _whole(said, "offset", 0), str(said.get("pattern", ""))
        )
        revealed(said, page["rows"])
        return page

    def opened(said: Said) -> Any:
        found = case(board, _whole(said, "row"))
        revealed(said, [found])
        return found

    def cell(said: Said) -> Any:
        page = reading.rows_of(said.get("human"), said.get("llm"), _whole(said, "offset", 0))
        revealed(said, page["rows"])
        return page

    def adjudicate(said: Said) -> Any:
        return disagreements.decide(
            _name(said), _whole(said, "row"), said.get("value"), said.get("note", ""), _key(said)
        )

    def example(said: Said) -> Any:
        return disagreements.mark_example(_name(said), _whole(said, "row"), chosen=said.get("chosen") is True)

    def report(_: Said) -> Any:
        return reading.report()

    return {
        "disagreements": listed,
        "case": opened,
        "adjudicate": adjudicate,
        "reopen": lambda said: disagreements.reopen(_name(said), _whole(said, "row")),
        "example": example,
        "report": report,
        "cell": cell,
    }


def _synced(desk: AnnotationSession, call: Call) -> Call:
    def synced(said: Said) -> Any:
        with desk.board.lock:
            desk.board.sync()
            return call(said)

    return synced


def _setup(desk: AnnotationSession, title: str) -> dict[str, Any]:
    rows = desk.board.rows
    schema, scale = rows.schema, rows.schema.scale
    grid = None if scale is None else scale.grid()
    few = grid is not None and len(grid) <= MAX_BUTTONS
    return {
        "title": title,
        "store": desk.board.store.name,
        "kind": schema.kind,
        "names": schema.names,
        "definitions": schema.definitions,
        "guidelines": schema.guidelines,
        "instructions": rows.instructions,
        "scale": None if scale is None else {"low": scale.low, "high": scale.high, "step": scale.step},
        "numbers": [round(number, 10) for number in grid] if grid is not None and few else None,
        "rows": len(rows),
        "queue": len(rows.queue),
        "labeled_before": len(rows.human_labels),
        "sampled": rows.sampled,
        "blind": desk.blind,
        "llm": rows.llm,
        "human": rows.human,
    }


def _name(said: Said) -> str:
    return annotator_name(said.get("annotator"))


def _whole(said: Said, name: str, usual: int | None = None) -> int:
    value = said.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"`{name}` is {value!r}: give a whole number from 0.")
    return value


def _key(said: Said) -> str:
    key = said.get("key", "")
    if not isinstance(key, str) or len(key) > 100:
        raise DataError("`key` is no text of 100 characters at most.")
    return key
