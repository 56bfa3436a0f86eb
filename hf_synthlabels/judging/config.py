"""Judge file: the YAML file with the source, rubric, columns and client of a judge."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation import AnnotatorConfig, Source
from hf_synthlabels.annotation.prompting.row_inputs import cell_text
from hf_synthlabels.annotation.recipe.source import check_keys, read_source, recorded_keys, source_files
from hf_synthlabels.annotation.recipe.source_config import FilePaths
from hf_synthlabels.annotation.recipe.strict_yaml import config_folder, read_yaml, validated
from hf_synthlabels.annotation.trust.confirmation import check_trust
from hf_synthlabels.clients.config import ClientConfig, StrictModel
from hf_synthlabels.clients.factory import ClientUse
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.config_sections import Columns, ExamplesKeys, ExtractionKeys, JudgeOutput
from hf_synthlabels.judging.parsing.reply_parser import Extraction
from hf_synthlabels.judging.prompting.judge_examples import described_examples, read_examples
from hf_synthlabels.judging.prompting.judge_prompt import Item, JudgeExample
from hf_synthlabels.judging.rubric import Rubric, read_rubric
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.resources import packaged_file

REASON_TOKENS = 1024
"""Default of `judge.max_tokens` for rubrics with reasoning: a truncated reply has no verdict."""

UNUSED_KEYS = ("escalate", "examples", "example_selection", "keep_going")
"""Keys of an annotator that a judge does not have."""


class JudgeFile(StrictModel):
    """Source, rubric, columns and client of a judge."""

    name: str
    source: Source
    rubric: str | dict[str, Any]
    """Name of a packaged rubric, path of a TOML file, or the content of one."""
    columns: Columns
    judge: AnnotatorConfig
    """The client with its limits and budget: the keys of a recipe's annotator."""
    extraction: ExtractionKeys = ExtractionKeys()
    examples: ExamplesKeys | None = None
    """Rows with human scores that the judge sees before each row."""
    commit_first: bool = False
    """Whether the judge first answers the input itself, before it sees the answer to judge."""
    output: JudgeOutput = JudgeOutput()
    folder: Path | None = Field(default=None, exclude=True)
    """Folder of the file; its paths are relative to this folder."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"is {name!r}. Use letters, digits, '.', '_' and '-'.")
        return name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        judge, columns = self.judge, self.columns
        if judge.client.kind == "embedding":
            raise ValueError(
                "`judge.client` is 'embedding', which generates no text. Use openai, transformers or recorded."
            )
        for key in UNUSED_KEYS:
            if key in judge.model_fields_set:
                raise ValueError(f"`judge.{key}` is not used by a judge. Remove it.")
        rubric = self.read_rubric()
        self.extraction_options()
        if (rubric.protocol == "pairwise") != (columns.other is not None):
            does = "compares two answers" if rubric.protocol == "pairwise" else "judges one answer"
            repair = "Name the second in" if rubric.protocol == "pairwise" else "Remove"
            raise ValueError(f"`rubric` {rubric.name!r} {does}. {repair} `columns.other`.")
        if rubric.reference == "never" and columns.reference is not None:
            raise ValueError(f"`columns.reference` does not fit rubric {rubric.name!r}, which shows none. Remove it.")
        if rubric.reference == "required" and columns.reference is None:
            raise ValueError(f"`columns.reference` is missing, but rubric {rubric.name!r} needs it. Add it.")
        if judge.scoring and (rubric.reasoning or rubric.protocol == "joint" or rubric.criteria):
            raise ValueError(
                f"`judge.scoring` scores the verdicts without generating text, but rubric {rubric.name!r} needs text. "
                "Set it to false, or use a rubric with one score and `reasoning = false`."
            )
        if judge.num_samples > 1 and judge.scoring:
            raise ValueError("`judge.scoring` generates no samples. Remove `judge.num_samples`.")
        if judge.scoring:
            scored_answers(verdict_schema(rubric))
        self._check_commitment()
        return self

    def _check_commitment(self) -> None:
        if not self.commit_first:
            return
        if self.columns.input is None:
            raise ValueError("`commit_first` needs the inputs that the judge answers first. Add `columns.input`.")
        if self.judge.client.kind == "recorded" or self.judge.scoring:
            how = (
                "its replies are recorded"
                if self.judge.client.kind == "recorded"
                else "`judge.scoring` generates no text"
            )
            raise ValueError(f"`commit_first` needs a judge that answers the inputs, but {how}. Remove it.")

    @classmethod
    def from_yaml(cls, path: str | Path) -> JudgeFile:
        """Read a judge file.

        Raises:
            ConfigError: the file does not exist, is not YAML, or has a missing, unknown or invalid key.
        """
        file = Path(path)
        return cls.from_dict(read_yaml(file, "judge", ConfigError), folder=Path(config_folder(file)), origin=file.name)

    @classmethod
    def from_dict(cls, content: Any, *, folder: Path | None = None, origin: str = "judge") -> JudgeFile:
        """Parse the content of a judge file.

        Raises:
            ConfigError: a key is missing, unknown or invalid.
        """
        if not isinstance(content, dict):
            raise ConfigError(
                f"{origin}: a judge file is a mapping with `name`, `source`, `rubric`, `columns` and `judge`."
            )
        check_trust(content, folder, origin)
        return validated(cls, {**content, "folder": folder}, origin, ConfigError)

    def read_rubric(self) -> Rubric:
        """The rubric.

        Raises:
            ConfigError: it cannot be read.
        """
        if isinstance(self.rubric, str) and self.folder is not None and (self.folder / self.rubric).is_file():
            return read_rubric(self.folder / self.rubric)
        return read_rubric(self.rubric)

    def extraction_options(self) -> Extraction:
        """How a score is read from a reply, with the number of samples."""
        keys = self.extraction
        return Extraction(keys.parse_methods, self.judge.num_samples, keys.min_probability_mass, keys.low_mass)

    def requests_per_row(self) -> int:
        """Requests for each row: the judge's own answer, and samples, in both orders for a comparison."""
        return self.commit_first + self.judge.num_samples * (2 if self.read_rubric().protocol == "pairwise" else 1)

    @cached_property
    def judge_examples(self) -> tuple[JudgeExample, ...]:
        """The few-shot examples.

        Raises:
            ConfigError: they cannot be read, or do not fit the rubric and the columns.
        """
        if self.examples is None:
            return ()
        file, columns = self.examples.file, list(self.columns.by_role().values())
        paths = (
            Path(self.paths.local(file))
            if isinstance(file, str)
            else {name: Path(self.paths.local(path)) for name, path in file.items()}
        )
        return read_examples(paths, self.read_rubric(), columns, lambda row: self.item(row, {}), self.examples.count)

    @property
    def paths(self) -> FilePaths:
        """Finds the files that the judge file names."""
        return FilePaths(self.folder, self.source.homepage)

    @cached_property
    def resolved_judge(self) -> AnnotatorConfig:
        """The `judge` section, with the log-probabilities and the token limit that extraction and rubric need."""
        judge, changes = self.judge, dict[str, Any]()
        is_generated = judge.client.kind in ("openai", "transformers") and not judge.scoring
        if "logprobs" in self.extraction.parse_methods and is_generated:
            changes["logprobs"] = True
        is_limited = "max_tokens" in judge.client.model_fields_set or judge.client.is_reasoning_model
        rubric = self.read_rubric()
        if (rubric.reasoning or rubric.criteria or self.commit_first) and not is_limited:
            changes["max_tokens"] = REASON_TOKENS
        return AnnotatorConfig.model_validate({**judge.model_dump(exclude_unset=True), **changes})

    def client(self) -> ClientConfig:
        """The judge's client, with located paths."""
        return self.paths.located_client(self.resolved_judge.client)

    def named_columns(self) -> dict[str, str]:
        """The columns that the file names, each with its key."""
        keys = {column: f"columns.{role}" for role, column in reversed(self.columns.by_role().items())}
        return recorded_keys(self.judge.client, "judge") | keys

    def needed_columns(self) -> list[str]:
        """The columns that judging reads."""
        return list(self.named_columns())

    def load_source(self, *, streaming: bool = False) -> dict[str, Any]:
        """The splits of the source by name; see `read_source`.

        Raises:
            ConfigError: a file is not there, the data set does not exist, or it cannot be read.
            DataError: a split does not exist, all are without rows, or one lacks a column that the file names.
        """
        splits = read_source(self.source, self.paths, self.named_columns(), streaming=streaming)
        if not streaming:
            columns = list(self.columns.by_role().values())
            check_keys(
                self.judge.client, splits, columns, lambda row: json.dumps([row[name] for name in columns], default=str)
            )
        return splits

    def source_files(self) -> list[Path]:
        """The local files that rows and recorded replies come from: none of them may be overwritten."""
        file = self.judge.client.file
        return source_files(self.source, self.paths, [] if file is None else [file])

    def client_use(self, features: Mapping[str, Any]) -> ClientUse:
        """What judging needs from its client."""
        keys, n_answers = self.resolved_judge, self.requests_per_row()
        scored = scored_answers(verdict_schema(self.read_rubric())) if keys.scoring else None
        return ClientUse(self.name, keys.response_format, keys.logprobs, n_answers, scored, features)

    def item(self, row: Mapping[str, Any], class_names: Mapping[str, Any]) -> Item:
        """The item to judge in a row.

        Args:
            row: a row with the file's columns.
            class_names: class names of the columns that hold class indices.
        """

        def text(column: str | None) -> str:
            return "" if column is None else _text(row.get(column), class_names.get(column))

        references: Any = () if self.columns.reference is None else row.get(self.columns.reference)
        if not isinstance(references, list | tuple):
            references = [references]
        shown = [_text(value, class_names.get(str(self.columns.reference))) for value in references]
        return Item(
            text(self.columns.prediction),
            tuple(value for value in shown if value.strip()),
            text(self.columns.input),
            text(self.columns.other),
            row,
        )

    def fingerprint(self) -> str:
        """Hash of the file and its rubric, 16 hexadecimal digits."""
        content = {**self.model_dump(mode="json"), "rubric": self.read_rubric().fingerprint()}
        # Files without these keys keep their hash. Examples count by their content, not by the name of their file.
        commit_first, _ = content.pop("commit_first"), content.pop("examples")
        content |= {"commit_first": True} if commit_first else {}
        if self.judge_examples:
            content["examples"] = described_examples(self.judge_examples)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def verdict_schema(rubric: Rubric) -> LabelSchema:
    """A rubric's verdicts as labels, by which a client scores them and a plan estimates the length of replies."""
    if rubric.scale is None:
        return LabelSchema.from_labels(list(rubric.answers))
    return LabelSchema(kind="text-scale", scale=Scale(rubric.low, rubric.high, rubric.scale.step))


def read_judge(judge: JudgeFile | dict[str, Any] | str | Path) -> JudgeFile:
    """Read a judge file from a path, a packaged file's name, or its content.

    Raises:
        ConfigError: it cannot be read, or a key is missing, unknown or invalid.
    """
    if isinstance(judge, JudgeFile):
        return judge
    if isinstance(judge, dict):
        return JudgeFile.from_dict(judge, folder=Path.cwd())
    path = Path(judge)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        path = _packaged(str(judge))
    return JudgeFile.from_yaml(path)


def _packaged(name: str) -> Path:
    return packaged_file("judge", "judges", name, ".yaml")


def _text(value: Any, names: Any) -> str:
    """A cell as text."""
    if value is None:
        return ""
    if names is not None and isinstance(value, int):
        return str(names[value]) if 0 <= value < len(names) else ""
    if isinstance(value, str | list | dict):
        return cell_text(value)
    return json.dumps(value, ensure_ascii=False, default=str)
