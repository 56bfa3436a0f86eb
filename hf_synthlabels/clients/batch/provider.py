"""The provider's files and batches, through the `openai` package; what may pass on the way is waited out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from hf_synthlabels.clients.batch.results import is_torn
from hf_synthlabels.clients.batch.status import BatchStatus, MalformedError, id_of, items_of, status_of
from hf_synthlabels.clients.openai.transport import read_api_key
from hf_synthlabels.clients.protocol.base_url import is_loopback, split_query
from hf_synthlabels.clients.protocol.error_replies import QUOTA_CODES, error_message
from hf_synthlabels.clients.protocol.request_headers import NO_HEADERS, RequestHeaders
from hf_synthlabels.clients.retry import backoff_s, retry_after_s
from hf_synthlabels.errors import AllFailedError, ClientError

INTENT = "hf_synthlabels_intent"
"""The metadata that names the intent of a batch."""

RETRIED_STATUSES = frozenset({408, 409, 429})
"""Beside 5xx."""

PAGE_BATCHES = 100

OLDER_S = 86_400.0
"""Where batches are listed from the newest on, one so much older than what is looked for ends the search."""

TORN_TRIES = 3

TIDY_PATIENCE_S = 10.0
"""For deleting, which no answer depends on."""

Result = TypeVar("Result")


class RefusedError(Exception):
    """The provider will not do what was asked, now or later."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class UnknownError(RefusedError):
    """The provider does not know the batch or the file."""


class BatchProvider:
    """Files and batches of one endpoint.

    What may pass is tried again with growing, jittered pauses: time-outs, broken connections, torn replies, 429 and
    5xx. A reply that never came leaves open whether a batch was made, so the provider's list is asked before another
    one is.

    Args:
        base_url: up to and including `/v1`.
        api_key_env: the environment variable with the key; None for a server without one.
        timeout_s: of one try.
        outage_timeout_s: how long a provider that answers nothing is waited for.
        appear_s: how long it may take until a batch that was made stands in the provider's list.
        headers: sent with each call.

    Raises:
        MissingKeyError: the environment variable is not set or is empty.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key_env: str | None,
        timeout_s: float,
        outage_timeout_s: float,
        appear_s: float,
        headers: RequestHeaders = NO_HEADERS,
    ) -> None:
        # Three seconds of importing that only batches need.
        import openai

        self.base_url = base_url
        self._api_key_env = api_key_env
        self._headers = headers
        self._patience_s = outage_timeout_s
        self._appear_s = appear_s
        address, query = split_query(base_url)
        # httpx would send requests to this machine through a proxy of the environment.
        local = is_loopback(urlsplit(base_url).hostname or "")
        self._sdk = openai.OpenAI(
            api_key=read_api_key(api_key_env) or "none",
            base_url=address,
            default_query=query,
            timeout=timeout_s,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False) if local else None,
            default_headers=headers.read(),
        )

    def close(self) -> None:
        """Close its connections."""
        self._sdk.close()

    def upload(self, intent: str, file: IO[bytes], size: int) -> str:
        """Upload an input file, or find it when an earlier try got through unheard. Returns the file's id."""
        name = file_name(intent)

        def send() -> str:
            file.seek(0)
            return id_of(self._sdk.files.create(file=(name, file, "application/jsonl"), purpose="batch"))

        def look() -> str | None:
            return next((one for one, length in self._files(name) if length == size), None)

        return self._call("upload the requests", send, look)

    def create(self, intent: str, file_id: str, began_at: float) -> BatchStatus:
        """Make a batch, or find it when an earlier try got through unheard."""

        def make() -> BatchStatus:
            made = self._sdk.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={INTENT: intent},
            )
            return status_of(made)

        return self._call("make the batch", make, lambda: self.find(intent, file_id, began_at))

    def find(self, intent: str, file_id: str | None, began_at: float) -> BatchStatus | None:
        """The batch of an intent; waited for until it must stand in the list, if it was made.

        Args:
            intent: its id, which is in the batch's metadata.
            file_id: of its input file, which no other batch has; for servers that keep no metadata.
            began_at: when the intent began, in seconds since 1970.
        """
        deadline = time.monotonic() + self._appear_s
        attempts = 0
        while True:
            found = self._search(intent, file_id, began_at)
            left_s = deadline - time.monotonic()
            if found is not None or left_s <= 0:
                return found
            attempts += 1
            time.sleep(min(backoff_s(attempts), left_s))

    def get(self, batch_id: str) -> BatchStatus:
        """What has become of a batch."""
        return self._call("ask for the batch", lambda: status_of(self._sdk.batches.retrieve(batch_id)))

    def cancel(self, batch_id: str) -> BatchStatus:
        """Cancel a batch; what is answered already is still billed, and comes."""
        return self._call("cancel the batch", lambda: status_of(self._sdk.batches.cancel(batch_id)))

    def knows_file(self, file_id: str) -> bool:
        """Whether the account that the key belongs to has a file."""
        try:
            self._call("ask for the input file", lambda: id_of(self._sdk.files.retrieve(file_id)))
        except UnknownError:
            return False
        return True

    def download(self, file_id: str, file: IO[bytes]) -> None:
        """Write a result file into a file; one that breaks off is fetched again, and then taken as it is."""

        def fetch() -> None:
            file.seek(0)
            file.truncate()
            with self._sdk.files.with_streaming_response.content(file_id) as response:
                for part in response.iter_bytes():
                    file.write(part)
            file.flush()

        for _ in range(TORN_TRIES):
            self._call("fetch the answers", fetch)
            if not is_torn(file):
                return

    def delete_input(self, intent: str, file_id: str | None) -> None:
        """Delete what was uploaded for an intent; a file that stays after all costs nothing and expires."""
        outage_timeout_s = min(self._patience_s, TIDY_PATIENCE_S)
        try:
            known = [file_id] if file_id is not None else [one for one, _ in self._files(file_name(intent))]
            for one in known:
                self._call(
                    "delete the input file", partial(self._sdk.files.delete, one), outage_timeout_s=outage_timeout_s
                )
        except (RefusedError, ClientError):
            return

    def _files(self, name: str) -> list[tuple[str, int]]:
        """Ids and sizes of the input files with a name."""
        import openai

        def page(after: str | None) -> tuple[list[Any], bool]:
            files = self._sdk.files.list(purpose="batch", after=openai.omit if after is None else after)
            return items_of(files), files.has_next_page()

        found, after = [], None
        while True:
            items, more = self._call("look for the input file", partial(page, after))
            found += [(item.id, item.bytes) for item in items if item.filename == name]
            if not more or not items:
                return found
            after = items[-1].id

    def _search(self, intent: str, file_id: str | None, began_at: float) -> BatchStatus | None:
        import openai

        def page(after: str | None) -> tuple[list[Any], bool]:
            batches = self._sdk.batches.list(limit=PAGE_BATCHES, after=openai.omit if after is None else after)
            return items_of(batches), batches.has_next_page()

        after = None
        while True:
            items, more = self._call("list the batches", partial(page, after))
            for item in items:
                if (item.metadata or {}).get(INTENT) == intent or (file_id and item.input_file_id == file_id):
                    return status_of(item)
            if not more or not items or _is_past(items, began_at - OLDER_S):
                return None
            after = items[-1].id

    def _call(
        self,
        what: str,
        call: Callable[[], Result],
        look: Callable[[], Result | None] | None = None,
        *,
        outage_timeout_s: float | None = None,
    ) -> Result:
        """Call until it goes through; `look` finds what a try has done whose reply never came.

        Raises:
            RefusedError: it never will.
            ClientError: the key is not good.
            AllFailedError: the provider is away for too long, or the account is used up.
        """
        began, tries = time.monotonic(), 0
        longest_s = self._patience_s if outage_timeout_s is None else outage_timeout_s
        while True:
            pause_s, maybe_done, words = None, True, ""
            try:
                return call()
            except _transport_errors() as error:
                status = getattr(error, "status_code", None)
                words = _words(error, self._hide)
                if isinstance(status, int):
                    self._sort(what, status, error, words)
                    maybe_done = status >= 500 or status == 408
                    pause_s = retry_after_s(error.response.headers)  # type: ignore[attr-defined]  # it has a status
            if maybe_done and look is not None and (found := look()) is not None:
                return found
            if time.monotonic() - began > longest_s:
                raise AllFailedError(
                    f"{self.base_url} does not let us {what}: {words}. Batches that were made go on there, and what "
                    "was answered is kept: run the same again, and they are taken up."
                )
            tries += 1
            time.sleep(min(backoff_s(tries, pause_s), longest_s))

    def _sort(self, what: str, status: int, error: Exception, words: str) -> None:
        """Raise what it is no use to wait out."""
        code = str(getattr(error, "code", "") or "")
        if status in (401, 403):
            raise ClientError(
                f"`annotator.base_url` {self.base_url!r} refuses the key in `{self._api_key_env}`: {words} "
                f"(HTTP {status}). Give a key that may use files and batches there."
            )
        if status == 402 or (status == 429 and (code in QUOTA_CODES or any(known in words for known in QUOTA_CODES))):
            raise AllFailedError(
                f"The provider says that the account is used up: {words} "
                "Every answer so far is kept: add money or give another key, and run the same again."
            )
        if status == 404:
            raise UnknownError(f"can not {what}: {words}", code=code, status=status)
        if code == "token_limit_exceeded" or not (status >= 500 or status in RETRIED_STATUSES):
            raise RefusedError(f"can not {what}: {words}", code=code, status=status)

    def _hide(self, text: str) -> str:
        key = os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""
        return self._headers.hide(text.replace(key, "***") if key else text)


def file_name(intent: str) -> str:
    """The name of an intent's input file."""
    return f"hf-synthlabels-{intent}.jsonl"


def _transport_errors() -> tuple[type[Exception], ...]:
    """All that a call can raise for reasons outside of this package."""
    import httpx2
    import openai

    return openai.APIError, httpx2.HTTPError, MalformedError


def _is_past(items: list[Any], time_s: float) -> bool:
    """Whether a page of a list that begins with the newest ends before a time."""
    first, last = items[0].created_at, items[-1].created_at
    return isinstance(first, int) and isinstance(last, int) and last < min(first, time_s)


def _words(error: Exception, hide: Callable[[str], str]) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping) and body.get("message"):
        return error_message(str(body["message"]), hide)
    response = getattr(error, "response", None)
    if response is not None and getattr(response, "is_closed", False) and hasattr(response, "_content"):
        return error_message(response.text, hide)
    return error_message(f"{type(error).__name__}: {error}", hide)
