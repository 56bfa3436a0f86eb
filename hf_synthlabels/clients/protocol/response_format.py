"""The probe: which form of answers an endpoint can hold a model to, found out once and written down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from hf_synthlabels.clients.base import Completion, Message, Request
from hf_synthlabels.clients.openai.client import OpenAIClient
from hf_synthlabels.clients.protocol.chat import ResponseFormat
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.errors import ClientError

LADDER: tuple[ResponseFormat, ...] = ("json_schema", "json_object")
"""From the strictest form down; a plain text needs no probe."""

UNSUPPORTED_STATUSES = frozenset({400, 404, 405, 415, 422, 501})
"""How servers say that they do not know a form."""

WORD = "good"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": [WORD, "bad"]}},
    "required": ["label"],
    "additionalProperties": False,
}
QUESTION = Request(
    0,
    (
        Message("system", 'Answer with a JSON object {"label": "..."} and with nothing else.'),
        Message("user", f"The label is {WORD}."),
    ),
    response_schema=SCHEMA,
)


def recorded_response_format(store: ResponseStore, *, base_url: str, model: str) -> ResponseFormat | None:
    """What an earlier probe of the endpoint found; None when there was none."""
    rows = store.select("SELECT response_format FROM probes WHERE base_url = ? AND model = ?", (base_url, model))
    return rows[0][0] if rows else None


def detect_response_format(
    store: ResponseStore, create_client: Callable[[ResponseFormat], OpenAIClient]
) -> ResponseFormat:
    """The strictest form that the endpoint holds a model to; probed with one or two small requests, then recorded.

    The record is never changed by itself: when an endpoint learns more, `hf-synthlabels cache probes --forget`
    makes it be asked again, or the recipe says the form.

    Raises:
        ClientError: the endpoint can not be reached, or refuses for a reason that has nothing to do with the form.
    """
    notes = []
    for form in LADDER:
        client = create_client(form)
        if known := recorded_response_format(store, base_url=client.base_url, model=client.model):
            return known
        (completion,) = client.complete([QUESTION])
        trouble = _trouble(form, completion, client)
        notes.append(f"{form}: {trouble or 'works'}")
        if trouble is None:
            return _recorded(store, client, form, notes)
        if completion.failure is not None and completion.failure.kind == "over_budget":
            return "text"
    return _recorded(store, client, "text", notes)


def _trouble(form: ResponseFormat, completion: Completion, client: OpenAIClient) -> str | None:
    """Why a form does not work; None when it does."""
    failure = completion.failure
    if failure is not None:
        if failure.kind == "over_budget" or failure.http_status in UNSUPPORTED_STATUSES:
            return f"HTTP {failure.http_status}, {failure.message}"
        status = f" (HTTP {failure.http_status})" if failure.http_status else ""
        raise ClientError(
            f"`annotator.base_url` {client.base_url!r} does not answer for model {client.model!r}: "
            f"{failure.message}{status}. Check address, model and key; `response_format: text` leaves the probe out."
        )
    try:
        answer = json.loads(completion.text)
    except ValueError:
        return f"answered {completion.text[:40]!r}, which is no JSON"
    if not isinstance(answer, dict):
        return f"answered {completion.text[:40]!r}, which is no object"
    if form == "json_schema" and answer.get("label") not in (WORD, "bad"):
        return f"answered {completion.text[:40]!r}, which is not in the schema"
    return None


def _recorded(store: ResponseStore, client: OpenAIClient, form: ResponseFormat, notes: list[str]) -> ResponseFormat:
    store.execute(
        "INSERT OR REPLACE INTO probes (base_url, model, response_format, probed_at, note) VALUES (?, ?, ?, ?, ?)",
        (client.base_url, client.model, form, time.time(), "; ".join(notes)),
    )
    return form
