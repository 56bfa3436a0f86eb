"""`hf-synthlabels validate` and `sample-size`: check LLM labels, and plan how many human labels that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import (
    ConfidenceOption,
    DataArgument,
    EncodingOption,
    GateOption,
    GatesOption,
    HumanOption,
    KindOption,
    LLMOption,
    NormalizeOption,
    OutputOption,
    RecalibrateOption,
    ScaleOption,
    SeparatorOption,
    SequentialOption,
    SplitOption,
    TokensOption,
    TrustOption,
    VariableOption,
    VotesOption,
    column_options,
    confidence_check,
    terminal_width,
)
from hf_synthlabels.cli.report import print_written
from hf_synthlabels.errors import ConfigError, DataError

if TYPE_CHECKING:
    from hf_synthlabels.labels import LabelSchema
    from hf_synthlabels.publishing import LabeledData
    from hf_synthlabels.statistics import Gate, ValidationReport
    from hf_synthlabels.statistics.design.sample_plan import PlannedDesign
    from hf_synthlabels.statistics.validation.codebook_report import CodebookReport
    from hf_synthlabels.statistics.validation.table_variables import TableVariable


def validate(
    data: DataArgument,
    variable: VariableOption = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    kind: KindOption = None,
    scale: ScaleOption = None,
    tokens: TokensOption = None,
    gate: GatesOption = None,
    clusters: Annotated[
        str | None, typer.Option(help="Column with cluster IDs (e.g. article or author); intervals are clustered.")
    ] = None,
    strata: Annotated[str | None, typer.Option(help="Column with the strata that rows were sampled from.")] = None,
    votes: VotesOption = None,
    sequential: SequentialOption = False,
    normalize_labels: NormalizeOption = False,
    confidence: ConfidenceOption = None,
    recalibrate: RecalibrateOption = None,
    output: OutputOption = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="Folder for a report page with tables and figures.")
    ] = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Compare LLM labels with human labels, with intervals. A failed or inconclusive gate gives exit status 1.

    A table with several variables of a codebook gets one line for each; `--variable` validates one in full.

    Example: hf-synthlabels validate labeled.jsonl --human label --gate 'accuracy>=0.75'

    Example: hf-synthlabels validate labeled.jsonl --confidence llm_label_probs --recalibrate temperature

    Example: hf-synthlabels validate sampled.parquet --gate 'accuracy>=0.8' --sequential

    Example: hf-synthlabels validate coded.parquet --gate 'bias: macro_f1>=0.7' --gate 'tone: mae<=0.5'
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.labeled_data import label_options, scale_schema
    from hf_synthlabels.statistics import Gate
    from hf_synthlabels.tables import check_output

    gates = gate or []
    for text in gates:
        Gate.parse(text.rpartition(":")[2])
    schema = scale_schema(scale) if scale else None
    if output is not None:
        check_output(output, sources=[data], suffixes=(".json",), folder=False)
    numbers = scale is not None or kind == "text-scale"
    raters = votes.split(",") if votes else []
    options = label_options(human, llm, strata, *raters, numbers=numbers, encoding=encoding, separator=separator)
    labeled = open_labeled(data, split, options)
    shared: dict[str, Any] = {"clusters": clusters, "strata": strata, "votes": raters or None}
    shared |= {"normalize_labels": normalize_labels, "sequential": sequential}
    report: ValidationReport | CodebookReport
    is_codebook = variable is None and llm is None and human is None and len(labeled.variables) > 1
    check = confidence_check(confidence, recalibrate, n_reports=2 if is_codebook else len(gates))
    if is_codebook:
        report = _validate_variables(labeled, labeled.variables, gates, **shared)
        columns = ["--variable", next(iter(report.variables))]
    else:
        chosen = _with_options(labeled.of_variable(variable, llm), human, llm, schema, kind, tokens)
        if len(gates) > 1:
            report = _validate_variables(labeled, {chosen.llm: chosen.as_variable()}, gates, **shared)
        else:
            report = _validate_one(chosen, gates, confidence=check or not sequential, **shared)
        columns = ["--variable", variable] if variable else column_options(chosen.human, chosen.llm)
    _write(report, output, page)
    _finish(report, *columns, *column_options("", "", split), data=data)


def _write(report: ValidationReport | CodebookReport, output: Path | None, page: Path | None) -> None:
    """Write the report as JSON and as a page, where they are requested."""
    from hf_synthlabels.publishing import write_report
    from hf_synthlabels.tables import write_text

    if output is not None:
        print(f"written: {write_text(output, report.to_json())}")
    if page is not None:
        print_written(write_report(report, page), page)


def _with_options(
    labeled: LabeledData,
    human: str | None,
    llm: str | None,
    schema: LabelSchema | None,
    kind: str | None,
    tokens: str | None,
) -> LabeledData:
    """The columns and the task type of the data, or those of the options."""
    return replace(
        labeled,
        human=human or labeled.human,
        llm=llm or labeled.llm,
        schema=schema or labeled.schema,
        kind=kind or (None if schema or labeled.schema else labeled.kind),
        tokens=tokens or labeled.tokens,
    )


def _validate_one(labeled: LabeledData, gates: Sequence[str], **options: Any) -> ValidationReport:
    """Validate one variable, and print its report."""
    from hf_synthlabels.publishing.labeled_data import missing_reasons
    from hf_synthlabels.publishing.sample_looks import look_notes, without_tuned_rows
    from hf_synthlabels.statistics import validate as compute_report
    from hf_synthlabels.statistics.validation.codebook_validation import coded_domain
    from hf_synthlabels.statistics.validation.gate_family import VariableGate

    gate = VariableGate.parse(gates[0], [labeled.llm]).gate if gates else None
    labeled, excluded = without_tuned_rows(labeled)
    rows = coded_domain(labeled.rows, {**labeled.variables, labeled.llm: labeled.as_variable()}, labeled.llm)
    report = compute_report(
        rows,
        human=labeled.human,
        llm=labeled.llm,
        schema=labeled.schema,
        kind=labeled.kind,
        tokens=labeled.tokens,
        gate=gate,
        **options,
    )
    reasons = missing_reasons(labeled.rows, report.llm)
    if report.n_answered == 0:
        cause = f" Most frequent reason: {reasons[0].strip()}." if reasons else ""
        raise DataError(f"`{report.llm}` has no label in any of {report.n_human:,} rows with a human label.{cause}")
    asked = [*labeled.variables.values(), labeled.as_variable()]
    looks = look_notes(labeled.rows, asked, sequential=options["sequential"])
    report = replace(report, notes=(*report.notes, *excluded, *looks))
    print("\n".join([report.text(terminal_width()), *reasons]))
    return report


def _validate_variables(
    labeled: LabeledData, variables: Mapping[str, TableVariable], gates: Sequence[str], **options: Any
) -> CodebookReport:
    """Validate several variables, or several gates of one, and print the table."""
    from hf_synthlabels.publishing.sample_looks import look_notes, without_tuned_rows
    from hf_synthlabels.statistics.exhibits import wrap
    from hf_synthlabels.statistics.validation.codebook_validation import validate_codebook

    labeled, excluded = without_tuned_rows(labeled)
    report = validate_codebook(labeled.rows, variables, gates=gates, **options)
    looks = look_notes(labeled.rows, list(variables.values()), sequential=options["sequential"])
    print("\n\n".join([report.text(terminal_width() or 80), *(wrap(note, 80) for note in (*excluded, *looks))]))
    return report


def _finish(report: ValidationReport | CodebookReport, *options: str, data: str) -> None:
    """Name the next command; exit with status 1 unless the gate, if there is one, passes."""
    judged: Any = getattr(report, "gate", report)
    verdict = None if judged is None else judged.verdict
    show_next("validate continue" if verdict == "continue" else "validate", *options, data=data)
    if verdict not in (None, "pass"):
        raise typer.Exit(1)


def sample_size(
    data: DataArgument,
    width: Annotated[float | None, typer.Option(help="Target width of the interval, e.g. 0.1.")] = None,
    gate: GateOption = None,
    accuracy: Annotated[
        float | None, typer.Option(help="Assumed accuracy of the LLM (default: that of the human-labeled rows).")
    ] = None,
    variable: VariableOption = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    split: SplitOption = None,
    kind: KindOption = None,
    scale: ScaleOption = None,
    tokens: TokensOption = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    trust_recipe: TrustOption = False,  # noqa: ARG001  the option's callback acts
) -> None:
    """Plan how many human labels a target interval width or a gate needs, and the sampling design to use.

    Example: hf-synthlabels sample-size labeled.jsonl --gate 'accuracy>=0.8' --accuracy 0.88
    """
    from hf_synthlabels.publishing import open_labeled
    from hf_synthlabels.publishing.labeled_data import label_options, scale_schema
    from hf_synthlabels.statistics import Gate, plan_score
    from hf_synthlabels.statistics import validate as compute_report
    from hf_synthlabels.statistics.validation.dataset_columns import column_feature, feature_kind

    if (width is None) == (gate is None):
        raise ConfigError("`sample-size` needs one goal: give --width, e.g. 0.1, or --gate, e.g. 'accuracy>=0.8'.")
    threshold = Gate.parse(gate) if gate else None
    numbers = scale is not None or kind == "text-scale"
    labeled = open_labeled(
        data, split, label_options(human, llm, numbers=numbers, encoding=encoding, separator=separator)
    ).of_variable(variable, llm)
    human, llm = human or labeled.human, llm or labeled.llm
    schema = scale_schema(scale) if scale else labeled.schema
    kind = (
        kind or labeled.kind or (schema.kind if schema is not None else feature_kind(column_feature(labeled.rows, llm)))
    )
    if kind in ("text-classification", "text-pair"):
        best = _print_class_plan(labeled.rows, human, llm, width=width, gate=threshold, accuracy=accuracy)
        if best is not None:
            output = Path(data).with_name("sampled.parquet")
            columns = column_options(human, llm, split)
            show_next("sample-size", *columns, data=data, rows=best.with_llm, design=best.design, output=output)
        return
    if human not in labeled.rows.column_names:
        raise DataError(f"`{human}` is not a column: sample sizes for kind {kind!r} need human labels of a pilot.")
    report = compute_report(
        labeled.rows, human=human, llm=llm, schema=schema, kind=kind, tokens=tokens or labeled.tokens
    )
    print(plan_score(report, width=width, gate=threshold))


def _print_class_plan(
    rows: Any, human: str, llm: str, *, width: float | None, gate: Gate | None, accuracy: float | None
) -> PlannedDesign | None:
    """Print the plan for a column of class names; return the design that needs the fewest labels."""
    from hf_synthlabels.statistics import plan_gate, plan_sample
    from hf_synthlabels.statistics.validation.dataset_columns import read_names

    labels, names = read_names(rows, llm)
    known = [label for label in labels if label is not None]
    n_distinct = len(set(known))
    if n_distinct > max(2, len(known) // 4):
        raise DataError(f"`{llm}` has {n_distinct:,} different labels: sample sizes need one class name per row.")
    columns = rows.column_names
    truth, human_names = read_names(rows, human) if human in columns else (None, None)
    names = names or human_names
    if gate is not None:
        plan = plan_gate(labels, gate, names=names, human=truth, accuracy=accuracy)
        print(plan)
        return plan.best
    column = f"{llm}_confidence"
    confidence = list(rows[column]) if column in columns else []
    has_confidence = any(value is not None for value in confidence)
    plan = plan_sample(
        labels,
        width or 0,
        names=names,
        human=truth,
        accuracy=accuracy,
        confidence=confidence if has_confidence else None,
    )
    print(plan)
    return plan.best
