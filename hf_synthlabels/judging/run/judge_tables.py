"""JudgeTables: tables go in, and come out with the judge's columns; the source may be a file, a stream, or at hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import RunStats, provenance
from hf_synthlabels.annotation.client_factory import client_use
from hf_synthlabels.annotation.provenance import cost_usd, described_annotator, package_version
from hf_synthlabels.annotation.recipe.source import check_columns, needed_columns
from hf_synthlabels.annotation.run.stream import TABLE_ROWS, map_rows
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.factory import open_client
from hf_synthlabels.errors import DataError
from hf_synthlabels.judging.judge import Judge
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.pairwise import PairCount, PairJudgment, PairSummary, stream_pairs
from hf_synthlabels.judging.run.config import JudgeFile, read_judge, translate_judge_errors
from hf_synthlabels.judging.run.judge_columns import judge_table, with_judge_features
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount
from hf_synthlabels.tables import embed_records

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class JudgeTables:
    """A judge that is ready for the rows of a judge file."""

    file: JudgeFile
    judge: Judge
    names: Mapping[str, Any]
    """Of columns of label codes, what each code stands for."""
    tally: RunStats
    count: ScoreCount | PairCount

    def tables(
        self, tables: Iterable[pa.Table], progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Tables with the judge's columns of their rows, each as soon as its last row is judged."""
        draws, column = self.judge.extraction.draws, self.file.output.column

        def columns(_: pa.Table, done: list[Judgment | PairJudgment]) -> pa.Table:
            return judge_table(done, self.judge.rubric, column, draws=draws)

        yield from map_rows(tables, needed_columns(self.file.recipe), self._judgments, columns, progress)

    def summary(self) -> JudgeSummary | PairSummary:
        """What was judged so far, with the cost that the file's client has, in batches or not."""
        cost = cost_usd(self.file.recipe, self.tally)
        summary = self.count.summary(self.tally)
        if isinstance(summary, PairSummary):
            return replace(summary, wins=replace(summary.wins, cost_usd=cost))
        return replace(summary, cost_usd=cost)

    def record(self, seconds: float) -> dict[str, Any]:
        """What is known of how the columns were made; plain values, no secret among them."""
        file, judge, annotator = self.file, self.judge, self.file.recipe.annotator
        summary = self.summary().as_dict()
        return {
            "column": file.output.column,
            "judge": file.name,
            "judge_hash": file.fingerprint(),
            "rubric": judge.rubric.name,
            "rubric_hash": judge.rubric.fingerprint(),
            "prompt_hash": judge.prompt.fingerprint(),
            "extraction": {**file.extraction.model_dump(mode="json"), "draws": judge.extraction.draws},
            "extraction_hash": judge.extraction.fingerprint(),
            "source": file.source.model_dump(mode="json"),
            "columns": file.columns.named(),
            "client": described_annotator(annotator),
            "returned_models": sorted(self.tally.models),
            "tally": self.tally.to_dict(),
            "summary": {
                key: None if isinstance(value, float) and math.isnan(value) else value for key, value in summary.items()
            },
            "judging_s": round(seconds, 3),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "package_version": package_version(),
        }

    def _judgments(self, rows: Iterator[dict[str, Any]]) -> Iterator[Judgment | PairJudgment]:
        items = (self.file.item(row, self.names) for row in rows)
        if isinstance(self.count, PairCount):
            for pair in stream_pairs(self.judge, items, self.tally):
                self.count.add(pair)
                yield pair
        else:
            for judgment in self.judge.stream(items, self.tally):
                self.count.add(judgment)
                yield judgment


@contextmanager
def opened_judge(
    file: JudgeFile, features: Mapping[str, Any], client: ChatClient | None = None
) -> Iterator[JudgeTables]:
    """The judge of a file; its response store is closed at the end, with everything written.

    Args:
        file: what to ask, and whom.
        features: of the rows.
        client: asked in place of the file's own, with the response store around it.
    """
    rubric, recipe, annotator = file.read_rubric(), file.recipe, file.recipe.annotator
    answers = file.ladder().draws * (2 if rubric.protocol == "pairwise" else 1)
    use = replace(client_use(recipe, features), answers_per_row=answers)
    with open_client(recipe.client(), use, client=client) as opened:
        judge = Judge(
            rubric,
            opened.client,
            file.ladder(),
            opened.as_json,
            annotator.system,
            annotator.client.resolved_price,
            opened.window_rows,
        )
        count = PairCount(judge) if rubric.protocol == "pairwise" else ScoreCount(rubric)
        yield JudgeTables(file, judge, code_names(file, features), RunStats(), count)


def judge_dataset(
    dataset: Any, judge: JudgeFile | dict[str, Any] | str | Path, *, client: ChatClient | None = None
) -> Any:
    """Add a judge's columns to a data set that is at hand; its rows keep their number and order.

    Args:
        dataset: a `Dataset`, or a `DatasetDict`.
        judge: a path, a packaged judge file's name, or a judge file; its `source` is not read.
        client: asked in place of the file's own, with the response store around it.

    Returns:
        The same kind of object, with how the columns were made and what they come to in its `info.description`.

    Raises:
        DataError: the data set is empty, or lacks a column that the file names.
        ClientError: the judge can not be reached, or fails on every row.
    """
    import datasets
    import pyarrow as pa

    file = read_judge(judge)
    if isinstance(dataset, dict):
        return type(dataset)({name: judge_dataset(part, file, client=client) for name, part in dataset.items()})
    if len(dataset) == 0:
        raise DataError("`dataset` has no rows. Give data with rows.")
    with translate_judge_errors():
        check_columns(file.recipe, dataset.features, "the data set")
        features = with_judge_features(
            dataset.features, file.read_rubric(), file.output.column, draws=file.ladder().draws
        )
        began = time.monotonic()
        with opened_judge(file, dataset.features, client) as judging:
            tables = dataset.with_format("arrow").iter(batch_size=TABLE_ROWS)
            added = [part for _, part in judging.tables(tables)]
    joined = datasets.concatenate_datasets([dataset, datasets.Dataset(pa.concat_tables(added))], axis=1).cast(features)
    made = judging.record(time.monotonic() - began)
    joined.info.description = embed_records([*provenance(dataset), made], dataset.info.description)
    return joined


def code_names(file: JudgeFile, features: Mapping[str, Any]) -> dict[str, Any]:
    """Of the columns of label codes that are judged, what each code stands for."""
    found = {}
    for column in file.columns.named().values():
        feature = features.get(column)
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names is not None:
            found[column] = names
    return found
