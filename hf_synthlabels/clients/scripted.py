"""ScriptedClient: test double with scripted answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Request

Script = Sequence[str | Completion] | Mapping[str, str | Completion] | Callable[[Request], str | Completion]


class ScriptedClient:
    """Answers from a script instead of a model, and records the requests.

    Args:
        script: a sequence of answers in request order, a mapping from the text to label to its answer, or a function of
            the request. An answer is a string or a `Completion`, whose key is replaced.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self._script = script
        self._position = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        """The same for every script."""
        return {"client": "scripted"}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion per request, in order; a request beyond the script is a failure."""
        for request in requests:
            self.requests.append(request)
            yield _completion(request, self._answer(request))

    def _answer(self, request: Request) -> str | Completion | None:
        if callable(self._script):
            return self._script(request)
        if isinstance(self._script, Mapping):
            return self._script.get(request.text)
        self._position += 1
        return self._script[self._position - 1] if self._position <= len(self._script) else None


def _completion(request: Request, answer: str | Completion | None) -> Completion:
    if answer is None:
        failure = Failure("missing", f"the script has no answer for {request.text[:60]!r}")
        return Completion(request.key, failure=failure)
    if isinstance(answer, str):
        return Completion(request.key, text=answer)
    return replace(answer, key=request.key)
