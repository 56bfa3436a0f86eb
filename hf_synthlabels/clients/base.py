"""Client protocol: requests in, completions out as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from hf_synthlabels.labels import Token

FinishReason = Literal["stop", "length", "content_filter"]
"""Why an answer ended: complete, truncated at the token limit, or stopped by the provider's content filter."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for a client."""

    key: int
    """Returned with the completion; unique within one call of `complete`."""
    messages: tuple[Message, ...]
    sample: int = 0
    """Index of this sample among several answers to the same messages."""
    response_schema: Mapping[str, Any] | None = None
    """JSON schema of the answer, for servers that support structured output."""
    text: str = ""
    """The text to label alone, for clients that read no prompt; never sent or hashed."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The row's columns, for clients that look answers up; never sent or hashed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that the server had cached; they cost less."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer."""

    kind: Literal["http", "timeout", "connection", "malformed", "missing", "over_budget", "too_long", "skipped"]
    """`too_long`: the prompt exceeds the model's context or the memory. `skipped`: the answer is not recorded, and
    the annotator never saw the row."""
    message: str
    http_status: int | None = None

    def __post_init__(self) -> None:
        # Messages appear in tables, logs and one-line errors, and libraries raise errors of several lines.
        object.__setattr__(self, "message", " ".join(self.message.split()))


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer, or the reason why it is missing."""

    key: int
    text: str = ""
    """The answer, without the model's reasoning."""
    finish_reason: FinishReason = "stop"
    failure: Failure | None = None
    refusal: bool = False
    """The server marked the answer as a refusal."""
    usage: Usage = Usage()
    model: str | None = None
    """The model version that the server reports."""
    probabilities: Mapping[str, float] | None = None
    """Probability of each label name, from clients that compute it."""
    tokens: tuple[Token, ...] = ()
    """Tokens of the answer with log-probabilities, if the server returns them."""
    reasoning: str = ""
    """What the model wrote before its answer; never parsed as the answer."""
    stored: bool = False
    """Found in the response store: not sent, not billed."""


Persist = Callable[[Completion], Future[None] | None]
"""Hands a completion over for storage. The future is done when it is on disk; None if it is not stored."""


class ChatClient(Protocol):
    """A source of answers: a server, a local model, recorded answers or a test double.

    A failed request is a completion with a `failure`, never an exception. Requests are pulled from the iterable only as
    fast as they are sent, so it may be larger than memory.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything except the request that can change an answer: model, endpoint, sampling; no secret, no timeout."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion per request, in the order in which they finish."""


@runtime_checkable
class PersistingClient(ChatClient, Protocol):
    """A client that sends the next request of a worker only when its last answer is on disk."""

    def complete_with_persist(self, requests: Iterable[Request], persist: Persist) -> Iterator[Completion]:
        """As `complete`; `persist` is called with each completion as soon as it arrives, from any thread."""
