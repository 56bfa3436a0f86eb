"""The command line of studies: `hf-synthlabels study ...`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import EncodingOption, SeparatorOption, existing
from hf_synthlabels.cli.report import print_written
from hf_synthlabels.errors import ConfigError

if TYPE_CHECKING:
    from hf_synthlabels.studies import Study
from hf_synthlabels.cli.options import TrustOption

SHOWN_CELLS = 200
TABLE_OPTIONS = (
    "text",
    "human",
    "ask",
    "model",
    "base_url",
    "budget_usd",
    "quick",
    "overwrite",
    "encoding",
    "separator",
    "normalize_labels",
    "scale",
)


def study(
    context: typer.Context,
    config: Annotated[
        str,
        typer.Argument(
            help="A study file; or a table (.csv, .jsonl, .parquet) with human labels in some rows.",
            callback=existing("study"),
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder for the journal and the report.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", "--dry-run", help="List the cells and whether they are done; train nothing."),
    ] = False,
    partial_report: Annotated[
        bool, typer.Option("--partial-report", help="Report on the finished cells; train nothing.")
    ] = False,
    text: Annotated[str, typer.Option(help="For a table: the text column.")] = "text",
    human: Annotated[str, typer.Option(help="For a table: the column with human labels.")] = "label",
    ask: Annotated[str, typer.Option(help="For a table: the question about each text.")] = "",
    model: Annotated[
        str | None, typer.Option(help="For a table: the LLM. Without it, the packaged encoder labels by class names.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible server.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Budget for its labels, in US dollars.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="For a table: cheap students only, for a first look.")] = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    normalize_labels: Annotated[
        bool,
        typer.Option("--normalize-labels", help="For a table: ignore case and white space in labels."),
    ] = False,
    scale: Annotated[
        str | None, typer.Option(help="For a table: the labels are ratings on this scale, e.g. 1:7 or 0:1:0.1.")
    ] = None,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="For a table: replace the study of another table or other options.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send paid requests without confirmation.")] = False,
) -> None:
    """Train students on human and on LLM labels, test all on the same human-labeled rows, and report.

    A study file trains every combination of tasks, label sources, sizes, prompts, students, strategies and seeds.
    Started again after an interruption, it does only what is missing.

    Of a table half of the human labels test what students of the others and of LLM labels are worth; its study file
    is written into the folder, to be edited and run again.

    Example: hf-synthlabels study configs/studies/conference_titles.yaml -o results

    Example: hf-synthlabels study reviews.csv --text review --human rating --model gpt-4.1-mini -o results
    """
    from datasets import disable_progress_bars

    from hf_synthlabels.studies import Study
    from hf_synthlabels.studies.quickstart.study_files import bootstrap_study
    from hf_synthlabels.studies.quickstart.table_labels import TableOptions
    from hf_synthlabels.tables import table_format

    # A study prints its own progress; bars for its many small tables would hide it.
    disable_progress_bars()
    file = Path(config)
    if table_format(file) is not None:
        options = TableOptions(
            text, human, ask, model, base_url, budget_usd, quick, encoding, separator, normalize_labels, scale
        )
        file = bootstrap_study(file, _folder(output), options, overwrite=overwrite, tell=_tell)
    else:
        _refuse_table_options(context, file)
    asked = Study.from_yaml(file)
    if plan:
        _print_plan(asked, output)
        show_next("study --plan", file=file, output=output or "results")
    else:
        _run(asked, _folder(output), partial_report=partial_report, yes=yes)


def _refuse_table_options(context: typer.Context, config: Path) -> None:
    """A study file says all of this; an option that changes nothing must not look as if it did."""
    for name in TABLE_OPTIONS:
        given = context.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE":
            raise ConfigError(
                f"`--{name.replace('_', '-')}` is for tables, and {str(config)!r} is a study file. Leave it out, and "
                "edit the file or the recipe that it names."
            )


def _folder(output: Path | None) -> Path:
    if output is None:
        raise ConfigError("`-o` is missing. Name the folder for the journal and the report.")
    return output


def _run(asked: Study, output: Path, *, partial_report: bool, yes: bool) -> None:
    from hf_synthlabels.publishing import write_report
    from hf_synthlabels.publishing.report import report_page
    from hf_synthlabels.studies import run_study, study_report, summary_table
    from hf_synthlabels.studies.quickstart.next_steps import next_steps

    if not partial_report:
        _confirm_spending(asked, yes=yes)
    if asked.engine.name == "ray" and not partial_report:
        from hf_synthlabels.engines import jobs_on

        runs = run_study(asked, output, progress=_tell, engine=jobs_on(asked.engine))
    else:
        runs = run_study(asked, output, progress=_tell, partial=partial_report)
    print(summary_table(runs))
    print(f"written: {output / 'runs.json'}")
    page = report_page(runs)
    print(f"\n{' '.join(page.summary)}\n")
    print_written(write_report(page, output), output)
    if (numbers := study_report(runs)).comparisons:
        _write(output / "report.json", numbers.to_json())
    if steps := next_steps(asked, runs, output):
        print("\n" + "\n".join(["What follows from the verdict:", *(f"  {step}" for step in steps)]))
    show_next("study", results=output / "runs.json", repo=f"user/{output.resolve().name}")


def _confirm_spending(asked: Study, *, yes: bool) -> None:
    """Print what the annotators will be asked; on a terminal, spend nothing before the user agrees."""
    from hf_synthlabels.studies.plan import plan_requests

    planned = [each for each in plan_requests(asked) if each.plan.requests > each.plan.stored]
    for each in planned:
        print(each)
    paid = any(each.plan.likely_usd is None or each.plan.likely_usd > 0 for each in planned)
    if paid and not yes and sys.stdin.isatty() and not typer.confirm("Send these requests?", default=True):
        raise typer.Exit(1)


def _print_plan(asked: Study, output: Path | None) -> None:
    from hf_synthlabels.studies import plan_study
    from hf_synthlabels.studies.plan import named, plan_requests

    cells = plan_study(asked, output)
    done = sum(planned.done for planned in cells)
    for planned in cells[:SHOWN_CELLS]:
        print(f"{'done   ' if planned.done else 'to ask ' if planned.asks else 'missing'}  {named(planned.cell)}")
    if len(cells) > SHOWN_CELLS:
        print(f"... and {len(cells) - SHOWN_CELLS:,} more")
    for task, count in Counter(planned.cell.task for planned in cells).items():
        print(f"{task}: {count:,} cells")
    print(f"{len(cells):,} cells, of which {done:,} are there and {len(cells) - done:,} are missing.")
    print("\n".join(map(str, plan_requests(asked))))


def _write(path: Path, text: str) -> None:
    from hf_synthlabels.tables import write_text

    print(f"written: {write_text(path, text)}")


def _tell(line: str) -> None:
    print(line, flush=True)
