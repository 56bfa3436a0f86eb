"""ChatClient: many requests in, completions out as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from hf_synthlabels.labels import Token

FinishReason = Literal["stop", "length", "content_filter"]
"""Why an answer ended: by itself, at the token limit, or stopped by a content filter of the server."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a client."""

    key: int
    """Comes back on the completion; unique within one call of `complete`."""
    messages: tuple[Message, ...]
    sample: int = 0
    """Index of this sample among several answers to the same messages."""
    response_schema: Mapping[str, Any] | None = None
    """The JSON schema of the answer, for servers that can be held to one."""
    text: str = ""
    """What is to be labelled, alone; for clients that read no prompt. It is never sent or hashed."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The row's columns, for clients that look an answer up. They are never sent or hashed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt tokens, those that the server had cached; it asks less for them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer."""

    kind: Literal["http", "timeout", "connection", "malformed", "missing", "over_budget", "too_long", "skipped"]
    """`too_long` is a prompt that is longer than the model's context, or too large for the memory by itself.
    `skipped` is a recorded answer that does not exist: the annotator never saw the row."""
    message: str
    http_status: int | None = None

    def __post_init__(self) -> None:
        # Messages go into tables, logs and one-line errors, and libraries raise errors of several lines.
        object.__setattr__(self, "message", " ".join(self.message.split()))


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer, or the failure to get one."""

    key: int
    text: str = ""
    """The answer, without the model's reasoning."""
    finish_reason: FinishReason = "stop"
    failure: Failure | None = None
    refusal: bool = False
    """The server said in its own field that the model refused."""
    usage: Usage = Usage()
    model: str | None = None
    """The model version that the server says it used."""
    probabilities: Mapping[str, float] | None = None
    """Probability of each label name, from clients that know it."""
    tokens: tuple[Token, ...] = ()
    """The tokens of the answer with their log-probabilities, from servers that give them."""
    reasoning: str = ""
    """What the model wrote before its answer; it is never read as the answer."""
    stored: bool = False
    """The answer was in the response store; nothing was asked or paid."""


Commit = Future[None]
"""A group of writes: done when it is on disk, or with the error that kept it from getting there.

Callbacks run in the thread that writes. An exception in one is logged and does not keep the others from running.
"""


def new_commit() -> Commit:
    """A commit that cannot be cancelled: others wait for the same group."""
    commit: Commit = Future()
    commit.set_running_or_notify_cancel()
    return commit


Keep = Callable[[Completion], Commit | None]
"""Hands an answer over to be kept; None for what is no answer."""


class ChatClient(Protocol):
    """Whoever answers: a server, a model in this process, answers already made, or a test double.

    One bad request is a completion with a `failure`, never an exception. Requests are pulled from the iterable
    only as fast as they are sent, so it may be longer than memory.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that can change an answer beside the request: model, endpoint, sampling; no secret, no time-out."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, in the order in which they finish."""


@runtime_checkable
class PersistingClient(ChatClient, Protocol):
    """A client that waits until an answer is kept before it sends another request in its place."""

    def complete_with_persist(self, requests: Iterable[Request], keep: Keep) -> Iterator[Completion]:
        """As `complete`; `keep` is called with each completion as soon as it is there, from any thread."""
