"""The command `hf-synthlabels judge`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from hf_synthlabels.cli.options import JsonOption, OverwriteOption, TrustOption


def judge(
    file: Annotated[str, typer.Argument(help="Judge file, or the name of a packaged one.")],
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
        return
    splits = judge_to_files(judge_file, output)
    if as_json:
        print(json.dumps({part.split: part.record for part in splits}, indent=1, ensure_ascii=False))
        return
    for part in splits:
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
