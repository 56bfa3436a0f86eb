"""`hf-synthlabels stability`: how labels move with wording, order and sampling, without human labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import JsonOption, OutputOption, RecipeArgument, TrustOption, terminal_width

if TYPE_CHECKING:
    from hf_synthlabels.studies.behavior.check_report import CheckPlan


def stability(
    recipe: RecipeArgument,
    rows: Annotated[int, typer.Option("-n", "--rows", help="Number of rows to sample from the source.")] = 200,
    variants: Annotated[int, typer.Option(help="Number of rewordings, of orders and of samples.")] = 5,
    rewordings: Annotated[
        Path | None,
        typer.Option(help="YAML list of reworded instructions (default: fixed rules that keep the meaning)."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Source of variation: reworded, shuffled or repeated (default: all). May be repeated."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Temperature of repeated samples (default: the recipe's, or 1 if that is 0).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the sampled rows and the orders.")] = 0,
    plan: Annotated[bool, typer.Option("--plan", help="Print requests and cost; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send paid requests without confirmation.")] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Measure how labels move under reworded instructions, shuffled classes and repeated samples; sends requests.

    No human label is needed. The requests are counted and priced first.

    Example: hf-synthlabels stability recipe.yaml -n 200 --variants 5

    Example: hf-synthlabels stability recipe.yaml --rewordings instructions.yaml --source reworded --plan
    """
    from hf_synthlabels.studies.behavior.stability import SOURCES
    from hf_synthlabels.studies.behavior.stability import stability as measure
    from hf_synthlabels.tables import check_output, write_text

    if output is not None:
        check_output(output, sources=[recipe], suffixes=(".json",), folder=False)

    def confirm(check_plan: CheckPlan) -> None:
        print(check_plan, file=sys.stderr)
        if plan:
            show_next("stability --plan", recipe=recipe)
            raise typer.Exit
        is_paid = check_plan.likely_usd is None or check_plan.likely_usd > 0
        if is_paid and not yes and sys.stdin.isatty() and not typer.confirm("Send these requests?", default=True):
            raise typer.Exit(1)

    report = measure(
        recipe,
        rows=rows,
        variants=variants,
        rewording_file=rewordings,
        sources=source or SOURCES,
        temperature=temperature,
        seed=seed,
        on_plan=confirm,
    )
    print(report.to_json() if as_json else report.text(terminal_width()))
    if output is not None:
        print(f"written: {write_text(output, report.to_json())}", file=sys.stderr if as_json else sys.stdout)
    show_next("plan", recipe=recipe, output="labeled.jsonl")
