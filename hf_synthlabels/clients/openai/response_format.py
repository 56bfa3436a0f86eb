"""Response format detection: which structured output an endpoint supports, probed once and recorded."""

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

CANDIDATES: tuple[ResponseFormat, ...] = ("json_schema", "json_object")
"""Strictest format first; plain text needs no probe."""

UNSUPPORTED_STATUSES = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses with which servers reject an unsupported format."""

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
    """Result of an earlier probe of the endpoint; None if there was none."""
    rows = store.select("SELECT response_format FROM probes WHERE base_url = ? AND model = ?", (base_url, model))
    return rows[0][0] if rows else None


def detect_response_format(
    store: ResponseStore, create_client: Callable[[ResponseFormat], OpenAIClient]
) -> ResponseFormat:
    """The strictest format that the endpoint enforces; probed with one or two small requests, then recorded.

    A record never expires. A recipe's `response_format` overrides it.

    Raises:
        ClientError: the endpoint cannot be reached, or rejects the request for an unrelated reason.
    """
    notes = []
    for format_ in CANDIDATES:
        client = create_client(format_)
        if known := recorded_response_format(store, base_url=client.base_url, model=client.model):
            return known
        (completion,) = client.complete([QUESTION])
        problem = _problem(format_, completion, client)
        notes.append(f"{format_}: {problem or 'works'}")
        if problem is None:
            return _record(store, client, format_, notes)
        if completion.failure is not None and completion.failure.kind == "over_budget":
            return "text"
    return _record(store, client, "text", notes)


def _problem(format_: ResponseFormat, completion: Completion, client: OpenAIClient) -> str | None:
    """Why a format does not work; None if it does."""
    failure = completion.failure
    if failure is not None:
        if failure.kind == "over_budget" or failure.http_status in UNSUPPORTED_STATUSES:
            return f"HTTP {failure.http_status}, {failure.message}"
        status = f" (HTTP {failure.http_status})" if failure.http_status else ""
        raise ClientError(
            f"`base_url` {client.base_url!r} does not serve model {client.model!r}: "
            f"{failure.message}{status}. Check the URL, the model and the key; `response_format: text` skips the probe."
        )
    try:
        answer = json.loads(completion.text)
    except ValueError:
        return f"answered {completion.text[:40]!r}, which is not JSON"
    if not isinstance(answer, dict):
        return f"answered {completion.text[:40]!r}, which is not an object"
    if format_ == "json_schema" and answer.get("label") not in (WORD, "bad"):
        return f"answered {completion.text[:40]!r}, which does not match the schema"
    return None


def _record(store: ResponseStore, client: OpenAIClient, format_: ResponseFormat, notes: list[str]) -> ResponseFormat:
    store.execute(
        "INSERT OR REPLACE INTO probes (base_url, model, response_format, probed_at, note) VALUES (?, ?, ?, ?, ?)",
        (client.base_url, client.model, format_, time.time(), "; ".join(notes)),
    )
    return format_
