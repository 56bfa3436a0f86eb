"""StudentFile: the YAML file with the options and the data of a student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from datasets import Dataset
from datasets.exceptions import DatasetsError

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml, validated
from hf_synthlabels.cards import CardFields
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError, DataError, SynthLabelsError
from hf_synthlabels.resources import packaged_file
from hf_synthlabels.tables import READABLE, ReadOptions, RowSource, load_rows, read_records, table_format
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.label_names import all_labels_train, check_names, label_names
from hf_synthlabels.training.data.recorded_variables import (
    RecordedVariable,
    label_records,
    recorded_variable,
    relevant_records,
)
from hf_synthlabels.training.data.training_data import TrainingData
from hf_synthlabels.training.data.variable_heads import complete_heads, has_labels, output_names, variable_heads
from hf_synthlabels.training.option_checks import check_task


class DataSource(StrictModel):
    """The key `data`: arguments of `datasets.load_dataset`, and the split."""

    path: str
    name: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    revision: str | None = None
    encoding: str | None = None
    """Encoding of text files; detected by default."""
    separator: str | None = None
    """Separator of CSV files; detected by default."""
    train_split: str = "train"
    test_split: str | None = None
    """Split of the test rows; without it a share of the training rows is held out."""
    test_size: float = 0.2
    """Share of the training rows that is held out without a `test_split`; 0 holds out none."""
    names: list[str] | None = None
    """Label names in the order of the outputs; default: those of the label column."""

    @classmethod
    def of_file(cls, path: str | Path) -> Self:
        """The rows of one file or folder, with the default split.

        Raises:
            ConfigError: the format is unknown.
        """
        reader = table_format(path)
        if reader is not None:
            return cls(path=reader, data_files=str(path))
        if not Path(path).is_dir():
            raise ConfigError(f"`data` is {str(path)!r}, whose format is unknown. Supported: {READABLE}.")
        return cls(path=str(path))

    def load(self, config: StudentConfig) -> TrainingData:
        """Read and split the rows; the same seed holds out the same rows.

        Raises:
            ConfigError: `data_files` has an unused split.
            DataError: the data or a split cannot be read, or the label column has fewer than two classes.
        """
        self._check_splits()
        train = self.read(self.train_split, config)
        test = None if self.test_split is None else self.read(self.test_split, config)
        records = relevant_records(self.records(train), config.label_columns)
        single = config.label_columns if config.task in ("text-classification", "text-pair") else []
        if isinstance(config.heads, dict):
            config.heads = complete_heads(config.heads, train, self.records(train))
            heads = variable_heads(config.heads)
            names, single = output_names(heads), [head.variable for head in heads if not head.is_multi_label]
        else:
            names = tuple(self.names or label_names(train, config.label_column, config.task))
            if single:
                check_names(names, train, config.label_column)
        if test is None and self.test_size > 0:
            halves = train.train_test_split(test_size=self.test_size, seed=config.seed)
            train, test = halves["train"], halves["test"]
            for column in single:
                train, test = all_labels_train(train, test, column)
        return TrainingData(train, test, names, records)

    def records(self, rows: Dataset) -> list[dict[str, Any]]:
        """The provenance of the rows, from the data set or from the file next to it."""
        known = provenance(rows)
        files = self.data_files if isinstance(self.data_files, str) else None
        return known or (read_records(files) if files is not None else [])

    def llm_column(self, config: StudentConfig) -> str | None:
        """The LLM label column; None if there is none.

        Raises:
            ConfigError: there are several.
        """
        rows = self.read(self.train_split, config)
        written = [name for name in rows.column_names if name in annotation_columns(rows.column_names)]
        recorded = [str(record["column"]) for record in label_records(self.records(rows))]
        columns = [name for name in dict.fromkeys([*written, *recorded]) if name in rows.column_names]
        if len(columns) > 1:
            raise ConfigError(
                f"`label_column` is missing, and there are several LLM label columns: {', '.join(map(repr, columns))}. "
                "Choose one with --label, several with --variable, or set `label_column` in the student's options."
            )
        return columns[0] if columns else None

    def _check_splits(self) -> None:
        if isinstance(self.data_files, dict):
            read = [split for split in (self.train_split, self.test_split) if split is not None]
            for split in self.data_files:
                # A split may be a slice: train[:80%].
                if not any(name.split("[")[0] == split for name in read):
                    raise ConfigError(
                        f"`data_files` has the unused split {split!r}: `train_split` is {self.train_split!r} and "
                        f"`test_split` {self.test_split!r}. Name it there, or leave it out."
                    )

    def read(self, split: str, config: StudentConfig) -> Dataset:
        """The rows of a split.

        Raises:
            DataError: they cannot be read.
        """
        heads = config.heads.values() if isinstance(config.heads, dict) else ()
        human = filter(None, [config.human_column, *(head.get("human") for head in heads)])
        options = ReadOptions(
            (*config.label_columns, *config.text_columns, *human),
            numbers=config.task == "text-scale",
            encoding=self.encoding,
            separator=self.separator,
        )
        source = RowSource(self.path, self.name, self.data_files, self.revision)
        try:
            return load_rows(source, options, split=split)
        except SynthLabelsError:
            raise
        except (OSError, ValueError, DatasetsError) as error:
            reason = " ".join(str(error.__cause__ or error).split())[:240]
            raise DataError(
                f"`data` {self.data_files or self.path!r} could not be read: {reason.rstrip('.')}. "
                "Give a CSV, JSON, Excel, Stata or Parquet file, or a Hub id."
            ) from error


def _located(name: str | Path) -> Path:
    """A student file by its path, or a packaged one by its name."""
    if Path(name).is_file() and table_format(name) is not None:
        raise ConfigError(
            f"`config` is {str(name)!r}, which is a table. Name a student file or minilm, and give --data."
        )
    is_file = Path(name).is_file() or Path(name).suffix in (".yaml", ".yml")
    return Path(name) if is_file else packaged_student(str(name))


@dataclass(frozen=True, slots=True)
class StudentFile:
    """A YAML file with the keys `student` and `data`, and `card` for publishing."""

    student: StudentConfig
    data: DataSource
    card: CardFields | None = None
    """Card fields from the publisher, required for `student.push_to_hub`."""
    given: frozenset[str] = frozenset()
    """Options set in the file or on the command line."""
    variables: tuple[str, ...] = ()
    """Variables to learn as their provenance records them; several are the heads of one student."""

    @classmethod
    def read(
        cls,
        name: str | Path,
        *,
        data: str | Path | None = None,
        label: str | None = None,
        variables: Sequence[str] = (),
        output: str | Path | None = None,
        encoding: str | None = None,
        separator: str | None = None,
    ) -> Self:
        """Read a file by its path, or a packaged one by its name.

        Args:
            name: a path, or a name such as 'minilm'.
            data: overrides the key `data` with a file or folder.
            label: overrides `label_column`.
            variables: variables of the table, instead of `label`; several train a multi-head student.
            output: overrides `output_dir`.
            encoding: overrides `data.encoding`.
            separator: overrides `data.separator`.

        Raises:
            ConfigError: the file cannot be read, a key or value is invalid, or both label and variables are given.
        """
        if label is not None and variables:
            raise ConfigError(f"`--label` is {label!r} and `--variable` {variables[0]!r}. Give one of them.")
        path = _located(name)
        content = read_yaml(path, "student", ConfigError)
        if not isinstance(content, dict) or not isinstance(content.get("student"), dict):
            raise ConfigError(f"`student` is missing in {str(path)!r}. Write `student: {{model: ...}}`.")
        unknown = sorted(set(map(str, content)) - {"data", "student", "card"})
        if unknown:
            raise ConfigError(f"{path}: `{unknown[0]}` is not a key. Valid keys: data, student, card.")
        more = {"label_column": label, "output_dir": output and str(output), "heads": list(variables[1:] and variables)}
        options = {**content["student"], **{key: value for key, value in more.items() if value not in (None, [])}}
        student = StudentConfig.from_dict(options, where=str(path))
        words = content.get("card")
        card = CardFields.from_dict(words, str(path)) if student.push_to_hub or words is not None else None
        given = frozenset(map(str, options))
        reading = {key: value for key, value in (("encoding", encoding), ("separator", separator)) if value is not None}
        if data is not None:
            return cls(student, DataSource.of_file(data).model_copy(update=reading), card, given, tuple(variables))
        if not isinstance(content.get("data"), dict):
            raise ConfigError(
                f"`data` is missing in {str(path)!r}. Write `data: {{path: ...}}`, or name a file of rows: --data."
            )
        source = validated(DataSource, content["data"] | reading, f"{path}, data", ConfigError)
        return cls(student, source, card, given, tuple(variables))

    def load(self) -> TrainingData:
        """Load the rows; without a `label_column`, the LLM label column is learned, if there is one.

        Raises:
            ConfigError: see `DataSource.load`, or the labels of the column belong to another task.
            DataError: see `DataSource.load`.
        """
        student = self.student
        if len(self.variables) == 1:
            return self._load_variable(self.variables[0])
        if student.heads is not None:
            self._recorded(student.label_columns[0])
            return self.data.load(student)
        if "label_column" not in self.given:
            student.label_column = self.data.llm_column(student) or student.label_column
        rows = self.data.load(student)
        kinds = {record.get("column"): record.get("kind") for record in rows.records}
        self._check_kind(kinds.get(student.label_column))
        return rows

    def _load_variable(self, variable: str) -> TrainingData:
        """Load the rows of one variable, with task and human labels as recorded."""
        student, data = self.student, self.data
        student.heads, student.label_column = None, variable
        recorded = self._recorded(variable)
        if recorded.kind is not None and "task" not in self.given:
            student.task = recorded.kind
        self._check_kind(recorded.kind)
        if student.task == "text-scale" and student.scale is None and recorded.scale is not None:
            student.scale = list(recorded.scale)
        check_task(student)
        if recorded.names and data.names is None:
            data = data.model_copy(update={"names": list(recorded.names)})
        rows = data.load(student)
        halves = [rows.train] if rows.test is None else [rows.train, rows.test]
        human, single = recorded.human, student.task in ("text-classification", "text-pair")
        if single and human and "human_column" not in self.given and all(has_labels(half, human) for half in halves):
            student.human_column = human
        return rows

    def _recorded(self, variable: str) -> RecordedVariable:
        """The recorded task of a variable; its texts are read if the table lacks those of the student's options."""
        table = self.data.read(self.data.train_split, self.student)
        recorded = recorded_variable(variable, table.column_names, self.data.records(table))
        if recorded.text_columns and not set(self.student.text_columns) <= set(table.column_names):
            self.student.text_columns = list(recorded.text_columns)
        return recorded

    def _check_kind(self, kind: str | None) -> None:
        """Require that the recorded kind of the labels is that of the student's task."""
        task, column = self.student.task, self.student.label_column
        if kind is not None and kind != task and not {kind, task} <= {"text-classification", "text-pair"}:
            raise ConfigError(
                f"`task` is {task!r}, but `{column}` has {kind} labels. Set `task: {kind}` in the student's options, "
                "or choose another column with --label."
            )


def packaged_student(name: str) -> Path:
    """Path of a packaged student file, by its name without `.yaml`.

    Raises:
        ConfigError: no packaged student file has this name.
    """
    return packaged_file("student", "students", name, ".yaml")
