"""Small data to review, of every kind of label, and a server on loopback that is asked with any headers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from datasets import Dataset, Features, Value

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.review import (
    AnnotationSession,
    DecisionStore,
    ReviewOptions,
    ReviewState,
    bind_socket,
    review_app,
)
from hf_synthlabels.review.annotation_session import Decision
from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from hf_synthlabels.review.review_rows import ReviewRows, review_rows

NAMES = ("billing", "delivery", "account")

SCHEMAS = {
    "text-classification": LabelSchema(names=NAMES, guidelines="A refund is billing."),
    "multi-label": LabelSchema(kind="multi-label", names=NAMES),
    "text-scale": LabelSchema(kind="text-scale", scale=Scale(1, 5)),
    "token-classification": LabelSchema(kind="token-classification", names=("PER", "ORG")),
    "question-answering": LabelSchema(kind="question-answering"),
    "text-generation": LabelSchema(kind="text-generation"),
}

TEXT = "Ann 🙂 of Acme asked Bob."
"""Characters from 0: Ann 0-3, Acme 9-13, Bob 20-23; the emoji counts as one."""

ENTITY = {"start": 0, "end": 3, "text": "Ann", "label": "PER"}
ORG = {"start": 9, "end": 13, "text": "Acme", "label": "ORG"}

LLM: dict[str, Any] = {
    "text-classification": "billing",
    "multi-label": ["billing", "account"],
    "text-scale": 2.0,
    "token-classification": [ENTITY],
    "question-answering": {"text": "Acme", "start": 9},
    "text-generation": "An answer.",
}

HUMAN: dict[str, Any] = {
    "text-classification": "delivery",
    "multi-label": ["account"],
    "text-scale": 4,
    "token-classification": [ENTITY, ORG],
    "question-answering": {"text": "Bob", "start": 20},
    "text-generation": "Another answer.",
}
"""Labels that people give where the LLM gave those above."""

FORMS = {
    "question-answering": RowForm(("context", "question"), question="question", context="context"),
}


def table(kind: str = "text-classification", rows: int = 12, drawn: int = 10) -> Dataset:
    """Rows of which the first are drawn, half of them with a chance of 0.5 and half with 0.25."""
    schema = SCHEMAS[kind]
    label = schema.feature()
    features = {"context": Value("string"), "question": Value("string")} if kind == "question-answering" else {}
    features = features or {"text": Value("string")}
    made = Dataset.from_dict(
        {
            **{name: [f"{TEXT} {row}" for row in range(rows)] for name in features},
            "llm_label": [_stored(kind, LLM[kind])] * rows,
            "llm_label_status": ["labelled"] * rows,
            "llm_label_confidence": [1.0 if row % 2 else 0.75 for row in range(rows)],
            "inclusion_probability": [
                None if row >= drawn else 0.5 if row < drawn // 2 else 0.25 for row in range(rows)
            ],
        },
        features=Features(
            {
                **features,
                "llm_label": label,
                "llm_label_status": Value("string"),
                "llm_label_confidence": Value("float32"),
                "inclusion_probability": Value("float64"),
            }
        ),
    )
    assert isinstance(made, Dataset)
    return made


def _stored(kind: str, label: Any) -> Any:
    names = SCHEMAS[kind].names
    if kind == "text-classification":
        return names.index(label)
    if kind == "multi-label":
        return [names.index(name) for name in label]
    if kind == "token-classification":
        return [{**item, "label": names.index(item["label"])} for item in label]
    return label


def opened(kind: str = "text-classification", made: Dataset | None = None, **options: Any) -> ReviewRows:
    form = FORMS.get(kind, RowForm(("text",)))
    made = table(kind) if made is None else made
    return review_rows(made, schema=SCHEMAS[kind], form=form, options=ReviewOptions(**options))


def state(folder: Path, kind: str = "text-classification", **options: Any) -> ReviewState:
    return ReviewState(opened(kind, **options), DecisionStore(folder / "store.sqlite"))


def label(session: AnnotationSession, name: str, row: int, value: Any, **more: Any) -> dict[str, Any]:
    """One decision, as the page sends it."""
    digest = session.state.rows.row(row).digest
    return session.decide(Decision(name, row, digest, value, **more))


@contextmanager
def serving(session: AnnotationSession | CodebookSession, title: str = "", **options: Any) -> Iterator[int]:
    """The page on a free port of loopback."""
    listening = bind_socket(port=0, **options)
    server = uvicorn.Server(
        uvicorn.Config(
            review_app(session, title=title, policy=listening.policy), log_level="error", lifespan="off", ws="none"
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def ask(
    port: int, path: str, said: Any = None, *, method: str = "POST", headers: Mapping[str, str | None] | None = None
) -> tuple[int, Any, Mapping[str, str]]:
    """Status, content and headers of an answer; a header that is None is not sent."""
    sent: dict[str, str | None] = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    body = said if isinstance(said, bytes) else json.dumps(said or {}).encode()
    for name, text in sent.items():
        if text is not None:
            connection.putheader(name, text)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    is_json = answer.headers.get_content_type() == "application/json"
    found = json.loads(content) if is_json and content else content.decode()
    lowered = {name.lower(): text for name, text in answer.headers.items()}
    connection.close()
    return answer.status, found, lowered
