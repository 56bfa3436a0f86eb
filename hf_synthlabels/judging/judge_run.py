"""Judging a data set as a judge file says: planned before anything is spent, written as it comes, resumable."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import Plan, Tally, store_path
from hf_synthlabels.annotation.census import Census
from hf_synthlabels.annotation.forecast import History
from hf_synthlabels.annotation.opening import open_client, sampling
from hf_synthlabels.annotation.output import checked_output, opened_file, split_path
from hf_synthlabels.annotation.plan import EXACT_ROWS, drawn_rows, free_plan, made_plan, plan_notes
from hf_synthlabels.annotation.progress import Progress
from hf_synthlabels.annotation.provenance import TEACHER_KEYS, cost_usd, package_version
from hf_synthlabels.annotation.rehearsal import known_form
from hf_synthlabels.annotation.source import load_source, needed_columns
from hf_synthlabels.annotation.stream import TABLE_ROWS, with_results
from hf_synthlabels.clients import (
    ChatClient,
    Request,
    RequestKeys,
    ResponseFormat,
    ResponseStore,
    ScriptedClient,
    chat_identity,
)
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.columns import judge_table, with_judge_features
from hf_synthlabels.judging.judge import Judge
from hf_synthlabels.judging.judge_file import JudgeFile, read_judge, told_of_judges
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.pairwise import PairCount, PairJudgment, PairSummary, stream_pairs
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

__all__ = ["JudgedSplit", "judge_to_files", "plan_judge"]


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
    with told_of_judges():
        splits = load_source(recipe)
        rows = sum(len(part) for part in splits.values())
        if recipe.teacher.client != "openai":
            return _in_our_words(free_plan(recipe, rows, rows * asked_per_row))
        generator = random.Random(seed)
        with ResponseStore(store_path()) as store:
            form = known_form(recipe, store)
            exact = rows <= max(sample, EXACT_ROWS)
            census = Census(store, sample, generator, sends_schema=form in (None, "json_schema"))
            for part in splits.values():
                asked = part.select_columns(needed_columns(recipe))
                if not exact:
                    asked = asked.select(drawn_rows(len(part), sample * len(part) // rows, 1, generator))
                census.add(_Rehearsal(file, form or "json_schema", part.features), asked)
            history = History.read(store, recipe)
        notes = plan_notes(recipe, rows, census, history, exact=exact, probed=form is not None)
        return _in_our_words(made_plan(recipe, rows, census, history, notes, asked_per_row=asked_per_row))


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
        output: a file that ends in .parquet or .jsonl; of several splits each has a file with its name in front of the
            suffix. Beside each stands what it came to, as `<file>.provenance.json`. None writes nothing.
        client: asked in place of the file's own, with the response store around it.

    Raises:
        DataError: the output is of another kind.
        AllFailedError: the endpoint answers nothing; what was scored before is kept.
        SynthLabelsError: as its subclasses say.
    """
    file = read_judge(judge)
    target = None if output is None else checked_output(output)
    with told_of_judges():
        splits = load_source(file.recipe, streaming=True)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        found = []
        for name, rows in splits.items():
            path = None if target is None else split_path(target, str(name), len(splits))
            found.append(_judge_split(file, rows, str(name), path, client))
    return found


def _judge_split(
    file: JudgeFile, rows: datasets.IterableDataset, name: str, path: Path | None, client: ChatClient | None
) -> JudgedSplit:
    rubric, recipe, ladder = file.read_rubric(), file.recipe, file.ladder()
    column = file.output.column
    features = with_judge_features(rows.features, rubric, column, draws=ladder.draws)
    names = _code_names(file, rows.features)
    began, tally = time.monotonic(), Tally()
    with open_client(recipe, rows.features, client=client) as opened:
        judge = Judge(
            rubric,
            opened.client,
            ladder,
            opened.as_json,
            recipe.teacher.system,
            recipe.teacher.known_price,
            opened.window_rows,
        )
        count = PairCount(judge) if rubric.protocol == "pairwise" else ScoreCount(rubric)

        def work(read: Iterator[dict[str, Any]]) -> Iterator[Judgment | PairJudgment]:
            items = (file.item(row, names) for row in read)
            if isinstance(count, PairCount):
                for pair in stream_pairs(judge, items, tally):
                    count.add(pair)
                    yield pair
            else:
                for judgment in judge.stream(items, tally):
                    count.add(judgment)
                    yield judgment

        def columns(_: pa.Table, done: list[Judgment | PairJudgment]) -> pa.Table:
            return judge_table(done, rubric, column, draws=ladder.draws)

        with (
            _shown(file, tally, name) as progress,
            nullcontext() if path is None else opened_file(path, features) as writer,
        ):
            tables = rows.with_format("arrow").iter(batch_size=TABLE_ROWS)
            for table, added in with_results(tables, needed_columns(recipe), work, columns, progress):
                if writer is not None:
                    for field in added.column_names:
                        table = table.append_column(added.schema.field(field), added.column(field))
                    writer.write(table.cast(features.arrow_schema))
    summary = _priced(file, count, tally)
    made = _record(file, judge, summary, tally, time.monotonic() - began)
    if path is not None:
        beside = path.with_name(path.name + ".provenance.json")
        beside.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return JudgedSplit(name, path, summary, made)


class _Rehearsal:
    """Asks as a judge file does, without asking."""

    def __init__(self, file: JudgeFile, form: ResponseFormat, features: Mapping[str, Any]) -> None:
        recipe = file.recipe
        teacher = recipe.teacher
        self._file = file
        self._names = _code_names(file, features)
        self._judge = Judge(
            file.read_rubric(), ScriptedClient({}), file.ladder(), as_json=form != "text", system=teacher.system
        )
        identity = chat_identity(str(teacher.model), teacher.base_url.rstrip("/"), sampling(teacher, form))
        self._keys = RequestKeys(identity)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """The requests, with the keys of their answers."""
        for request in self._judge.requests(self._file.item(row, self._names) for row in rows):
            yield request, self._keys.of(request)


def _code_names(file: JudgeFile, features: Mapping[str, Any]) -> dict[str, Any]:
    """Of the columns of label codes that are judged, what each code stands for."""
    found = {}
    for column in file.columns.named().values():
        feature = features.get(column)
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names is not None:
            found[column] = names
    return found


@contextmanager
def _shown(file: JudgeFile, tally: Tally, what: str) -> Iterator[Progress]:
    from tqdm.auto import tqdm

    # `disable=None` leaves the bar out where standard error is no terminal.
    with tqdm(desc=what, unit=" rows", disable=None, dynamic_ncols=True) as bar:
        progress = Progress(bar, file.recipe, tally, None)
        yield progress
        progress.show()


def _priced(file: JudgeFile, count: ScoreCount | PairCount, tally: Tally) -> JudgeSummary | PairSummary:
    """The summary, with the cost that the file's client has, in batches or not."""
    cost = cost_usd(file.recipe, tally)
    summary = count.summary(tally)
    if isinstance(summary, PairSummary):
        return replace(summary, wins=replace(summary.wins, cost_usd=cost))
    return replace(summary, cost_usd=cost)


def _record(
    file: JudgeFile, judge: Judge, summary: JudgeSummary | PairSummary, tally: Tally, seconds: float
) -> dict[str, Any]:
    """What is known of how the columns were made; plain values, no secret among them."""
    teacher = file.recipe.teacher
    keys = teacher.model_dump(mode="json", include=TEACHER_KEYS[teacher.client])
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
        "client": {key: value for key, value in keys.items() if value is not None},
        "returned_models": sorted(tally.models),
        "tally": tally.to_dict(),
        "summary": {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in summary.as_dict().items()
        },
        "judging_s": round(seconds, 3),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "package_version": package_version(),
    }


def _in_our_words(plan: Plan) -> Plan:
    words = [note.replace("`teacher.", "`judge.") for note in plan.notes]
    return replace(
        plan,
        price=plan.price.replace("`teacher.", "`judge.").replace("the recipe's", "the judge file's"),
        notes=tuple(words),
    )
