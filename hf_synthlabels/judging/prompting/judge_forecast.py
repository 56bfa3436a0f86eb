"""Forecast of a judge file: its requests with their cache keys, and the usual length of a reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.annotation import Strategy
from hf_synthlabels.annotation.planning.dry_run import DryRun, Rows
from hf_synthlabels.annotation.planning.forecast import usual_answer_tokens
from hf_synthlabels.clients import Request, ResponseFormat, ResponseStore, ScriptedClient
from hf_synthlabels.clients.factory import client_identity
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.clients.store.payloads import stored_completion
from hf_synthlabels.clients.token_estimates import estimate_tokens
from hf_synthlabels.judging.config import JudgeFile, verdict_schema
from hf_synthlabels.judging.judge import Judge
from hf_synthlabels.judging.judge_tables import class_names
from hf_synthlabels.judging.prompting.judge_requests import USUAL_ANSWER
from hf_synthlabels.resources import store_path


def judge_dry_run(file: JudgeFile, response_format: ResponseFormat, features: Mapping[str, Any]) -> DryRun:
    """The dry run of a judge file for rows with these features."""
    names = class_names(file, features)
    judge = Judge(
        file.read_rubric(),
        ScriptedClient({}),
        file.extraction_options(),
        as_json=response_format != "text",
        system=file.resolved_judge.system,
        examples=file.judge_examples,
        commit_first=file.commit_first,
    )
    keys = RequestKeys(client_identity(file.client(), file.client_use({}), response_format))

    def build(rows: Rows) -> Iterator[Request]:
        return judge.requests(file.item(row, names) for row in rows)

    return CommittedDryRun(build, keys, judge, file, names) if file.commit_first else DryRun(build, keys)


@dataclass(frozen=True, slots=True)
class CommittedDryRun(DryRun):
    """Requests that contain the judge's own answers, as far as those are stored."""

    judge: Judge
    file: JudgeFile
    class_names: Mapping[str, Any]

    def requests(self, rows: Rows) -> Iterator[tuple[Request, str]]:
        """The requests for some rows, with the cache keys of their replies."""
        items = (self.file.item(row, self.class_names) for row in rows)
        with ResponseStore(store_path()) as store:

            def own_answer(request: Request) -> str | None:
                key = self.keys.of(request)
                stored = store.get([key])
                return stored_completion(request.key, stored[key]).text.strip() if key in stored else None

            for request in self.judge.requests(items, own_answer):
                yield request, self.keys.of(request)


def usual_reply_tokens(file: JudgeFile, *, as_json: bool, is_reasoning_model: bool) -> tuple[float, float]:
    """How many tokens a reply has, at least and usually; with own answers the mean of all requests about a row."""
    rubric, strategy = file.read_rubric(), Strategy(reasoning=file.read_rubric().reasoning)
    parts = list(rubric.parts.values()) or [rubric]
    first, *others = (
        usual_answer_tokens(
            verdict_schema(part),
            strategy if place == 0 else Strategy(),
            as_json=as_json,
            is_reasoning_model=is_reasoning_model and place == 0,
        )
        for place, part in enumerate(parts)
    )
    names = sum(estimate_tokens(f"{name}: ") for name in rubric.parts)
    least, usual = (sum(lengths) + names for lengths in zip(first, *others, strict=True))
    if not file.commit_first:
        return least, usual
    n_requests, own = file.requests_per_row(), estimate_tokens(USUAL_ANSWER)
    return ((least * (n_requests - 1)) + 1) / n_requests, ((usual * (n_requests - 1)) + own) / n_requests
