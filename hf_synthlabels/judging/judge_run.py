"""Runs of a judge file: a plan before anything is spent, and tables that are written as the replies arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import Plan
from hf_synthlabels.annotation.output import STREAMED, split_path
from hf_synthlabels.annotation.planning.plan import Workload, plan_requests
from hf_synthlabels.annotation.run.progress_bars import progress_bar
from hf_synthlabels.annotation.run.run_progress import Progress
from hf_synthlabels.annotation.run.stream import TABLE_ROWS
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.judging.config import JudgeFile, read_judge
from hf_synthlabels.judging.judge_tables import JudgeTables, open_judge_tables, with_judge_features
from hf_synthlabels.judging.pairwise import PairSummary
from hf_synthlabels.judging.prompting.judge_forecast import judge_dry_run, usual_reply_tokens
from hf_synthlabels.judging.summary import JudgeSummary
from hf_synthlabels.tables import NewTable, check_output, check_overwrite, open_writer, write_records

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True, slots=True)
class JudgedSplit:
    """Result for one split."""

    split: str
    path: Path | None
    """None without an output file."""
    summary: JudgeSummary | PairSummary
    record: dict[str, Any]
    """Provenance and summary of the judgments; also written next to the file."""


def plan_judge(judge: JudgeFile | dict[str, Any] | str | Path, *, sample: int = 100, seed: int = 0) -> Plan:
    """Estimate requests and cost of a judge file without sending anything; like `hf_synthlabels.plan` for recipes.

    Args:
        judge: a path, the name of a packaged judge file, or a judge file.
        sample: number of requests whose tokens are estimated, and of rows read from a larger source.
        seed: random seed of the sample.

    Raises:
        ConfigError: `sample` is not positive.
        SynthLabelsError: the judge file, its source or the response store cannot be read.
    """
    file = read_judge(judge)
    keys = file.resolved_judge
    as_json, is_reasoning_model = keys.response_format != "text", keys.client.is_reasoning_model
    usual_tokens = usual_reply_tokens(file, as_json=as_json, is_reasoning_model=is_reasoning_model)
    work = Workload(
        "judge",
        file.name,
        file.client(),
        keys.response_format,
        file.needed_columns(),
        usual_tokens,
        lambda response_format, features: judge_dry_run(file, response_format, features),
        file.requests_per_row(),
    )
    return plan_requests(work, file.load_source(), sample=sample, seed=seed)


def judge_to_files(
    judge: JudgeFile | dict[str, Any] | str | Path,
    output: str | Path | None = None,
    *,
    client: ChatClient | None = None,
) -> list[JudgedSplit]:
    """Judge a source and write its rows with the judge's columns in bounded memory.

    Run the same call again to resume an interrupted run: earlier replies come from the response store.

    Args:
        judge: a path, the name of a packaged judge file, or a judge file.
        output: a .parquet, .jsonl, .csv or .tsv file. With several splits, each has a file with its name before the
            suffix. The provenance is written to `<file>.provenance.json`. None writes nothing.
        client: replaces the client of the file; still wrapped in the response store.

    Raises:
        DataError: the output has another format, is the source itself, or cannot be written.
        AllFailedError: the endpoint fails; the scores so far are kept.
        SynthLabelsError: see its subclasses.
    """
    file = read_judge(judge)
    target = None if output is None else check_judge_output(file, output)
    splits = file.load_source(streaming=True)
    judged = []
    for name, rows in splits.items():
        path = None if target is None else split_path(target, str(name), len(splits))
        judged.append(_judge_split(file, rows, str(name), path, client))
    return judged


def check_judge_output(file: JudgeFile, output: str | Path, *, overwrite: bool = True) -> Path:
    """The path of an output, checked before any request is sent.

    Raises:
        DataError: the output has another format, is the source itself, cannot be written, or would overwrite data.
    """
    target = check_output(output, sources=file.source_files(), suffixes=STREAMED, folder=False)
    if not overwrite and target.exists():
        for rows in file.load_source().values():
            features = with_judge_features(rows.features, file)
            table = NewTable(list(features), rows, None, marks=f"{file.output.column}_status")
            check_overwrite(target, table, recipe=file.name)
    return target


def _judge_split(
    file: JudgeFile, rows: datasets.IterableDataset, name: str, path: Path | None, client: ChatClient | None
) -> JudgedSplit:
    features = with_judge_features(rows.features, file)
    start = time.monotonic()
    with (
        open_judge_tables(file, rows.features, client) as judging,
        _progress(file, judging, name) as progress,
        nullcontext() if path is None else open_writer(path, features) as writer,
    ):
        for table, added in judging.tables(rows.with_format("arrow").iter(batch_size=TABLE_ROWS), progress):
            if writer is not None:
                for field in added.column_names:
                    table = table.append_column(added.schema.field(field), added.column(field))
                writer.write(table.cast(features.arrow_schema))
    record = judging.record(time.monotonic() - start)
    if path is not None:
        write_records(path, record)
    return JudgedSplit(name, path, judging.summary(), record)


@contextmanager
def _progress(file: JudgeFile, judging: JudgeTables, split: str) -> Iterator[Progress]:
    config = file.resolved_judge.client
    with (
        progress_bar(desc=split, unit=" rows") as bar,
        Progress(bar, config, judging.stats, None, judging.judge.client).kept_current() as progress,
    ):
        yield progress
