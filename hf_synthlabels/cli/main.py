"""The command line: one verb for each library call. Errors are one line and exit status 2."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_synthlabels.annotation.run.progress_bars import own_bars_only
from hf_synthlabels.cli import batches, cache, hub, judge, review, sample, study, train, version
from hf_synthlabels.cli import report as report_verb
from hf_synthlabels.cli.help import VerbsByPurpose
from hf_synthlabels.cli.terminal import terminal_width
from hf_synthlabels.cli.trust_option import TrustOption
from hf_synthlabels.cli.version import VersionOption
from hf_synthlabels.errors import ConfigError, DataError, NothingLabelledError, SynthLabelsError, os_error_line

app = typer.Typer(
    cls=VerbsByPurpose,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Label with an LLM, prove the labels, train a small model on them. Start with: hf-synthlabels demo",
)

app.add_typer(cache.app, name="cache")
app.add_typer(batches.app, name="batches")
app.add_typer(hub.app, name="push")
app.add_typer(review.app, name="review")

INTERRUPTED = 130
"""The exit status of a program that was stopped by Ctrl-C."""

RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or the name of a packaged recipe.")]


def main() -> None:
    """Run the command line; an error of this package is one line on standard error."""
    # Read when torch is first loaded. Threads that spin while they wait for each other make training five times
    # slower as soon as another program wants a core; sleeping ones cost next to nothing on an idle machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Runs show one bar, with failures and money.
    own_bars_only()
    # The readers of `datasets` log what they then raise, which is told here in one line.
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)
    batches.show_progress()
    try:
        app()
    except SynthLabelsError as error:
        print(f"hf-synthlabels: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"hf-synthlabels: {os_error_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except SystemExit as end:
        # Typer has made a status of Ctrl-C by now.
        if end.code == INTERRUPTED and not isinstance(end, train.Stopped):
            print("hf-synthlabels: stopped. What had been answered or trained is kept; run it again.", file=sys.stderr)
        raise


@app.callback()
def options(version: VersionOption = False) -> None:
    """Label with an LLM, validate the labels, train a small model on them. Start with `hf-synthlabels demo`."""


@app.command()
def annotate(
    recipe: RecipeArgument,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="A .parquet, .jsonl or .csv file, or a folder; for many machines a folder."
        ),
    ] = None,
    num_proc: Annotated[int | None, typer.Option(help="Processes that annotate side by side.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read the source as a stream and write rows as they come, for any size.")
    ] = False,
    rows: Annotated[
        int | None, typer.Option(help="Label the first so many rows of each split, to try a recipe.")
    ] = None,
    overwrite: sample.OverwriteOption = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on when most of the first 50 rows get no label.")
    ] = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Add LLM-made label columns to a data set, as its recipe says; exit status 2 when no row got a label.

    Example: hf-synthlabels annotate recipe.yaml -o labelled.jsonl
    """
    from hf_synthlabels.annotation import annotate_to_files, load, provenance, read_recipe
    from hf_synthlabels.annotation.output import check_annotation_output
    from hf_synthlabels.publishing import annotation_summary, record_summary
    from hf_synthlabels.tables import write_table

    began, options = datetime.now(UTC), {"keep_going": True} if keep_going else {}
    if read_recipe(recipe).engine.name == "ray":
        if rows is not None:
            raise ConfigError("`--rows` tries a recipe on this machine. Remove `engine: ray` for that, or `--rows`.")
        _annotate_with_ray(recipe, output)
        return
    if output is not None:
        check_annotation_output(read_recipe(recipe), output, stream=stream, overwrite=overwrite, n_rows=rows)
    if stream:
        if output is None:
            raise DataError("`--stream` writes rows as they come: name a .parquet or .jsonl file with `-o`.")
        wanted = read_recipe(recipe).kept_going() if keep_going else read_recipe(recipe)
        parts = annotate_to_files(wanted, output, rows=rows)
        for part in parts:
            print(f"{part.split}: {record_summary(part.record)}")
            print(f"written: {part.path}")
        _check_labels(*(part.record for part in parts))
        return
    splits = load(recipe, rows=rows, num_proc=num_proc, **options)
    print(annotation_summary(splits, began=began))
    if output is not None:
        for file in write_table(splits, output):
            print(f"written: {file}")
    _check_labels(provenance(splits)[-1])


def _check_labels(*records: Mapping[str, Any]) -> None:
    """End with exit status 2 when no row got a label."""
    from hf_synthlabels.publishing import has_labels

    if not has_labels(*records):
        raise NothingLabelledError(
            "No row got a label; the lines above say why. The answers are in the `_raw` column and in the store."
        )


def _annotate_with_ray(recipe: str, output: str | None) -> None:
    from hf_synthlabels.engines import annotate_with_ray
    from hf_synthlabels.publishing import record_summary

    if output is None:
        raise DataError("`engine: ray` writes a folder of Parquet files: name it with `-o`, as a path or as s3://... .")
    parts = annotate_with_ray(recipe, output)
    for part in parts:
        print(f"{part.split}: {record_summary(part.record)}")
        for file in part.files:
            print(f"written: {file}")
    _check_labels(*(part.record for part in parts))


@app.command()
def plan(
    recipe: RecipeArgument,
    rows: Annotated[int | None, typer.Option(help="Plan the first so many rows of each split.")] = None,
    sample: Annotated[int, typer.Option(help="Requests whose length is looked at; rows, where there are many.")] = 100,
    seed: Annotated[int, typer.Option(help="Which ones are drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Say what a recipe will ask and cost, before anything is spent.

    Example: hf-synthlabels plan recipe.yaml
    """
    from hf_synthlabels.annotation import plan as make_plan

    made = make_plan(recipe, rows=rows, sample=sample, seed=seed)
    print(made.to_json() if as_json else made)


@app.command()
def validate(
    data: Annotated[str, typer.Argument(help="A labelled file or folder, a recipe file, or a packaged recipe's name.")],
    human: Annotated[str | None, typer.Option(help="Column with human labels; the recipe's, or `label`.")] = None,
    llm: Annotated[str | None, typer.Option(help="Column with LLM labels; the recipe's, or `llm_label`.")] = None,
    split: Annotated[str | None, typer.Option(help="The split to check, where there are several.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Kind of label where its column does not tell, such as text-generation.")
    ] = None,
    scale: Annotated[str | None, typer.Option(help="Of a text-scale: '1:5', '0:1:0.1', '0:100:any'.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Column of token lists, where human entities are tags.")] = None,
    gate: Annotated[str | None, typer.Option(help="To be reached: 'macro_f1>=0.7', of an error 'mae<=0.5'.")] = None,
    clusters: Annotated[
        str | None, typer.Option(help="Column with cluster IDs (e.g. article or author): intervals by whole clusters.")
    ] = None,
    strata: Annotated[str | None, typer.Option(help="Column with the strata that rows were sampled from.")] = None,
    normalize_labels: sample.NormalizeOption = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say how many human labels it takes, drawn how.")] = False,
    width: Annotated[float | None, typer.Option(help="Of the interval that a plan is for, such as 0.1.")] = None,
    accuracy: Annotated[float | None, typer.Option(help="Of the LLM, which a plan supposes; a pilot's.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the report as JSON here.")] = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="Write a page with its tables and figures into this folder.")
    ] = None,
    encoding: sample.EncodingOption = None,
    separator: sample.SeparatorOption = None,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Check LLM labels against human ones, with intervals; a gate that is not passed exits with status 1.

    Example: hf-synthlabels validate labelled.jsonl --human label --gate 'accuracy>=0.75'
    """
    from hf_synthlabels.publishing import label_options, missing_reasons, open_labelled, scale_schema, write_report
    from hf_synthlabels.statistics import Gate
    from hf_synthlabels.statistics import validate as check
    from hf_synthlabels.tables import check_output

    wanted = Gate.parse(gate) if gate else None
    given = scale_schema(scale) if scale else None
    if output is not None:
        check_output(output, sources=[data], suffixes=(".json",), folder=False)
    numbers = scale is not None or kind == "text-scale"
    options = label_options(human, llm, strata, numbers=numbers, encoding=encoding, separator=separator)
    labelled = open_labelled(data, split, options)
    if plan:
        told = sample.Told(given or labelled.schema, kind, tokens or labelled.tokens)
        sample.print_plan(labelled, human or labelled.human, llm or labelled.llm, width, wanted, accuracy, told)
        return
    report = check(
        labelled.rows,
        human=human or labelled.human,
        llm=llm or labelled.llm,
        schema=given or labelled.schema,
        kind=kind,
        tokens=tokens or labelled.tokens,
        gate=wanted,
        clusters=clusters,
        strata=strata,
        normalize_labels=normalize_labels,
    )
    reasons = missing_reasons(labelled.rows, report.llm)
    if report.n_answered == 0:
        why = f" Most frequent reason: {reasons[0].strip()}." if reasons else ""
        raise DataError(f"`{report.llm}` has no label in any of {report.n_human:,} rows with a human label.{why}")
    print("\n".join([report.text(terminal_width()), *reasons]))
    if output is not None:
        _write(output, report.to_json())
    if page is not None:
        report_verb.tell_written(write_report(report, page), page)
    if report.gate is not None and report.gate.verdict != "pass":
        raise typer.Exit(1)


for verb in (sample.sample, sample.merge, sample.estimate, judge.judge):
    app.command()(verb)
app.command()(hub.pull)
app.command()(version.version)


app.command()(train.train)
app.command()(train.predict)
app.command()(train.export)
app.command()(study.study)
app.command()(report_verb.report)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder for labels and report.")] = Path("demo"),
) -> None:
    """Label the standard library's docstrings, check, train, compare: real text and real models, offline.

    Example: hf-synthlabels demo
    """
    from hf_synthlabels.cli.demo import run_demo

    run_demo(output, tell=_tell)


def _tell(line: str) -> None:
    print(line, flush=True)


def _write(path: Path, text: str) -> None:
    from hf_synthlabels.tables import write_text

    print(f"written: {write_text(path, text)}")


if __name__ == "__main__":
    main()
