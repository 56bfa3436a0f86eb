"""`hf-synthlabels annotate` and `plan`: label a data set with an LLM, and what that will cost."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_synthlabels.cli.help import SAMPLE_ROWS, show_next
from hf_synthlabels.cli.options import JsonOption, OverwriteOption, RecipeArgument, TrustOption, column_options
from hf_synthlabels.errors import ConfigError, DataError, NothingLabeledError


def annotate(
    recipe: RecipeArgument,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help=".parquet, .jsonl or .csv file, or a folder; with Ray always a folder."),
    ] = None,
    num_proc: Annotated[int | None, typer.Option(help="Number of processes.")] = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Stream the source and write rows as they are labeled; for data of any size."),
    ] = False,
    rows: Annotated[
        int | None, typer.Option(help="Label only the first N rows of each split, to try a recipe.")
    ] = None,
    overwrite: OverwriteOption = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Continue if most of the first 50 rows get no label.")
    ] = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Add LLM label columns to a data set. Exit status 2 if no row got a label.

    Example: hf-synthlabels annotate recipe.yaml -o labeled.jsonl
    """
    from hf_synthlabels.annotation import annotate_to_files, load, provenance, read_codebook
    from hf_synthlabels.annotation.output import check_annotation_output
    from hf_synthlabels.publishing.labeled_data import annotation_summary, last_run, records_summary
    from hf_synthlabels.tables import write_table

    began, options = datetime.now(UTC), {"keep_going": True} if keep_going else {}
    if read_codebook(recipe).engine.name == "ray":
        if rows is not None:
            raise ConfigError("`--rows` is not supported with `engine: ray`. Remove one of them.")
        _annotate_with_ray(recipe, output)
        return
    if output is not None:
        check_annotation_output(recipe, output, stream=stream, overwrite=overwrite, n_rows=rows)
    if stream:
        if output is None:
            raise DataError("`--stream` needs an output: name a .parquet or .jsonl file with `-o`.")
        config = read_codebook(recipe).kept_going() if keep_going else read_codebook(recipe)
        parts = annotate_to_files(config, output, rows=rows)
        for part in parts:
            print(f"{part.split}: {records_summary(part.records)}")
            print(f"written: {part.path}")
        _check_labels(*(record for part in parts for record in part.records))
        _show_next(recipe, [part.path for part in parts], parts[0].records[0])
        return
    splits = load(recipe, rows=rows, num_proc=num_proc, **options)
    print(annotation_summary(splits, began=began))
    files = [] if output is None else write_table(splits, output)
    for file in files:
        print(f"written: {file}")
    _check_labels(*last_run(provenance(splits)))
    has_labels = any("label" in split.column_names for split in splits.values())
    _show_next(recipe, files, provenance(splits)[-1], has_labels=has_labels)


def _check_labels(*records: Mapping[str, Any]) -> None:
    """Raise an error if no row got a label."""
    from hf_synthlabels.publishing.labeled_data import has_labels

    if not has_labels(*records):
        raise NothingLabeledError(
            "No row got a label; see the reasons above. The answers are in the `_raw` column and in the response store."
        )


def _show_next(recipe: str, files: Sequence[Path], record: Mapping[str, Any], *, has_labels: bool = False) -> None:
    """Name the next command: to write the labels, to validate them, or to draw rows for human annotation."""
    from hf_synthlabels.annotation import Codebook, read_codebook

    if not files:
        show_next("plan", recipe=recipe, output="labeled.jsonl")
        return
    # The next verb finds the columns of a codebook in the provenance.
    read = read_codebook(recipe)
    human = next((each.task.human for each in read.variables.values() if each.task.human is not None), None)
    is_codebook = isinstance(read, Codebook)
    data, columns = files[0], [] if is_codebook else column_options(human or "label", record["column"])
    if human is not None or has_labels:
        show_next("annotate with human labels", *columns, data=data)
    else:
        rows = min(SAMPLE_ROWS, sum(record["tally"]["statuses"].values()))
        show_next("annotate", *columns, data=data, rows=rows, output=data.with_name("sampled.parquet"))


def _annotate_with_ray(recipe: str, output: str | None) -> None:
    from hf_synthlabels.engines import annotate_with_ray
    from hf_synthlabels.publishing.labeled_data import record_summary

    if output is None:
        raise DataError("`engine: ray` writes Parquet files to a folder: name it with `-o`, as a path or as s3://...")
    parts = annotate_with_ray(recipe, output)
    for part in parts:
        print(f"{part.split}: {record_summary(part.record)}")
        for file in part.files:
            print(f"written: {file}")
    _check_labels(*(part.record for part in parts))
    _show_next(recipe, [Path(file) for file in parts[0].files], parts[0].record)


def plan(
    recipe: RecipeArgument,
    rows: Annotated[int | None, typer.Option(help="Plan only the first N rows of each split.")] = None,
    sample: Annotated[int, typer.Option(help="Number of requests sampled to estimate lengths.")] = 100,
    seed: Annotated[int, typer.Option(help="Random seed for sampling requests.")] = 0,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Print the prompt of the first row instead, as the model receives it.")
    ] = False,
    check: Annotated[
        int | None,
        typer.Option(
            help="Label N sampled rows several times to check how the model treats the codebook; sends requests."
        ),
    ] = None,
    as_json: JsonOption = False,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Show requests, tokens and cost of a recipe; sends nothing, except with `--check`.

    Example: hf-synthlabels plan recipe.yaml

    Example: hf-synthlabels plan recipe.yaml --prompt

    Example: hf-synthlabels plan recipe.yaml --check 50
    """
    from hf_synthlabels.annotation import plan as make_plan
    from hf_synthlabels.annotation.planning.dry_run import first_prompt

    if prompt:
        print(first_prompt(recipe))
        return
    if check is not None:
        _check_behavior(recipe, check, seed, as_json=as_json)
        return
    run_plan = make_plan(recipe, rows=rows, sample=sample, seed=seed)
    print(run_plan.to_json() if as_json else run_plan)
    show_next("plan", recipe=recipe, output="labeled.jsonl")


def _check_behavior(recipe: str, rows: int, seed: int, *, as_json: bool) -> None:
    """Print the plan of the checks, then send their requests and print the results."""
    from hf_synthlabels.studies import check_recipe

    report = check_recipe(recipe, rows=rows, seed=seed, on_plan=lambda run_plan: print(run_plan, file=sys.stderr))
    print(report.to_json() if as_json else report)
    show_next("plan", recipe=recipe, output="labeled.jsonl")
