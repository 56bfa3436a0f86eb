"""Looking after the response store: what is in it, whether it is whole, taking it along, making it smaller."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.store import ResponseStore, checksum
from hf_synthlabels.errors import DataError, StoreError

__all__ = ["Findings", "LedgerLine", "Size", "dump", "ledger", "prune", "restore", "size", "verify"]

BATCH = 1000


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What one model was asked and paid for one recipe."""

    scope: str
    model: str
    runs: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    """None where no price was known for any of it."""
    uncertain_requests: int
    """Sent without an answer; the server may have billed them."""
    uncertain_usd: float
    unsettled_requests: int
    """Reserved by runs that were killed or still go on: so many at most may have been billed and lost."""
    unsettled_usd: float


@dataclass(frozen=True, slots=True)
class Size:
    """How much a store holds."""

    answers: int
    bytes: int
    """Of the file and its write-ahead log."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check of the file came to."""

    answers: int
    damaged: tuple[str, ...]
    """Keys whose checksum does not hold; they count as absent and are asked again."""
    faults: tuple[str, ...]
    """What SQLite finds wrong with the file itself; none when it is whole."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damaged and not self.faults


def ledger(store: ResponseStore) -> list[LedgerLine]:
    """What was spent, by recipe and model, the dearest first."""
    rows = store.select(
        "SELECT scope, coalesce(model, '?'), count(*), sum(requests), sum(prompt_tokens), sum(completion_tokens), "
        "sum(cached_tokens), sum(usd), sum(uncertain_requests), sum(uncertain_usd), "
        "sum(max(0, granted_requests - requests - uncertain_requests)), "
        "sum(max(0, granted_usd - coalesce(usd, 0) - uncertain_usd)) "
        "FROM runs GROUP BY scope, model ORDER BY sum(usd) DESC, sum(requests) DESC"
    )
    return [LedgerLine(*row) for row in rows]


def size(store: ResponseStore) -> Size:
    """How much a store holds."""
    log = store.path.with_name(store.path.name + "-wal")
    total = sum(file.stat().st_size for file in (store.path, log) if file.exists())
    return Size(len(store), total)


def verify(path: str | Path) -> Findings:
    """Check every answer's checksum and the file itself; changes nothing, and reads what a torn file still gives.

    Raises:
        StoreError: there is no such file, or it is no database at all.
    """
    file = Path(path)
    if not file.is_file():
        raise StoreError(
            f"The response store `{file}` is not there. Set HF_SYNTHLABELS_HOME to the folder that has it."
        )
    answers, damaged, faults = 0, [], []
    # Read as it is: an ordinary opening would already mend the log.
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda content: content.decode(errors="replace")
        try:
            faults = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            for key, payload, mark in connection.execute("SELECT key, payload, checksum FROM answers"):
                answers += 1
                if checksum(payload) != mark:
                    damaged.append(str(key))
        except sqlite3.DatabaseError as error:
            faults.append(str(error))
    return Findings(answers, tuple(damaged), tuple(faults))


def dump(path: str | Path, output: str | Path) -> int:
    """Write all whole answers of a store as JSON Lines, even of a torn one as far as it reads; returns their number.

    The file has its name only when it is complete.
    """
    count = 0
    target = Path(output)
    part = target.with_name(target.name + ".part")
    with part.open("w", encoding="utf-8") as lines:
        for key, payload in _whole_answers(Path(path)):
            lines.write(json.dumps({"request": key, **json.loads(payload)}, ensure_ascii=False) + "\n")
            count += 1
        lines.flush()
        os.fsync(lines.fileno())
    part.replace(target)
    return count


def restore(store: ResponseStore, source: str | Path) -> tuple[int, int]:
    """Put the answers of an exported file into a store; returns how many were new, and how many were there already.

    Raises:
        DataError: a line is no exported answer, or contradicts the answer that is there; lines before it are kept.
    """
    new = known = 0
    for number, batch in enumerate(_batches(_exported(Path(source)))):
        there = store.get(key for key, _ in batch)
        for key, payload in batch:
            if key not in there:
                store.put(key, payload)
                new += 1
            elif there[key].get("text") == payload.get("text"):
                known += 1
            else:
                store.flush()
                raise DataError(
                    f"`{Path(source).name}`, within answers {number * BATCH + 1} to {(number + 1) * BATCH}: request "
                    f"{key[:12]} has another answer in the store. Prune that one first, or leave this file."
                )
    store.flush()
    return new, known


def prune(
    store: ResponseStore,
    *,
    older_than_s: float | None = None,
    model: str | None = None,
    unsettled: bool = False,
    dry_run: bool = True,
) -> tuple[int, int]:
    """Take answers out of a store, or say how many it would be; returns answers and unsettled runs.

    Args:
        store: the store.
        older_than_s: answers that were made longer ago.
        model: answers of this model version only.
        unsettled: also give back what killed runs had reserved; to be told only after all runs have ended.
        dry_run: change nothing.

    Raises:
        DataError: nothing says what is to go.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if older_than_s is not None:
        conditions.append("created_at < ?")
        values.append(time.time() - older_than_s)
    if model is not None:
        conditions.append("json_extract(payload, '$.model') = ?")
        values.append(model)
    if not conditions and not unsettled:
        raise DataError("`prune` has nothing to go by. Say `--older-than`, `--model` or `--unsettled`.")
    answers = runs = 0
    if conditions:
        where = " AND ".join(conditions)
        answers = int(store.select(f"SELECT count(*) FROM answers WHERE {where}", values)[0][0])
        if not dry_run and answers:
            store.execute(f"DELETE FROM answers WHERE {where}", values)
    if unsettled:
        runs = int(store.select("SELECT count(*) FROM runs WHERE ended_at IS NULL")[0][0])
        if not dry_run and runs:
            store.execute(
                "UPDATE runs SET ended_at = ?, granted_requests = requests + uncertain_requests, "
                "granted_usd = coalesce(usd, 0) + uncertain_usd, "
                "granted_tokens = prompt_tokens + completion_tokens + uncertain_tokens WHERE ended_at IS NULL",
                (time.time(),),
            )
    return answers, runs


def _whole_answers(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise StoreError(
            f"The response store `{path}` is not there. Set HF_SYNTHLABELS_HOME to the folder that has it."
        )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda content: content.decode(errors="replace")
        try:
            for key, payload, mark in connection.execute("SELECT key, payload, checksum FROM answers"):
                if checksum(payload) == mark:
                    yield key, payload
        except sqlite3.DatabaseError:
            # A torn file: what comes before the tear has been read.
            return


def _exported(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    content = json.loads(line)
                    key = str(content["request"])
                    yield key, _payload(content)
                except (ValueError, TypeError, KeyError, AttributeError):
                    raise DataError(
                        f"`{path.name}`, line {number}: expected an exported answer with `request` and `text` or "
                        f"`answer`, got {line[:60]!r}."
                    ) from None
    except OSError as error:
        raise DataError(f"`{path}` can not be read: {error.strerror}.") from None


def _payload(content: dict[str, Any]) -> dict[str, Any]:
    """What the store keeps, out of a line of either form of export."""
    kept = ("model", "usage", "probabilities", "tokens")
    payload: dict[str, Any] = {name: content[name] for name in kept if name in content}
    usage = payload.get("usage") or {}
    payload["usage"] = {
        name: int(usage.get(name, 0)) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
    }
    payload.setdefault("model", None)
    payload["text"] = str(content["text"] if "text" in content else content["answer"])
    return payload


def _batches(items: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    batch: list[tuple[str, dict[str, Any]]] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
