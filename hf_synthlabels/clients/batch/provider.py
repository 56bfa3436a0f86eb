"""Files and batches of a provider, through the `openai` package, with retries that never buy twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from hf_synthlabels.clients.batch.batch_results import BatchStatus, MalformedError, id_of, is_truncated
from hf_synthlabels.clients.batch.pending_requests import BatchPolling
from hf_synthlabels.clients.protocol.base_url import is_loopback, split_query
from hf_synthlabels.clients.protocol.endpoint import Endpoint
from hf_synthlabels.clients.protocol.error_replies import QUOTA_CODES, error_message
from hf_synthlabels.clients.retry import backoff_s, retry_after_s
from hf_synthlabels.errors import AllFailedError, ClientError, import_extra

METADATA_KEY = "hf_synthlabels_intent"
"""Key of the batch metadata that holds the record's ID. Do not rename: existing batches are found by it."""

RETRIED_STATUSES = frozenset({408, 409, 429})
"""Retried in addition to 5xx."""

PAGE_BATCHES = 100
MAX_DOWNLOADS = 3

CLEANUP_TIMEOUT_S = 10.0
"""For deleting files, which no answer depends on."""

Result = TypeVar("Result")


class RefusedError(Exception):
    """The provider refuses a call permanently."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class UnknownError(RefusedError):
    """The provider does not know the batch or the file."""


class BatchProvider:
    """Files and batches of one endpoint.

    Timeouts, broken connections, malformed replies, 429 and 5xx are retried with exponential backoff and jitter. If the
    reply to a creating call is lost, the provider's list is searched before the call is repeated.

    Raises:
        MissingKeyError: the environment variable is not set or is empty.
    """

    def __init__(self, endpoint: Endpoint, polling: BatchPolling) -> None:
        # Takes three seconds, and only batches need it.
        openai = import_extra("openai", "batch")
        self._endpoint = endpoint
        self._polling = polling
        url, query = split_query(endpoint.base_url)
        # httpx would send requests to this machine through a proxy of the environment.
        local = is_loopback(urlsplit(endpoint.base_url).hostname or "")
        self._sdk = openai.OpenAI(
            api_key=endpoint.api_key() or "none",
            base_url=url,
            default_query=query,
            timeout=polling.timeout_s,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False) if local else None,
            default_headers=endpoint.headers.read(),
        )

    def close(self) -> None:
        """Close the connections."""
        self._sdk.close()

    def upload(self, record_id: str, file: IO[bytes], size: int) -> str:
        """Upload an input file, or find it if an earlier attempt succeeded without a reply. Returns the file's ID."""
        name = _file_name(record_id)

        def create() -> str:
            file.seek(0)
            return id_of(self._sdk.files.create(file=(name, file, "application/jsonl"), purpose="batch"))

        def find() -> str | None:
            return next((file_id for file_id, length in self._files(name) if length == size), None)

        return self._call("upload the requests", create, find)

    def create(self, record_id: str, file_id: str) -> BatchStatus:
        """Create a batch, or find it if an earlier attempt succeeded without a reply."""

        def create() -> BatchStatus:
            return BatchStatus.of(
                self._sdk.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={METADATA_KEY: record_id},
                )
            )

        return self._call("create the batch", create, lambda: self.find(record_id, file_id))

    def find(self, record_id: str, file_id: str | None) -> BatchStatus | None:
        """Find the batch of a record; searches until the batch must be in the list, if it exists.

        Args:
            record_id: ID in the batch's metadata.
            file_id: ID of its input file, for servers that drop the metadata.
        """
        deadline = time.monotonic() + self._polling.listing_delay_s
        attempts = 0
        while True:
            status = self._search(record_id, file_id)
            remaining_s = deadline - time.monotonic()
            if status is not None or remaining_s <= 0:
                return status
            attempts += 1
            time.sleep(min(backoff_s(attempts), remaining_s))

    def get(self, batch_id: str) -> BatchStatus:
        """The status of a batch."""
        return self._call("read the batch", lambda: BatchStatus.of(self._sdk.batches.retrieve(batch_id)))

    def cancel(self, batch_id: str) -> BatchStatus:
        """Cancel a batch; requests that are already answered are billed, and their answers can be downloaded."""
        return self._call("cancel the batch", lambda: BatchStatus.of(self._sdk.batches.cancel(batch_id)))

    def has_file(self, file_id: str) -> bool:
        """Whether a file belongs to the account of the key."""
        try:
            self._call("read the input file", lambda: id_of(self._sdk.files.retrieve(file_id)))
        except UnknownError:
            return False
        return True

    def download(self, file_id: str, file: IO[bytes]) -> None:
        """Write a result file into a local file; a truncated one is downloaded again, and then used as it is."""

        def fetch() -> None:
            file.seek(0)
            file.truncate()
            with self._sdk.files.with_streaming_response.content(file_id) as response:
                for part in response.iter_bytes():
                    file.write(part)
            file.flush()

        for _ in range(MAX_DOWNLOADS):
            self._call("download the results", fetch)
            if not is_truncated(file):
                return

    def delete_input(self, record_id: str, file_id: str | None) -> None:
        """Delete the input file of a batch; if this fails, the file costs nothing and expires."""
        timeout_s = min(self._polling.outage_timeout_s, CLEANUP_TIMEOUT_S)
        try:
            names = [file_id] if file_id is not None else [name for name, _ in self._files(_file_name(record_id))]
            for name in names:
                self._call("delete the input file", partial(self._sdk.files.delete, name), outage_timeout_s=timeout_s)
        except (RefusedError, ClientError):
            return

    def _files(self, name: str) -> list[tuple[str, int]]:
        """IDs and sizes of the input files with a name."""
        pages = self._pages("list the input files", partial(self._sdk.files.list, purpose="batch"))
        return [(file.id, file.bytes) for files in pages for file in files if file.filename == name]

    def _search(self, record_id: str, file_id: str | None) -> BatchStatus | None:
        for batches in self._pages("list the batches", partial(self._sdk.batches.list, limit=PAGE_BATCHES)):
            for batch in batches:
                is_same_file = file_id is not None and batch.input_file_id == file_id
                if is_same_file or (batch.metadata or {}).get(METADATA_KEY) == record_id:
                    return BatchStatus.of(batch)
        return None

    def _pages(self, action: str, listing: Callable[..., Any]) -> Iterator[list[Any]]:
        omit = import_extra("openai", "batch").omit

        def page(after: Any) -> tuple[list[Any], bool]:
            reply = listing(after=after)
            items = getattr(reply, "data", None)
            if not isinstance(items, list):
                raise MalformedError(f"the reply is not a list: {str(reply)[:80]}")
            return items, reply.has_next_page()

        after: Any = omit
        while True:
            items, more = self._call(action, partial(page, after))
            yield items
            if not more or not items:
                return
            after = items[-1].id

    def _call(
        self,
        action: str,
        call: Callable[[], Result],
        find: Callable[[], Result | None] | None = None,
        *,
        outage_timeout_s: float | None = None,
    ) -> Result:
        """Repeat a call until it succeeds; `find` looks for the effect of an attempt whose reply was lost.

        Raises:
            RefusedError: the call can never succeed.
            ClientError: the key is rejected.
            AllFailedError: the provider is unavailable for too long, or the account has no credit.
        """
        start, attempts = time.monotonic(), 0
        limit_s = self._polling.outage_timeout_s if outage_timeout_s is None else outage_timeout_s
        while True:
            pause_s, may_have_succeeded, reason = None, True, ""
            try:
                return call()
            except _transport_errors() as error:
                status = getattr(error, "status_code", None)
                reason = _reason(error, self._endpoint.redact)
                if isinstance(status, int):
                    self._raise_if_final(action, status, str(getattr(error, "code", "") or ""), reason)
                    may_have_succeeded = status >= 500 or status == 408
                    pause_s = retry_after_s(error.response.headers)  # type: ignore[attr-defined]  # it has a status
            if may_have_succeeded and find is not None and (result := find()) is not None:
                return result
            if time.monotonic() - start > limit_s:
                raise AllFailedError(
                    f"{self._endpoint.base_url} failed to {action} for {limit_s:.0f} s: {reason}. Existing batches "
                    "continue and answers are kept; run the same command again to resume."
                )
            attempts += 1
            time.sleep(min(backoff_s(attempts, pause_s), limit_s))

    def _raise_if_final(self, action: str, status: int, code: str, reason: str) -> None:
        """Raise an error for a reply that a retry would not change."""
        if status in (401, 403):
            raise ClientError(
                f"`base_url` {self._endpoint.base_url!r} rejects the key in "
                f"`{self._endpoint.api_key_env}`: {reason} (HTTP {status}). Use a key with access to files and batches."
            )
        quota = code in QUOTA_CODES or any(quota_code in reason for quota_code in QUOTA_CODES)
        if status == 402 or (status == 429 and quota):
            raise AllFailedError(no_credit(reason))
        if status == 404:
            raise UnknownError(f"cannot {action}: {reason}", code=code, status=status)
        if code == "token_limit_exceeded" or not (status >= 500 or status in RETRIED_STATUSES):
            raise RefusedError(f"cannot {action}: {reason}", code=code, status=status)


def no_credit(reason: str) -> str:
    """The message for an account without credit."""
    return (
        f"The provider reports that the account has no credit: {reason} "
        "All answers so far are kept: add credit or use another key, and run the same command again."
    )


def _file_name(record_id: str) -> str:
    return f"hf-synthlabels-{record_id}.jsonl"


def _transport_errors() -> tuple[type[Exception], ...]:
    import httpx2

    openai = import_extra("openai", "batch")

    # The package does not wrap errors of a reply that is not valid JSON.
    return openai.APIError, httpx2.HTTPError, json.JSONDecodeError, MalformedError


def _reason(error: Exception, redact: Callable[[str], str]) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping) and body.get("message"):
        return error_message(str(body["message"]), redact)
    if hasattr(error, "status_code"):
        return error_message(str(error), redact)
    return error_message(f"{type(error).__name__}: {error}", redact)
