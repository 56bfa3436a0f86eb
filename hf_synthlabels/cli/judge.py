"""The command line of judging: `hf-synthlabels judge ...`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from hf_synthlabels.cli.options import OverwriteOption, TrustOption


def judge(
    file: Annotated[str, typer.Argument(help="A judge file, or the name of a packaged one.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="A .parquet, .jsonl or .csv file; else nothing is written."),
    ] = None,
    overwrite: OverwriteOption = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it will ask and cost.")] = False,
    no_plan: Annotated[bool, typer.Option("--no-plan", help="Begin at once, without the plan before it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Let an LLM judge answers by a rubric; the plan comes first, and what was scored is kept if it stops.

    A judge file is YAML: `name`, `source`, `rubric` (a packaged name or a TOML file), `columns` (prediction, input,
    reference, other) and `judge` (client, model, budget_usd, ... as a recipe's annotator).

    Example: hf-synthlabels judge answers.yaml -o judged.jsonl
    """
    from hf_synthlabels.judging import judge_to_files, plan_judge, read_judge
    from hf_synthlabels.judging.run.judge_run import check_judge_output

    wanted = read_judge(file)
    if output is not None:
        check_judge_output(wanted, output, overwrite=overwrite)
    if not no_plan or plan:
        made = plan_judge(wanted)
        if not as_json:
            print(str(made).replace("recipe ", "judge ", 1), flush=True)
        elif plan:
            print(made.to_json())
    if plan:
        return
    found = judge_to_files(wanted, output)
    if as_json:
        print(json.dumps({part.split: part.record for part in found}, indent=1, ensure_ascii=False))
        return
    for part in found:
        print(f"{part.split}: {part.summary}")
        for line in _notes(part.record["tally"]):
            print(line)
        if part.path is not None:
            print(f"written: {part.path}")


def _notes(tally: dict[str, Any]) -> list[str]:
    """What went wrong, a line for each cause."""
    from hf_synthlabels.clients.protocol.truncation import truncation_warning

    failures = [f"{count:,} items failed with: {cause}" for cause, count in tally["failures"].items()]
    warning = truncation_warning(tally["truncated_prompts"])
    return [*failures, *([warning] if warning else [])]
