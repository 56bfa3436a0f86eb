"""API of the review page: calls by name, with JSON in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.annotation_session import AnnotationSession, Decision, annotator_name
from hf_synthlabels.review.codebook.codebook_review import CodebookReview
from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from hf_synthlabels.review.disagreements import Disagreements, case
from hf_synthlabels.review.review_report import LiveReport
from hf_synthlabels.review.review_state import DISPUTE, ReviewState
from hf_synthlabels.review.server.page_setup import codebook_setup, review_setup

Body = dict[str, Any]
Call = Callable[[Body], Any]
Session = AnnotationSession | CodebookSession

HUMAN_VIEWS = ("open", "people", "settled", "examples")
"""Views of the adjudicate page that need no LLM label."""


def review_calls(session: Session, title: str = "") -> dict[str, Call]:
    """Every call by its name; each reads new decisions of other processes first."""
    if isinstance(session, AnnotationSession):
        setup = {"setup": lambda _: review_setup(session, title)}
        calls = {**setup, **_label_calls(session), **_variable_calls(session)}
        return {name: _synced(session.state, call) for name, call in calls.items()}
    setup = {"setup": lambda _: codebook_setup(session, title)}
    own = {name: _variable_calls(each) for name, each in session.variables.items()}
    shared = {name: _of_variable(own, name) for name in next(iter(own.values()))}
    calls = {**setup, **_label_calls(session), **shared}
    return {name: _synced(session.review, call) for name, call in calls.items()}


def _of_variable(calls: Mapping[str, Mapping[str, Call]], name: str) -> Call:
    """A call that goes to the variable that its body names."""

    def call(body: Body) -> Any:
        variable = body.get("variable")
        if not isinstance(variable, str) or variable not in calls:
            raise DataError(f"`variable` is {variable!r}: give one of {', '.join(calls)}.")
        return calls[variable][name](body)

    return call


def _variable_calls(session: AnnotationSession) -> dict[str, Call]:
    """Calls on the labels of one variable."""

    def show(body: Body) -> Any:
        return session.show(_name(body), _integer(body, "row"))

    return {"show": show, **_adjudicate_calls(session), **_report_calls(session)}


def _label_calls(session: Session) -> dict[str, Call]:
    """Calls of the label page."""

    def upcoming(body: Body) -> Any:
        held = body.get("held")
        numbers = tuple(number for number in held if isinstance(number, int)) if isinstance(held, list) else ()
        return {"rows": session.next_rows(_name(body), skip=numbers)}

    def decide(body: Body) -> Any:
        value, note, seconds = body.get("value"), body.get("note", ""), body.get("seconds")
        digest = str(body.get("digest"))
        return session.decide(Decision(_name(body), _integer(body, "row"), digest, value, note, seconds, _key(body)))

    return {
        "begin": lambda body: {"annotator": _name(body), "progress": session.progress(_name(body))},
        "next": upcoming,
        "row": lambda body: session.row(_name(body), _integer(body, "row")),
        "decide": decide,
        "undo": lambda body: session.undo(_name(body)),
        "skipped": lambda body: session.skipped(_name(body)),
        "progress": lambda body: session.progress(_name(body)),
    }


def _adjudicate_calls(session: AnnotationSession) -> dict[str, Call]:
    """Calls of the adjudicate page; those that show LLM labels record it."""
    state, disagreements = session.state, Disagreements(session.state)

    def opened(body: Body) -> Any:
        content = case(state, _integer(body, "row"))
        if session.hides_llm(_name(body)):
            return _blind(content)
        _record_seen(session, body, [content])
        return content

    def changed(body: Body, answer: dict[str, Any]) -> dict[str, Any]:
        if not session.hides_llm(_name(body)):
            return answer
        return {"case": _blind(answer["case"]), "counts": _human_counts(answer["counts"])}

    def adjudicate(body: Body) -> Any:
        value, note, number, key = body.get("value"), body.get("note", ""), _integer(body, "row"), _key(body)
        shown = not session.hides_llm(_name(body))
        return changed(body, disagreements.decide(_name(body), number, value, note, key, llm_shown=shown))

    def example(body: Body) -> Any:
        is_chosen = body.get("chosen") is True
        return changed(body, disagreements.mark_example(_name(body), _integer(body, "row"), chosen=is_chosen))

    return {
        "disagreements": lambda body: _listed(session, disagreements, body),
        "case": opened,
        "adjudicate": adjudicate,
        "reopen": lambda body: changed(body, disagreements.reopen(_name(body), _integer(body, "row"))),
        "example": example,
    }


def _report_calls(session: AnnotationSession) -> dict[str, Call]:
    """Calls of the report page, whose numbers all need LLM labels."""
    report = LiveReport(session.state)

    def cell(body: Body) -> Any:
        if session.hides_llm(_name(body)):
            raise DataError("`cell` needs LLM labels, which are hidden until you have labeled all rows.")
        page = report.rows_of(body.get("human"), body.get("llm"), _integer(body, "offset", 0))
        _record_seen(session, body, page["rows"])
        return page

    return {
        "report": lambda body: {"state": "hidden"} if session.hides_llm(_name(body)) else report.report(),
        "cell": cell,
    }


def _listed(session: AnnotationSession, disagreements: Disagreements, body: Body) -> dict[str, Any]:
    view, pattern, offset = str(body.get("show", "open")), str(body.get("pattern", "")), _integer(body, "offset", 0)
    if not session.hides_llm(_name(body)):
        page = disagreements.page(view, offset, pattern)
        _record_seen(session, body, page["rows"])
        return page
    if view not in HUMAN_VIEWS:
        raise DataError(f"`show` {view!r} needs LLM labels, which are hidden until you have labeled all rows.")
    page = disagreements.page("people" if view == "open" else view, offset, pattern)
    patterns = [each for each in page["patterns"] if each["name"].startswith(DISPUTE)]
    return {
        **page,
        "hidden": True,
        "counts": _human_counts(page["counts"]),
        "patterns": patterns,
        "rows": list(map(_blind, page["rows"])),
    }


def _record_seen(session: AnnotationSession, body: Body, rows: list[dict[str, Any]]) -> None:
    session.record_seen(_name(body), {entry["row"]: entry["digest"] for entry in rows})


def _blind(entry: dict[str, Any]) -> dict[str, Any]:
    """A row without what shows its LLM label."""
    hidden = dict.fromkeys((name for name in entry if name.startswith("llm")), None)
    pattern = entry["pattern"] if entry["pattern"].startswith(DISPUTE) else ""
    return {**entry, **hidden, "pattern": pattern, "bits": 0.0, "hidden": True}


def _human_counts(counts: dict[str, int]) -> dict[str, int]:
    return {**counts, "open": counts["people"], "llm": 0, "draws": 0}


def _synced(state: ReviewState | CodebookReview, call: Call) -> Call:
    def synced(body: Body) -> Any:
        with state.lock:
            state.sync()
            return call(body)

    return synced


def _name(body: Body) -> str:
    return annotator_name(body.get("annotator"))


def _integer(body: Body, name: str, default: int | None = None) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"`{name}` is {value!r}: give an integer from 0.")
    return value


def _key(body: Body) -> str:
    key = body.get("key", "")
    if not isinstance(key, str) or len(key) > 100:
        raise DataError("`key` must be a text of at most 100 characters.")
    return key
