"""The command `hf-synthlabels judge`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.cli.help import SAMPLE_ROWS, show_next
from hf_synthlabels.cli.options import JsonOption, OverwriteOption, TrustOption, existing

if TYPE_CHECKING:
    from hf_synthlabels.judging.judge_run import JudgedSplit


def judge(
    file: Annotated[
        str, typer.Argument(help="Judge file, or the name of a packaged one.", callback=existing("judge", "judges"))
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Output file: .parquet, .jsonl, .csv or .tsv."),
    ] = None,
    overwrite: OverwriteOption = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print the number of requests and the cost, and exit.")] = False,
    no_plan: Annotated[bool, typer.Option("--no-plan", help="Start without printing the plan.")] = False,
    as_json: JsonOption = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Score answers with an LLM judge and a rubric.

    A judge file is YAML: `name`, `source`, `rubric` (a packaged name or a TOML file), `columns` (prediction, input,
    reference, other) and `judge` (client, model, budget_usd, ... as a recipe's annotator).

    Example: hf-synthlabels judge answers.yaml -o judged.jsonl
    """
    from hf_synthlabels.judging import judge_to_files, plan_judge, read_judge
    from hf_synthlabels.judging.judge_run import check_judge_output

    judge_file = read_judge(file)
    if output is not None:
        check_judge_output(judge_file, output, overwrite=overwrite)
    if not no_plan or plan:
        estimate = plan_judge(judge_file)
        if not as_json:
            print(estimate, flush=True)
        elif plan:
            print(estimate.to_json())
    if plan:
        show_next("judge --plan", file=file, output="judged.jsonl")
        return
    splits = judge_to_files(judge_file, output)
    if as_json:
        print(json.dumps({part.split: part.record for part in splits}, indent=1, ensure_ascii=False))
        return
    for part in splits:
        _print_split(part)
    _show_next(file, judge_file.output.column, splits[0])


def _show_next(file: str, column: str, part: JudgedSplit) -> None:
    """Name the next command: to write the scores, or to draw rows for human annotation."""
    if part.path is None:
        show_next("judge --plan", file=file, output="judged.jsonl")
        return
    rows = min(SAMPLE_ROWS, sum(part.record["tally"]["statuses"].values()))
    output = part.path.with_name("sampled.parquet")
    show_next("judge", "--llm", f"{column}_score", data=part.path, rows=rows, output=output)


def _print_split(part: JudgedSplit) -> None:
    print(f"{part.split}: {part.summary}")
    for note in _notes(part.record["tally"]):
        print(note)
    if part.path is not None:
        print(f"written: {part.path}")


def _notes(stats: dict[str, Any]) -> list[str]:
    """Failures and warnings of a run, one line each."""
    from hf_synthlabels.clients.protocol.truncation import truncation_warning

    failures = [f"{count:,} items failed with: {cause}" for cause, count in stats["failures"].items()]
    warning = truncation_warning(stats["truncated_prompts"])
    return [*failures, *([warning] if warning else [])]
