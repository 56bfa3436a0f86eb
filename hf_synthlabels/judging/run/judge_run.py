"""Judging a data set as a judge file says: planned before anything is spent, written as it comes, resumable."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import Plan, store_path
from hf_synthlabels.annotation.client_factory import client_use
from hf_synthlabels.annotation.output import STREAMED, split_path
from hf_synthlabels.annotation.planning.forecast import History
from hf_synthlabels.annotation.planning.plan import EXACT_ROWS, build_plan, drawn_rows, plan_notes, zero_cost_plan
from hf_synthlabels.annotation.planning.request_counts import RequestCounter
from hf_synthlabels.annotation.recipe.source import load_source, needed_columns, source_files
from hf_synthlabels.annotation.run.progress_bars import progress_bar
from hf_synthlabels.annotation.run.run_progress import Progress
from hf_synthlabels.annotation.run.stream import TABLE_ROWS
from hf_synthlabels.clients import ChatClient, Request, ResponseFormat, ResponseStore, ScriptedClient
from hf_synthlabels.clients.factory import client_identity, known_format
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.judge import Judge
from hf_synthlabels.judging.pairwise import PairSummary
from hf_synthlabels.judging.run.config import JudgeFile, in_judge_words, read_judge, translate_judge_errors
from hf_synthlabels.judging.run.judge_columns import with_judge_features
from hf_synthlabels.judging.run.judge_tables import JudgeTables, code_names, opened_judge
from hf_synthlabels.judging.summary import JudgeSummary
from hf_synthlabels.tables import NewTable, check_output, check_overwrite, open_writer, write_records

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True, slots=True)
class JudgedSplit:
    """What came of one split."""

    split: str
    path: Path | None
    """None where nothing was to be written."""
    summary: JudgeSummary | PairSummary
    record: dict[str, Any]
    """How the judgments were made and what they come to; also stands beside the file."""


def plan_judge(judge: JudgeFile | dict[str, Any] | str | Path, *, sample: int = 100, seed: int = 0) -> Plan:
    """What a judge file will ask and cost; spends nothing. See `hf_synthlabels.plan`, which does it for recipes.

    Args:
        judge: a path, a packaged judge file's name, or a judge file.
        sample: requests whose tokens are estimated, and rows that are looked at in a larger source.
        seed: which ones.

    Raises:
        ConfigError: `sample` is not positive.
        SynthLabelsError: the judge file, its source or the response store can not be read.
    """
    if sample < 1:
        raise ConfigError(f"`sample` is {sample}. Give a number of rows, at least 1.")
    file = read_judge(judge)
    recipe = file.recipe
    asked_per_row = file.ladder().draws * (2 if file.read_rubric().protocol == "pairwise" else 1)
    with translate_judge_errors():
        splits = load_source(recipe)
        rows = sum(len(part) for part in splits.values())
        if recipe.annotator.client.kind != "openai":
            return _in_our_words(zero_cost_plan(recipe, rows, rows * asked_per_row))
        generator = random.Random(seed)
        with ResponseStore(store_path()) as store:
            form = known_format(recipe.annotator.client, recipe.annotator.response_format, store)
            exact = rows <= max(sample, EXACT_ROWS)
            census = RequestCounter(store, sample, generator, sends_schema=form in (None, "json_schema"))
            for part in splits.values():
                asked = part.select_columns(needed_columns(recipe))
                if not exact:
                    asked = asked.select(drawn_rows(len(part), sample * len(part) // rows, 1, generator))
                census.add(_Rehearsal(file, form or "json_schema", part.features), asked)
            history = History.read(store, recipe)
        notes = plan_notes(recipe, rows, census, history, exact=exact, probed=form is not None)
        return _in_our_words(build_plan(recipe, rows, census, history, notes, asked_per_row=asked_per_row))


def judge_to_files(
    judge: JudgeFile | dict[str, Any] | str | Path,
    output: str | Path | None = None,
    *,
    client: ChatClient | None = None,
) -> list[JudgedSplit]:
    """Judge a source and write it with the judge's columns, as it comes: memory hardly grows with the rows.

    A run that was stopped is simply run again: what had been answered comes from the response store.

    Args:
        judge: a path, a packaged judge file's name, or a judge file.
        output: a .parquet, .jsonl, .csv or .tsv file; of several splits each has a file with its name in front of the
            suffix. Beside each stands what it came to, as `<file>.provenance.json`. None writes nothing.
        client: asked in place of the file's own, with the response store around it.

    Raises:
        DataError: the output is of another format, is the source itself, or cannot be written.
        AllFailedError: the endpoint answers nothing; what was scored before is kept.
        SynthLabelsError: as its subclasses say.
    """
    file = read_judge(judge)
    target = None if output is None else check_judge_output(file, output)
    with translate_judge_errors():
        splits = load_source(file.recipe, streaming=True)
        found = []
        for name, rows in splits.items():
            path = None if target is None else split_path(target, str(name), len(splits))
            found.append(_judge_split(file, rows, str(name), path, client))
    return found


def check_judge_output(file: JudgeFile, output: str | Path, *, overwrite: bool = True) -> Path:
    """The path of an output, checked before anything is sent.

    Raises:
        DataError: it is of another format, is the source itself, cannot be written, or exists and holds something that
            would be lost.
    """
    target = check_output(output, sources=source_files(file.recipe), suffixes=STREAMED, folder=False)
    if not overwrite and target.exists():
        with translate_judge_errors():
            for rows in load_source(file.recipe).values():
                features = with_judge_features(
                    rows.features, file.read_rubric(), file.output.column, draws=file.ladder().draws
                )
                table = NewTable(list(features), rows, None, marks=f"{file.output.column}_status")
                check_overwrite(target, table, recipe=file.name)
    return target


def _judge_split(
    file: JudgeFile, rows: datasets.IterableDataset, name: str, path: Path | None, client: ChatClient | None
) -> JudgedSplit:
    features = with_judge_features(rows.features, file.read_rubric(), file.output.column, draws=file.ladder().draws)
    began = time.monotonic()
    with (
        opened_judge(file, rows.features, client) as judging,
        _shown(file, judging, name) as progress,
        nullcontext() if path is None else open_writer(path, features) as writer,
    ):
        for table, added in judging.tables(rows.with_format("arrow").iter(batch_size=TABLE_ROWS), progress):
            if writer is not None:
                for field in added.column_names:
                    table = table.append_column(added.schema.field(field), added.column(field))
                writer.write(table.cast(features.arrow_schema))
    made = judging.record(time.monotonic() - began)
    if path is not None:
        write_records(path, made)
    return JudgedSplit(name, path, judging.summary(), made)


class _Rehearsal:
    """Asks as a judge file does, without asking."""

    def __init__(self, file: JudgeFile, form: ResponseFormat, features: Mapping[str, Any]) -> None:
        recipe = file.recipe
        annotator = recipe.annotator
        self._file = file
        self._names = code_names(file, features)
        self._judge = Judge(
            file.read_rubric(), ScriptedClient({}), file.ladder(), as_json=form != "text", system=annotator.system
        )
        identity = client_identity(recipe.client(), client_use(recipe, {}), form)
        self._keys = RequestKeys(identity)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """The requests, with the keys of their answers."""
        for request in self._judge.requests(self._file.item(row, self._names) for row in rows):
            yield request, self._keys.of(request)


@contextmanager
def _shown(file: JudgeFile, judging: JudgeTables, what: str) -> Iterator[Progress]:
    with (
        progress_bar(desc=what, unit=" rows") as bar,
        Progress(bar, file.recipe, judging.tally, None, judging.judge.client).kept_current() as progress,
    ):
        yield progress


def _in_our_words(plan: Plan) -> Plan:
    return replace(plan, price=in_judge_words(plan.price), notes=tuple(map(in_judge_words, plan.notes)))
