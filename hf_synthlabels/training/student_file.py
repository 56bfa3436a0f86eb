"""StudentFile: the YAML file with the options and the data of a student."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from datasets import ClassLabel, Dataset, concatenate_datasets
from datasets.exceptions import DatasetsError

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml, validated
from hf_synthlabels.cards import CardFields
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError, DataError, SynthLabelsError
from hf_synthlabels.resources import packaged_file
from hf_synthlabels.statistics.validation.label_columns import label_column
from hf_synthlabels.statistics.validation.label_columns import label_names as names_within
from hf_synthlabels.tables import READABLE, ReadOptions, RowSource, load_rows, read_records, table_format
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_rows import column_values
from hf_synthlabels.training.tasks import WITHOUT_NAMES


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Training rows, test rows, and the label names."""

    train: Dataset
    test: Dataset | None
    names: tuple[str, ...]
    records: list[dict[str, Any]] = field(default_factory=list)
    """Provenance of the label columns, if known."""

    def is_llm(self, column: str) -> bool:
        """Whether a label column is from an LLM."""
        return column in annotation_columns(self.train.column_names) or any(
            record.get("column") == column for record in self.records
        )

    @property
    def human_columns(self) -> list[str]:
        """Columns with human labels that the recipe named."""
        known = (record.get("human") for record in self.records)
        return [str(name) for name in dict.fromkeys(known) if name in self.train.column_names]


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
        train = self._read(self.train_split, config)
        test = None if self.test_split is None else self._read(self.test_split, config)
        names = tuple(self.names or label_names(train, config.label_column, config.task))
        if config.task not in (*WITHOUT_NAMES, "multi-label", "token-classification"):
            _check_names(names, train, config.label_column)
        if test is None and self.test_size > 0:
            halves = train.train_test_split(test_size=self.test_size, seed=config.seed)
            train, test = halves["train"], halves["test"]
            if config.task in ("text-classification", "text-pair"):
                train, test = _all_labels_train(train, test, config.label_column)
        return TrainingData(train, test, names, self.records(train))

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
        rows = self._read(self.train_split, config)
        written = [name for name in rows.column_names if name in annotation_columns(rows.column_names)]
        recorded = [str(record.get("column")) for record in self.records(rows)]
        columns = [name for name in dict.fromkeys([*written, *recorded]) if name in rows.column_names]
        if len(columns) > 1:
            raise ConfigError(
                f"`label_column` is missing, and there are several LLM label columns: {', '.join(map(repr, columns))}. "
                "Choose one with --label, or with `label_column` in the student's options."
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

    def _read(self, split: str, config: StudentConfig) -> Dataset:
        options = ReadOptions(
            (config.label_column, *config.text_columns, *([config.human_column] if config.human_column else [])),
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


@dataclass(frozen=True, slots=True)
class StudentFile:
    """A YAML file with the keys `student` and `data`, and `card` for publishing."""

    student: StudentConfig
    data: DataSource
    card: CardFields | None = None
    """Card fields from the publisher, required for `student.push_to_hub`."""
    given: frozenset[str] = frozenset()
    """Options set in the file or on the command line."""

    @classmethod
    def read(
        cls,
        name: str | Path,
        *,
        data: str | Path | None = None,
        label: str | None = None,
        output: str | Path | None = None,
        encoding: str | None = None,
        separator: str | None = None,
    ) -> Self:
        """Read a file by its path, or a packaged one by its name.

        Args:
            name: a path, or a name such as 'minilm'.
            data: overrides the key `data` with a file or folder.
            label: overrides `label_column`.
            output: overrides `output_dir`.
            encoding: overrides `data.encoding`.
            separator: overrides `data.separator`.

        Raises:
            ConfigError: the file cannot be read, or has an unknown key or an invalid value.
        """
        path = Path(name)
        if not path.is_file() and path.suffix not in (".yaml", ".yml"):
            path = packaged_student(str(name))
        content = read_yaml(path, "student", ConfigError)
        if not isinstance(content, dict) or not isinstance(content.get("student"), dict):
            raise ConfigError(f"`student` is missing in {str(path)!r}. Write `student: {{model: ...}}`.")
        unknown = sorted(set(map(str, content)) - {"data", "student", "card"})
        if unknown:
            raise ConfigError(f"{path}: `{unknown[0]}` is not a key. Valid keys: data, student, card.")
        more = {"label_column": label, "output_dir": None if output is None else str(output)}
        options = {**content["student"], **{key: value for key, value in more.items() if value is not None}}
        student = StudentConfig.from_dict(options, where=str(path))
        words = content.get("card")
        card = CardFields.from_dict(words, str(path)) if student.push_to_hub or words is not None else None
        given = frozenset(map(str, options))
        reading = {key: value for key, value in (("encoding", encoding), ("separator", separator)) if value is not None}
        if data is not None:
            return cls(student, DataSource.of_file(data).model_copy(update=reading), card, given)
        if not isinstance(content.get("data"), dict):
            raise ConfigError(
                f"`data` is missing in {str(path)!r}. Write `data: {{path: ...}}`, or name a file of rows: --data."
            )
        return cls(student, validated(DataSource, content["data"] | reading, f"{path}, data", ConfigError), card, given)

    def load(self) -> TrainingData:
        """Load the rows; without a `label_column`, the LLM label column is learned, if there is one.

        Raises:
            ConfigError: see `DataSource.load`, or the labels of the column belong to another task.
            DataError: see `DataSource.load`.
        """
        if "label_column" not in self.given:
            self.student.label_column = self.data.llm_column(self.student) or self.student.label_column
        rows = self.data.load(self.student)
        kinds = {record.get("column"): record.get("kind") for record in rows.records}
        kind, task = kinds.get(self.student.label_column), self.student.task
        alike = {"text-classification", "text-pair"}
        if kind is not None and kind != task and not {kind, task} <= alike:
            raise ConfigError(
                f"`task` is {task!r}, but `{self.student.label_column}` has {kind} labels. Set `task: {kind}` in the "
                "student's options, or choose another column with --label."
            )
        return rows


def packaged_student(name: str) -> Path:
    """Path of a packaged student file, by its name without `.yaml`.

    Raises:
        ConfigError: no packaged student file has this name.
    """
    return packaged_file("student", "students", name, ".yaml")


def _check_names(names: tuple[str, ...], dataset: Dataset, column: str) -> None:
    """Require at least two classes."""
    if not names:
        raise DataError(
            f"`{column}` has no label in any of {len(dataset)} rows. Label some, or name another `label_column`."
        )
    if len(names) == 1:
        raise DataError(
            f"`{column}` is {names[0]!r} in all labeled rows of {len(dataset)}. A student needs rows with at least two "
            "different labels."
        )


def _all_labels_train(train: Dataset, test: Dataset, column: str) -> tuple[Dataset, Dataset]:
    """Move one row of each label that occurs in the test rows only to the training rows."""
    seen = {value for value in train[column][:] if value is not None}
    moved: list[int] = []
    for row, value in enumerate(test[column][:]):
        if value is not None and value not in seen:
            seen.add(value)
            moved.append(row)
    if not moved or len(moved) == len(test):
        return train, test
    others = [row for row in range(len(test)) if row not in moved]
    return concatenate_datasets([train, test.select(moved)]), test.select(others)


def label_names(dataset: Dataset, column: str, task: str = "text-classification") -> tuple[str, ...]:
    """The names of a ClassLabel column, or the distinct labels of a string column in alphabetical order.

    Args:
        dataset: rows.
        column: label column; for multi-label and entities, the names inside the lists.
        task: the task type; some have no names.

    Raises:
        DataError: there is no such column, or it has neither type.
    """
    values = column_values(dataset, column, "label_column")
    if task in WITHOUT_NAMES:
        return ()
    if task in ("multi-label", "token-classification"):
        return tuple(names_within([label_column(dataset, column, task)], task))
    feature = dataset.features[column]
    if isinstance(feature, ClassLabel):
        return tuple(feature.names)
    labels = {value for value in values if value is not None}
    for label in labels:
        if not isinstance(label, str):
            raise DataError(
                f"`{column}` has the label {label!r}, which is not a name. Give `names`, in the order of the codes."
            )
    return tuple(sorted(labels))
