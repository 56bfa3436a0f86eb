"""The server on a real port: who is let in, what it answers, and that what is shown of a row is its text alone."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.review import AnnotationSession, bind_socket
from hf_synthlabels.review.server.access import AccessPolicy
from tests.review.reviewing import ask, label, serving, state


@pytest.fixture
def session(tmp_path: Path) -> AnnotationSession:
    return AnnotationSession(state(tmp_path), blind=False)


@pytest.fixture
def port(session: AnnotationSession) -> Iterator[int]:
    with serving(session) as number:
        yield number


def test_the_page_and_its_files_are_served_with_safe_headers(port: int) -> None:
    status, text, headers = ask(port, "/", method="GET")
    assert status == 200
    for name in re.findall(r'(?:src|href)="([\w.]+)"', text):
        assert ask(port, f"/{name}", method="GET")[0] == 200
    assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert ask(port, "/../store.sqlite", method="GET")[0] == 404
    assert ask(port, "/docs", method="GET")[0] == 404


def test_labels_are_stored_and_rows_follow(port: int, session: AnnotationSession) -> None:
    status, setup, _ = ask(port, "/api/setup")
    assert (status, setup["names"], setup["queue"]) == (200, ["billing", "delivery", "account"], 10)
    row = ask(port, "/api/next", {"annotator": "ann"})[1]["rows"][0]
    said = {"annotator": "ann", "row": row["row"], "digest": row["digest"], "value": "account", "key": "k1"}
    status, answer, _ = ask(port, "/api/decide", said)
    assert (status, answer["decided"]["value"], answer["progress"]["labeled"]) == (200, "account", 1)
    assert ask(port, "/api/decide", said)[1]["progress"]["labeled"] == 1
    assert ask(port, "/api/undo", {"annotator": "ann"})[1]["row"]["row"] == row["row"]


FOREIGN: dict[str, tuple[dict[str, str | None], str]] = {
    "another site": ({"Origin": "http://evil.example"}, "`Origin` is 'http://evil.example'"),
    "another port": ({"Origin": "http://127.0.0.1:1"}, "requests from other pages are refused"),
    "a sandbox or a file": ({"Origin": "null"}, "`Origin` is 'null'"),
    "a name that was pointed here": ({"Host": "evil.example"}, "`Host` is 'evil.example'"),
    "such a name with our port": ({"Host": "evil.example:{port}"}, "is not served under that name"),
    "a name that begins like ours": ({"Host": "localhost.evil.example"}, "is not served under that name"),
    "no host": ({"Host": ""}, "is not served under that name"),
    "an address of another machine": ({"Host": "192.168.0.7"}, "is not served under that name"),
    "both names of one": (
        {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
        "is not served under that name",
    ),
    "an image of another site": ({"Sec-Fetch-Site": "cross-site"}, "`Sec-Fetch-Site` is 'cross-site'"),
    "another port of this machine": ({"Sec-Fetch-Site": "same-site"}, "`Sec-Fetch-Site` is 'same-site'"),
    "a form": ({"Content-Type": "text/plain"}, "`Content-Type` is 'text/plain': send JSON"),
    "no type": ({"Content-Type": None}, "send JSON"),
}


def test_other_origins_are_refused(port: int) -> None:
    for name, (headers, reason) in FOREIGN.items():
        filled = {key: text and text.format(port=port) for key, text in headers.items()}
        status, content, _ = ask(port, "/api/setup", headers=filled)
        # A request without a host is rejected before it gets here.
        assert status in (400, 403), name
        assert status == 400 or reason in content["error"], name


def test_our_own_page_is_let_in_under_each_of_its_names(port: int) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        host = f"{name}:{port}"
        own: dict[str, str | None] = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert ask(port, "/api/setup", headers=own)[0] == 200
    link: dict[str, str | None] = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(port, "/", method="GET", headers=link)[0] == 200
    assert ask(port, "/api/setup", headers=link)[0] == 403
    # Through a tunnel the port is another one, on both sides.
    tunnel: dict[str, str | None] = {"Host": "localhost:9", "Origin": "http://localhost:9"}
    assert ask(port, "/api/setup", headers=tunnel)[0] == 200


def test_websockets_are_refused_from_anywhere(port: int) -> None:
    upgrade: dict[str, str | None] = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    evil = ask(port, "/api/setup", method="GET", headers={**upgrade, "Origin": "http://evil.example"})
    assert evil[0] == 403
    own = ask(port, "/api/setup", method="GET", headers={**upgrade, "Origin": f"http://127.0.0.1:{port}"})
    assert own[0] in (403, 405)


WRONG: dict[str, tuple[str, Any, str]] = {
    "no JSON": ("decide", b"{", "is not JSON"),
    "no object": ("decide", b"[]", "is not a JSON object"),
    "half a character": ("begin", b'{"annotator": "\\ud800"}', "is not JSON"),
    "no name": ("begin", {}, "`annotator` is None: give a name"),
    "a name that is markup": ("begin", {"annotator": "<b>"}, "`annotator` is '<b>'"),
    "no row": ("row", {"annotator": "ann", "row": 99}, "`row` is 99, and there are 12 rows"),
    "no number": ("row", {"annotator": "ann", "row": "1"}, "`row` is '1'"),
    "no view": ("disagreements", {"annotator": "ann", "show": "x"}, "`show` is 'x'"),
    "nothing to take back": ("reopen", {"annotator": "ann", "row": 1}, "`row` 1 is not adjudicated"),
}


def test_wrong_calls_are_one_line(port: int) -> None:
    for name, (call, body, reason) in WRONG.items():
        status, content, _ = ask(port, f"/api/{call}", body)
        assert status == 400, name
        assert reason in content["error"], name
        assert "\n" not in content["error"], name


def test_a_label_outside_the_schema_is_refused_and_nothing_is_stored(port: int, session: AnnotationSession) -> None:
    row = ask(port, "/api/next", {"annotator": "eve"})[1]["rows"][0]
    before = len(session.state.store.since())
    for value in ("other", 1, ["billing"], {"text": "x"}, ""):
        said = {"annotator": "eve", "row": row["row"], "digest": row["digest"], "value": value}
        assert ask(port, "/api/decide", said)[0] == 400
    said = {"annotator": "eve", "row": row["row"], "digest": "0" * 16, "value": "billing"}
    assert "has another text now" in ask(port, "/api/decide", said)[1]["error"]
    assert len(session.state.store.since()) == before


def test_a_request_that_is_too_long_is_refused(port: int) -> None:
    assert ask(port, "/api/begin", b'{"annotator": "' + b"a" * 8_100_000 + b'"}')[0] == 413


def test_no_script_makes_markup_of_a_string() -> None:
    folder = resources.files("hf_synthlabels.review") / "static"
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert way not in text, f"{file.name}: {way}"
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), f"{file.name} asks another site"


def test_other_machines_need_the_key(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    listening = bind_socket("0.0.0.0", 0, ["session.example"])
    key = listening.url.partition("?key=")[2]
    assert len(key) >= 32
    assert listening.url.startswith("http://session.example:")
    listening.listener.close()
    with serving(session, host="0.0.0.0", names=["session.example"]) as port:
        assert ask(port, "/", method="GET")[0] == 401
        assert ask(port, "/?key=wrong", method="GET")[0] == 401
        assert ask(port, "/api/setup", headers={"Cookie": "hf_synthlabels_review=wrong"})[0] == 401
        assert ask(port, "/api/setup", headers={"Host": "evil.example"})[0] == 403


def test_a_browser_with_the_key_gets_a_cookie_and_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: "k" * size)
    with serving(AnnotationSession(state(tmp_path)), host="0.0.0.0") as port:
        status, _, headers = ask(port, f"/?key={'k' * 24}", method="GET")
        assert (status, headers["location"]) == (303, "/")
        assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        assert ask(port, "/api/setup", headers={"Cookie": cookie})[0] == 200
        # Any address of this machine will do, and no name that was not given.
        assert ask(port, "/api/setup", headers={"Cookie": cookie, "Host": "10.1.2.3:80"})[0] == 200


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"`--port` {number} is in use on 127.0.0.1"):
            bind_socket(port=number)
    with pytest.raises(ConfigError, match=r"`--host` '203\.0\.113\.9' cannot be used"):
        bind_socket("203.0.113.9")
    with pytest.raises(ConfigError, match="`--port` is 70000"):
        bind_socket(port=70000)


def test_hosts_are_taken_by_name_and_addresses_where_they_may() -> None:
    assert AccessPolicy().takes_host("localhost")
    assert not AccessPolicy().takes_host("10.0.0.1")
    assert AccessPolicy(addresses=True).takes_host("10.0.0.1")
    assert AccessPolicy(addresses=True).takes_host("fe80::1")
    assert not AccessPolicy(addresses=True).takes_host("evil.example")


def test_disagreements_are_settled_and_become_examples(port: int, session: AnnotationSession) -> None:
    for row in (3, 4):
        label(session, "zoe", row, "delivery")
    page = ask(port, "/api/disagreements", {"annotator": "yan"})[1]
    assert {3, 4} <= {entry["row"] for entry in page["rows"]}
    assert page["counts"]["llm"] == page["counts"]["open"]
    found = ask(port, "/api/case", {"annotator": "yan", "row": 3})[1]
    assert found["votes"][0] | {"note": ""} == {
        "annotator": "zoe",
        "value": "delivery",
        "note": "",
        "llm_shown": False,
    }
    # Who looks at a row here has seen what the LLM said of it.
    assert 3 in session.state.annotator("yan").seen
    done = ask(port, "/api/adjudicate", {"annotator": "yan", "row": 3, "value": "account", "note": "see rule 2"})[1]
    assert (done["case"]["value"], done["case"]["decided"]) == ("account", {"by": "yan", "note": "see rule 2"})
    assert done["counts"]["settled"] == 1
    chosen = ask(port, "/api/example", {"annotator": "yan", "row": 3, "chosen": True})[1]
    assert chosen["case"]["example"]
    assert ask(port, "/api/reopen", {"annotator": "yan", "row": 3})[1]["case"]["value"] == "delivery"
    wrong = ask(port, "/api/example", {"annotator": "yan", "row": 7, "chosen": True})
    assert "`row` 7 has no human label" in wrong[1]["error"]
    assert ask(port, "/api/example", {"annotator": "yan", "row": 3, "chosen": False})[1]["counts"]["examples"] == 0


def test_a_blind_review_shows_no_llm_label_until_all_rows_are_decided(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path))
    assert session.blind
    for row in range(10):
        label(session, "zoe", row, "delivery")
    label(session, "ann", 3, "account")
    with serving(session) as port:

        def answers(name: str) -> list[Any]:
            """What the page asks for; rows of ann have two human labels, and the LLM says `billing` everywhere."""
            calls: dict[str, dict[str, Any]] = {
                "next": {}, "row": {"row": 3}, "progress": {}, "disagreements": {}, "case": {"row": 3},
                "adjudicate": {"row": 3, "value": "delivery"}, "report": {},
            }  # fmt: skip
            return [ask(port, f"/api/{call}", {"annotator": name, **body})[1] for call, body in calls.items()]

        hidden = answers("ann")
        assert "billing" not in str(hidden)
        assert hidden[2]["agreement"] is None
        assert hidden[-1] == {"state": "hidden"}
        # The disagreement of the annotators is there, to be adjudicated without the LLM.
        assert [entry["row"] for entry in hidden[3]["rows"]] == [3]
        assert not session.state.adjudications[3].llm_shown
        assert session.state.annotator("ann").seen == set()
        for body in ({"show": "draws"}, {"show": "llm"}):
            assert ask(port, "/api/disagreements", {"annotator": "ann", **body})[0] == 400
        assert ask(port, "/api/cell", {"annotator": "ann", "human": "delivery", "llm": "billing"})[0] == 400
        assert ask(port, "/api/show", {"annotator": "ann", "row": 3})[0] == 400
        # Zoe has no row left.
        shown = answers("zoe")
        assert shown[4]["llm_label"] == "billing"
        assert shown[-1]["state"] != "hidden"


def test_the_report_counts_at_once_and_has_intervals_soon(port: int, session: AnnotationSession) -> None:
    label(session, "zoe", 5, "billing")
    for row in (6, 7):
        label(session, "zoe", row, "delivery")
    while (report := ask(port, "/api/report", {"annotator": "yan"})[1])["state"] == "working":
        assert report["matrix"]["names"] == ["billing", "delivery", "account"]
    assert report["state"] == "done"
    accuracy = next(score for score in report["scores"] if score["name"] == "accuracy")
    assert 0 <= accuracy["low"] <= accuracy["estimate"] <= accuracy["high"] <= 1
    wrong = report["matrix"]["counts"][1][0]
    rows = ask(port, "/api/cell", {"annotator": "yan", "human": "delivery", "llm": "billing"})[1]
    assert rows["total"] == wrong >= 2
