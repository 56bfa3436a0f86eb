"""Tables with the columns of a judge, from a file, a stream or a dataset in memory."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import RunStats, provenance
from hf_synthlabels.annotation.columns import joined_features
from hf_synthlabels.annotation.provenance import cost_usd, described_annotator, package_version
from hf_synthlabels.annotation.recipe.source import check_columns
from hf_synthlabels.annotation.run.stream import TABLE_ROWS, map_rows
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.factory import open_client
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.config import JudgeFile, read_judge
from hf_synthlabels.judging.criteria.criteria_columns import criteria_features, criteria_row, described_criteria
from hf_synthlabels.judging.judge import Judge
from hf_synthlabels.judging.judgment import JUDGMENT_STATUSES, Judgment
from hf_synthlabels.judging.pairwise import PairCount, PairJudgment, PairSummary, stream_pairs
from hf_synthlabels.judging.prompting.judge_examples import described_examples
from hf_synthlabels.judging.prompting.judge_prompt import Item
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount
from hf_synthlabels.tables import embed_records

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

WINNERS = ["second", "tie", "first"]


def judge_features(file: JudgeFile) -> datasets.Features:
    """Features of the columns that a judge adds, in order."""
    from datasets import ClassLabel, Features, List, Value

    rubric, column = file.read_rubric(), file.output.column
    further = {f"{column}_own_answer": Value("string")} if file.commit_first else {}
    further |= {f"{column}_example": Value("bool")} if file.examples is not None else {}
    if rubric.criteria:
        return Features({**criteria_features(rubric, column, file.extraction_options().num_samples), **further})
    features: dict[str, Any] = {
        f"{column}_score": Value("float64"),
        f"{column}_status": ClassLabel(names=list(JUDGMENT_STATUSES)),
        f"{column}_parse_method": Value("string"),
        f"{column}_reason": Value("string"),
        f"{column}_raw": Value("string"),
    }
    if rubric.protocol == "pairwise":
        features[f"{column}_winner"] = ClassLabel(names=WINNERS)
        features[f"{column}_consistent"] = Value("bool")
        features[f"{column}_preference"] = Value("float64")
        features[f"{column}_raw_swapped"] = Value("string")
    if rubric.protocol == "joint":
        features[f"{column}_reference_score"] = Value("float64")
    if file.extraction_options().num_samples > 1 and rubric.protocol != "pairwise":
        features[f"{column}_samples"] = List(Value("float64"))
    return Features({**features, **further})


def with_judge_features(source: datasets.Features, file: JudgeFile) -> datasets.Features:
    """Features of the judged table: the source's columns, then the judge's.

    Raises:
        ConfigError: the source already has one of the columns.
    """
    return joined_features(source, judge_features(file), file.output.column, ConfigError)


@dataclass(frozen=True, slots=True)
class JudgeTables:
    """An open judge for the rows of a judge file."""

    file: JudgeFile
    judge: Judge
    class_names: Mapping[str, Sequence[str]]
    """Class names of the columns that hold class indices."""
    stats: RunStats
    count: ScoreCount | PairCount
    shown: deque[bool] = field(default_factory=deque)
    """Whether each row that was read and not written is one of the examples."""

    def tables(
        self, tables: Iterable[pa.Table], progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Each table with the judge's columns of its rows, once its last row is judged."""
        yield from map_rows(
            tables, self.file.needed_columns(), self._judgments, lambda _, judgments: self._columns(judgments), progress
        )

    def summary(self) -> JudgeSummary | PairSummary:
        """Summary so far, with the cost by the judge file's price."""
        cost = cost_usd(self.file.resolved_judge.client, self.stats)
        summary = self.count.summary(self.stats)
        if isinstance(summary, PairSummary):
            return replace(summary, wins=replace(summary.wins, cost_usd=cost))
        return replace(summary, cost_usd=cost)

    def record(self, seconds: float) -> dict[str, Any]:
        """Provenance of the columns as plain values, without secrets."""
        file, judge = self.file, self.judge
        summary = self.summary().as_dict()
        further: dict[str, Any] = {"commit_first": True} if judge.commit_first else {}
        if judge.examples:
            further["examples"] = described_examples(judge.examples)
        if judge.rubric.criteria:
            further["criteria"] = described_criteria(judge.rubric)
            further["missing_criterion"] = judge.rubric.missing_criterion
        return {
            "column": file.output.column,
            "judge": file.name,
            "judge_hash": file.fingerprint(),
            "rubric": judge.rubric.name,
            "rubric_hash": judge.rubric.fingerprint(),
            "prompt_hash": judge.prompt.fingerprint(),
            "extraction": {**file.extraction.model_dump(mode="json"), "num_samples": judge.extraction.num_samples},
            "extraction_hash": judge.extraction.fingerprint(),
            "source": file.source.model_dump(mode="json"),
            "columns": file.columns.by_role(),
            **further,
            "client": described_annotator(file.resolved_judge),
            "returned_models": sorted(self.stats.models),
            "tally": self.stats.to_dict(),
            "summary": _without_nan(summary),
            "judging_s": round(seconds, 3),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "package_version": package_version(),
        }

    def _judgments(self, rows: Iterator[dict[str, Any]]) -> Iterator[Judgment | PairJudgment]:
        items = (self._item(row) for row in rows)
        if isinstance(self.count, PairCount):
            for pair in stream_pairs(self.judge, items, self.stats):
                self.count.add(pair)
                yield pair
        else:
            for judgment in self.judge.stream(items, self.stats):
                self.count.add(judgment)
                yield judgment

    def _item(self, row: dict[str, Any]) -> Item:
        item = self.file.item(row, self.class_names)
        if self.judge.examples:
            self.shown.append(any(example.item.is_same(item) for example in self.judge.examples))
        return item

    def _columns(self, judgments: Sequence[Judgment | PairJudgment]) -> pa.Table:
        """The judge's columns of some rows, the next ones."""
        import pyarrow as pa

        schema, prefix = judge_features(self.file).arrow_schema, f"{self.file.output.column}_"
        rows = [_pair_row(each) if isinstance(each, PairJudgment) else _row(each) for each in judgments]
        for row in rows if self.judge.examples else ():
            row["example"] = self.shown.popleft()
        return pa.table(
            [pa.array([row[field.name.removeprefix(prefix)] for row in rows], field.type) for field in schema],
            schema=schema,
        )


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for JSON, with null for nan."""
    return {
        key: _without_nan(value)
        if isinstance(value, Mapping)
        else None
        if isinstance(value, float) and math.isnan(value)
        else value
        for key, value in values.items()
    }


def _row(judgment: Judgment) -> dict[str, Any]:
    if judgment.criteria:
        return criteria_row(judgment)
    return {
        "score": judgment.score,
        "status": JUDGMENT_STATUSES.index(judgment.status),
        "parse_method": judgment.parse_method,
        "reason": judgment.error or judgment.reason,
        "raw": judgment.raw,
        "own_answer": judgment.own_answer,
        "reference_score": judgment.reference_score,
        "samples": list(judgment.samples),
    }


def _pair_row(pair: PairJudgment) -> dict[str, Any]:
    first, second = pair.in_order, pair.swapped
    return {
        "score": pair.score,
        "status": JUDGMENT_STATUSES.index(pair.status),
        "parse_method": None if first is None or pair.winner is None else first.parse_method,
        "reason": pair.error or (None if first is None else first.reason),
        "raw": None if first is None else first.raw,
        "own_answer": None if first is None else first.own_answer,
        "raw_swapped": None if second is None else second.raw,
        "winner": None if pair.winner is None else WINNERS.index(pair.winner),
        "consistent": pair.consistent,
        "preference": pair.preference,
    }


@contextmanager
def open_judge(
    file: JudgeFile, features: Mapping[str, Any] | None = None, *, client: ChatClient | None = None
) -> Iterator[Judge]:
    """The judge of a file; its response store is flushed and closed on exit.

    Args:
        file: settings of the judge.
        features: features of the rows, for recorded replies.
        client: replaces the client of the file; still wrapped in the response store.
    """
    keys = file.resolved_judge
    price = None if client is not None else keys.client.resolved_price
    with open_client(file.client(), file.client_use(features or {}), client=client) as opened:
        yield Judge(
            file.read_rubric(),
            opened.client,
            file.extraction_options(),
            opened.as_json,
            keys.system,
            price,
            opened.window_rows,
            file.judge_examples,
            file.commit_first,
        )


@contextmanager
def open_judge_tables(
    file: JudgeFile, features: Mapping[str, Any], client: ChatClient | None = None
) -> Iterator[JudgeTables]:
    """The judge of a file, for tables with these features; see `open_judge`."""
    with open_judge(file, features, client=client) as judge:
        count = PairCount(judge) if judge.rubric.protocol == "pairwise" else ScoreCount(judge.rubric)
        yield JudgeTables(file, judge, class_names(file, features), RunStats(), count)


def judge_dataset(
    dataset: Any, judge: JudgeFile | dict[str, Any] | str | Path, *, client: ChatClient | None = None
) -> Any:
    """Add a judge's columns to a dataset in memory; the number and order of its rows do not change.

    Args:
        dataset: a `Dataset` or a `DatasetDict`.
        judge: a path, the name of a packaged judge file, or a judge file; its `source` is ignored.
        client: replaces the client of the file; still wrapped in the response store.

    Returns:
        The same kind of object, with provenance and summary of the columns in its `info.description`.

    Raises:
        DataError: the dataset is empty, or lacks a column named in the file.
        ClientError: the judge is unreachable, or fails on every row.
    """
    import datasets
    import pyarrow as pa

    file = read_judge(judge)
    if isinstance(dataset, dict):
        return type(dataset)({name: judge_dataset(part, file, client=client) for name, part in dataset.items()})
    if len(dataset) == 0:
        raise DataError("`dataset` has no rows. Give data with rows.")
    check_columns(file.named_columns(), dataset.features, "the data set")
    features = with_judge_features(dataset.features, file)
    start = time.monotonic()
    with open_judge_tables(file, dataset.features, client) as judging:
        tables = dataset.with_format("arrow").iter(batch_size=TABLE_ROWS)
        added = [part for _, part in judging.tables(tables)]
    joined = datasets.concatenate_datasets([dataset, datasets.Dataset(pa.concat_tables(added))], axis=1).cast(features)
    record = judging.record(time.monotonic() - start)
    joined.info.description = embed_records([*provenance(dataset), record], dataset.info.description)
    return joined


def class_names(file: JudgeFile, features: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Class names of the judged columns that hold class indices."""
    names: dict[str, Sequence[str]] = {}
    for column in file.columns.by_role().values():
        feature = features.get(column)
        classes = getattr(getattr(feature, "feature", feature), "names", None)
        if classes is not None:
            names[column] = classes
    return names
