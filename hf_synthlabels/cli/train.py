"""`hf-synthlabels train`, `predict` and `export`: students."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.cli.help import SAMPLE_ROWS, show_next
from hf_synthlabels.cli.options import EncodingOption, OverwriteOption, SeparatorOption, StudentArgument, existing
from hf_synthlabels.errors import ConfigError, DataError, import_extra

if TYPE_CHECKING:
    from hf_synthlabels.tables import ReadOptions
    from hf_synthlabels.training import Student, StudentFile, TrainingData
    from hf_synthlabels.training.callbacks import InterruptedRun

INTERRUPTED = 130
ROWS_AT_ONCE = 10_000
"""Number of rows to label and write at once."""
STEPS_PER_LOG = 0.02
"""Interval between updates of the loss in the progress bar, as a proportion of all steps."""


class Stopped(SystemExit):
    """Ctrl-C, after the message about the checkpoint."""


def train(
    config: Annotated[
        str | None,
        typer.Argument(
            help="Student file with the keys `student` and `data`, or the name of a packaged one: minilm.",
            callback=existing("student", "students"),
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Labeled file or folder, instead of the one in the config.", callback=existing("data")),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Variable to learn, with its recorded task and human labels; repeated, one head each."),
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="Grid file instead: `student`, `data` and `grid`.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Output folder. Default: the config's, or `grid` for a grid.")
    ] = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Train a student on label columns, or a grid of students. On several GPUs:
    accelerate launch -m hf_synthlabels.cli.main train CONFIG.

    Ctrl-C keeps a checkpoint, and the same command resumes; so does an interrupted grid.
    `push_to_hub: true` in the student's options publishes the finished student with a card.

    Example: hf-synthlabels train minilm --data labeled.jsonl

    Example: hf-synthlabels train minilm --data coded.parquet --variable tone --variable topic

    Example: hf-synthlabels train --grid configs/grids/minilm.yaml --data labeled.jsonl -o grid
    """
    reading: dict[str, Any] = {"encoding": encoding, "separator": separator}
    if (config is None) == (grid is None):
        raise ConfigError("`train` takes a student file, or `--grid` and a grid file. Give one of them.")
    if grid is not None:
        for option, value in (
            ("label", label),
            ("variable", variable),
            ("encoding", encoding),
            ("separator", separator),
        ):
            if value is not None:
                raise ConfigError(f"`--{option}` is for a student file. Write it into the grid file instead.")
        _train_grid(grid, data, output or Path("grid"))
        return
    from hf_synthlabels.training import StudentFile

    run_student(
        StudentFile.read(str(config), data=data, label=label, variables=variable or (), output=output, **reading)
    )


def run_student(file: StudentFile) -> None:
    """Train, evaluate and save a student; every process must call it, and the first one prints."""
    from hf_synthlabels.publishing import StudentPublisher
    from hf_synthlabels.publishing.hub.model import save_student_facts
    from hf_synthlabels.training import held_out_scores, train_student, update_student
    from hf_synthlabels.training.callbacks import StopOnInterrupt, TrainingProgress
    from hf_synthlabels.training.data.training_data import training_lines

    rows = file.load()
    config = file.student
    folder = config.output_dir or "student"
    first = config.process_index == 0
    tell: Callable[[str], object] = print if first else str  # str prints nothing
    for line in training_lines(config, rows):
        tell(line)
    publisher = None
    if config.push_to_hub and file.card is not None:
        publisher = StudentPublisher.of(config, file.card, rows.records)
    stop = StopOnInterrupt()
    callbacks = [stop, *([TrainingProgress(len(rows.train))] if first and config.disable_tqdm else [])]
    with _resumable(file, rows, stop, tell) as interrupted:
        student = train_student(
            config, rows.train, names=rows.names, eval=rows.test, callbacks=callbacks, publish=publisher
        )
    student.save(folder)
    columns = [config.human_column or config.label_column, *rows.human_columns]
    scores = [] if rows.test is None else held_out_scores(student, rows.test, columns, rows.records)
    if first:
        save_student_facts(student, Path(folder), rows.records)
        update_student(folder, evaluation=[score.to_dict() for score in scores])
        interrupted.delete()
        for line in _result(student, scores, folder):
            tell(line)
        if publisher is not None and publisher.result is not None:
            tell(f"published: {publisher.result.url}")
        show_next("train", student=folder, repo=f"user/{Path(folder).name}")
    student.trainer.end()


@contextmanager
def _resumable(file: StudentFile, rows: TrainingData, stop: Any, tell: Any) -> Iterator[InterruptedRun]:
    """Resume from the checkpoint of an interrupted run, and keep one on Ctrl-C."""
    from hf_synthlabels.training.callbacks import InterruptedRun

    interrupted = InterruptedRun.read(file.student, rows.train)
    if interrupted.checkpoints and file.student.resume_from_checkpoint is None:
        tell(f"resuming from {interrupted.checkpoints[-1]}")
        file.student.resume_from_checkpoint = str(interrupted.folder / interrupted.checkpoints[-1])
    if "logging_steps" not in file.given:
        # The progress bar shows the logged loss.
        file.student.logging_steps = STEPS_PER_LOG
    try:
        yield interrupted
    except KeyboardInterrupt:
        if stop.checkpoint is None:
            raise
        interrupted.add(stop.checkpoint)
        typer.echo(
            f"hf-synthlabels: stopped. {interrupted.folder} has {stop.checkpoint}; run the same command to resume.",
            err=True,
        )
        raise Stopped(INTERRUPTED) from None
    finally:
        stop.restore()


def _result(student: Student, scores: list[Any], folder: str) -> Iterator[str]:
    metrics = student.metrics
    yield (
        f"trained: {metrics['train_steps']:,.0f} steps in {metrics['train_seconds']:,.0f} s, mean loss "
        f"{metrics['train_loss']:.3f}"
    )
    for score in scores:
        yield score.title
        yield from score.lines()
    yield f"saved: {folder} (all numbers are in {Path(folder) / 'student.json'})"


def _train_grid(path: Path, data: str | None, output: Path) -> None:
    from hf_synthlabels.training.search import GridFile, run_grid

    file = GridFile.from_yaml(path, data=data)
    if file.grid.engine.name == "ray":
        from hf_synthlabels.engines import tuner_on

        typer.echo(run_grid(file, output, progress=typer.echo, engine=tuner_on(file.grid.engine)))
    else:
        typer.echo(run_grid(file, output, progress=typer.echo))
    typer.echo(f"written: {output / 'grid.json'}")
    show_next("train --grid", data=file.data.path)


def predict(
    student: StudentArgument,
    data: Annotated[
        str,
        typer.Argument(help="File or folder with the text columns that it was trained on.", callback=existing("data")),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .parquet, .jsonl, .csv, ...")],
    split: Annotated[str | None, typer.Option(help="Split to label, if there are several.")] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Label column (default: student_label); of several variables, a prefix (default: none)."),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Variable to write, if the student has several; of another student, the label column."),
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Rows with a lower confidence get no label, and the status `abstained`.")
    ] = None,
    probabilities: Annotated[bool, typer.Option(help="Add the probability of every class.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Read and write row by row, for data of any size.")] = False,
    batch_size: Annotated[int | None, typer.Option(help="Batch size of the model.")] = None,
    overwrite: OverwriteOption = False,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
) -> None:
    """Label a table with a student; adds label, status and confidence of every row.

    Example: hf-synthlabels predict student texts.csv -o labeled.csv --min-confidence 0.8

    Example: hf-synthlabels predict student texts.csv -o labeled.csv --variable tone --probabilities
    """
    from datasets import Dataset, Features

    from hf_synthlabels.studies.students.saved_regression import SavedRegression, is_regression
    from hf_synthlabels.tables import ReadOptions, check_output, open_writer, provenance_path
    from hf_synthlabels.training import Student
    from hf_synthlabels.training.prediction import check_columns, check_free, table_features

    target = check_output(output, sources=[data], folder=False)
    if target.exists() and not overwrite:
        # Rows are written as they are labeled, so that the file cannot be compared with them first.
        raise DataError(f"`output` {str(output)!r} exists. Name another file, or give `--overwrite`.")
    options = {} if batch_size is None else {"per_device_eval_batch_size": batch_size}
    loaded: Any = SavedRegression.from_folder(student) if is_regression(student) else None
    loaded = loaded or Student.from_pretrained(student, **options)
    schemas, naming = _label_columns(loaded, column, variable or [])
    rows = _rows_to_predict(data, split, ReadOptions(encoding=encoding, separator=separator), stream=stream)
    for schema in schemas.values():
        check_columns(schema, min_confidence, probabilities=probabilities)
    added = table_features(schemas, probabilities=probabilities)
    check_free(rows.column_names, list(added))
    features = Features({**rows.features, **added})
    counts: dict[str, Counter[str]] = {name: Counter() for name in schemas}
    with open_writer(target, features) as writer:
        for batch in rows.iter(batch_size=ROWS_AT_ONCE):
            part = Dataset.from_dict(batch, features=rows.features)
            labeled = loaded.label(part, **naming, min_confidence=min_confidence, probabilities=probabilities)
            for name, counter in counts.items():
                counter.update(added[f"{name}_status"].int2str(labeled[f"{name}_status"][:]))
            writer.write(labeled.with_format("arrow")[:])
    # The provenance of the replaced table.
    provenance_path(target).unlink(missing_ok=True)
    for name, counter in counts.items():
        parts = ", ".join(f"{status} {count:,}" for status, count in sorted(counter.items(), reverse=True))
        title = f"{name}: " if len(counts) > 1 else ""
        typer.echo(f"{title}{sum(counter.values()):,} rows: {parts or 'none'}")
    typer.echo(f"written: {target}")
    first, counter = next(iter(counts.items()))
    size = min(SAMPLE_ROWS, sum(counter.values()))
    show_next("predict", "--llm", first, data=target, rows=size, output=target.with_name("sampled.parquet"))


def _label_columns(loaded: Any, column: str | None, variables: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of the columns that a student writes, and the arguments of `label` that name them."""
    if len(getattr(loaded, "variables", ())) > 1:
        return loaded.output_columns(column, variables), {"column": column, "variables": variables}
    if len(variables) > 1:
        raise ConfigError(f"`--variable` is given {len(variables)} times, but the student has one variable. Give one.")
    name = column or next(iter(variables), "student_label")
    schema = loaded.output_columns(name)[name] if hasattr(loaded, "output_columns") else loaded.schema
    return {name: schema}, {"column": name}


def _rows_to_predict(data: str, split: str | None, options: ReadOptions, *, stream: bool) -> Any:
    from hf_synthlabels.tables import RowSource, load_rows, read_table, table_format

    if not stream or Path(data).is_dir():
        splits = read_table(data, options)
    else:
        kind = table_format(data)
        if kind is None or not Path(data).is_file():
            raise DataError(f"`data` {data!r} cannot be read as a stream. Give a CSV, JSON Lines or Parquet file.")
        splits = load_rows(RowSource(kind, None, data), options, streaming=True)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        raise DataError(f"`split` is {split!r}. Give `--split` with one of: {', '.join(splits)}.")
    rows = splits[split]
    return rows.to_iterable_dataset() if stream and hasattr(rows, "to_iterable_dataset") else rows


def export(
    student: StudentArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for model.onnx and the tokenizer.")],
) -> None:
    """Export a student to ONNX, and compare its outputs with those of PyTorch.

    Example: hf-synthlabels export student -o student-onnx
    """
    # Before the student is loaded, which takes seconds.
    import_extra("onnxruntime", "onnx")
    from hf_synthlabels.training import Student
    from hf_synthlabels.training.saving.onnx import export_onnx

    done = export_onnx(Student.from_pretrained(student), output)
    typer.echo(f"written: {done.path}; largest difference from PyTorch: {done.difference:.1g}")
    show_next("export", student=student, repo=f"user/{Path(student).name}")
