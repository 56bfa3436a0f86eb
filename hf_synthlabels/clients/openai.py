"""OpenAIClient: any server that speaks the OpenAI chat completions protocol."""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Request
from hf_synthlabels.clients.chat import Sampling, chat_body, error_message, read_completion
from hf_synthlabels.errors import ConfigError, MissingKeyError

__all__ = ["DEFAULT_BASE_URL", "OpenAIClient"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"

RETRIED_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504})
LONGEST_WAIT_S = 60.0

DEFAULT_SAMPLING = Sampling()


class OpenAIClient:
    """Sends chat completions over HTTP, many at once, and yields the answers as they come.

    An event loop in a thread of its own serves `max_in_flight` workers, which pull from the requests. Answers with
    status 408, 409, 429 or 5xx, time-outs and broken connections are tried again with growing, jittered pauses, a
    `Retry-After` header being obeyed; any other refusal of a request is a failure of that request alone.

    Args:
        model: the name that the server knows.
        base_url: up to and including `/v1`.
        api_key_env: the environment variable that holds the key. The key itself is read at the time of sending and
            stands in no attribute, repr or error. None for a server without one.
        sampling: what can change the answer.
        max_in_flight: requests on the way at once.
        max_retries: further tries after the first.
        timeout_s: of one try.

    Raises:
        MissingKeyError: the environment variable is not set or is empty.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str = DEFAULT_BASE_URL,
        api_key_env: str | None = "OPENAI_API_KEY",
        sampling: Sampling = DEFAULT_SAMPLING,
        max_in_flight: int = 64,
        max_retries: int = 5,
        timeout_s: float = 120.0,
    ) -> None:
        if max_in_flight < 1:
            raise ConfigError(f"`teacher.max_in_flight` is {max_in_flight!r}. Give at least 1.")
        self.model = model
        self.base_url = base_url.rstrip("/")
        self.sampling = sampling
        self._api_key_env = api_key_env
        self._max_in_flight = max_in_flight
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._headers()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, endpoint and sampling."""
        # Only what is sent: a parameter that is added to this package later must not change the key of an answer.
        sampling = {
            name: value for name, value in asdict(self.sampling).items() if value is not None and value is not False
        }
        return {"client": "openai", "model": self.model, "base_url": self.base_url, "sampling": sampling}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, in the order in which they finish."""
        # The queue is bounded, so that a slow reader slows the sending down.
        answers: queue.Queue[Completion | BaseException | None] = queue.Queue(maxsize=4 * self._max_in_flight)
        stop = threading.Event()
        thread = threading.Thread(
            target=self._serve, args=(iter(requests), answers, stop), name="openai-client", daemon=True
        )
        thread.start()
        try:
            while (item := answers.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            while thread.is_alive():
                _empty(answers)
                thread.join(0.05)

    def _serve(
        self,
        requests: Iterator[Request],
        answers: queue.Queue[Completion | BaseException | None],
        stop: threading.Event,
    ) -> None:
        try:
            asyncio.run(self._run(requests, answers, stop))
        except BaseExceptionGroup as group:
            # One broken worker cancels the others; its error is the one to show.
            answers.put(group.exceptions[0])
        except BaseException as error:
            answers.put(error)
        answers.put(None)

    async def _run(
        self,
        requests: Iterator[Request],
        answers: queue.Queue[Completion | BaseException | None],
        stop: threading.Event,
    ) -> None:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        connector = aiohttp.TCPConnector(limit=self._max_in_flight)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=self._headers()) as session:

            async def work() -> None:
                while not stop.is_set():
                    # Reading the next row may touch the disk, but never for long.
                    request = next(requests, None)
                    if request is None:
                        return
                    completion = await self._ask(session, request, stop)
                    while not stop.is_set():
                        try:
                            answers.put_nowait(completion)
                            break
                        except queue.Full:
                            await asyncio.sleep(0.005)

            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(work()) for _ in range(self._max_in_flight)]
                watcher = group.create_task(_cancel_once(stop, workers))
                await asyncio.wait(workers)
                watcher.cancel()

    async def _ask(self, session: Any, request: Request, stop: threading.Event) -> Completion:
        """Send one request until it is answered, refused, or has been tried often enough."""
        import aiohttp

        failure = Failure("connection", "stopped before it was sent")
        for attempt in range(self._max_retries + 1):
            pause_s = min(LONGEST_WAIT_S, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                async with session.post(
                    f"{self.base_url}/chat/completions", json=chat_body(self.model, self.sampling, request)
                ) as response:
                    if response.status == 200:
                        return read_completion(request.key, await response.json(content_type=None))
                    # A server may quote the key that it refuses.
                    said = _without(self._key(), await response.text(errors="replace"))
                    failure = Failure("http", error_message(said), response.status)
                    pause_s = _retry_after_s(response.headers, otherwise=pause_s)
                    if response.status not in RETRIED_STATUSES:
                        break
            except TimeoutError:
                failure = Failure("timeout", f"no answer within {self._timeout_s:g} s")
            except (aiohttp.ClientError, OSError) as error:
                failure = Failure("connection", f"{type(error).__name__}: {error}"[:200])
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
                failure = Failure(
                    "malformed", f"the answer is not a chat completion: {type(error).__name__}: {error}"[:200]
                )
            if attempt == self._max_retries or stop.is_set():
                break
            await asyncio.sleep(pause_s)
        return Completion(request.key, failure=failure)

    def _key(self) -> str:
        return os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""

    def _headers(self) -> dict[str, str]:
        if self._api_key_env is None:
            return {}
        key = self._key()
        if not key:
            raise MissingKeyError(
                f"`teacher.api_key_env` names {self._api_key_env!r}, which is not set. "
                f"Run: export {self._api_key_env}=... (or `api_key_env: null` for a server without keys)."
            )
        return {"Authorization": f"Bearer {key}"}


def _without(key: str, text: str) -> str:
    return text.replace(key, "***") if key else text


def _retry_after_s(headers: Mapping[str, str], *, otherwise: float) -> float:
    """The seconds of a `Retry-After` header, within reason."""
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(headers["Retry-After"])))
    except (KeyError, ValueError):
        return otherwise


async def _cancel_once(stop: threading.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Cancel the tasks when nobody waits for them any more, whatever they wait for."""
    while not stop.is_set():
        await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()


def _empty(answers: queue.Queue[Completion | BaseException | None]) -> None:
    while True:
        try:
            answers.get_nowait()
        except queue.Empty:
            return
