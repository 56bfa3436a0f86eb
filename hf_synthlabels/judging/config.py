"""Judge file: the YAML file with the source, rubric, columns and client of a judge."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation import AnnotatorConfig, Recipe, Source, Task
from hf_synthlabels.annotation.prompting.row_inputs import cell_text
from hf_synthlabels.annotation.recipe.strict_yaml import folder_of, read_yaml, validated
from hf_synthlabels.annotation.recipe.task import ScaleKeys
from hf_synthlabels.annotation.trust.confirmation import check_trust
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.clients.factory import ClientUse
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.errors import ConfigError, SynthLabelsError
from hf_synthlabels.judging.judgment import ParseMethod
from hf_synthlabels.judging.parsing.reply_parser import Extraction
from hf_synthlabels.judging.prompt import Item
from hf_synthlabels.judging.rubric import Rubric, read_rubric
from hf_synthlabels.resources import packaged_file

REASON_TOKENS = 1024
"""Default of `judge.max_tokens` for rubrics with reasoning: a truncated reply has no verdict."""

UNUSED_KEYS = ("examples", "example_selection", "keep_going")
"""Keys of an annotator that a judge does not have."""


class Columns(StrictModel):
    """The columns to judge."""

    prediction: str
    """The answers; in a comparison, the first answers."""
    other: str | None = None
    """In a comparison, the second answers."""
    reference: str | None = None
    """A text, or a list of texts."""
    input: str | None = None
    """The prompts of the answers."""

    def by_role(self) -> dict[str, str]:
        """The given columns by role."""
        return {name: column for name, column in self.model_dump().items() if column is not None}


class ExtractionKeys(StrictModel):
    """How a score is read from a reply; see `Extraction`. `judge.num_samples` sets the number of samples."""

    parse_methods: tuple[ParseMethod, ...] = ("schema", "line")
    min_probability_mass: float = 0.9
    low_mass: Literal["verdict", "unscored"] = "verdict"


class JudgeOutput(StrictModel):
    """The columns of the judgments."""

    column: str = Field(default="judge", min_length=1)
    """Prefix of the added columns."""


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
        if judge.scoring and (rubric.reasoning or rubric.protocol == "joint"):
            raise ValueError(
                f"`judge.scoring` scores the verdicts without generating text, but rubric {rubric.name!r} needs text. "
                "Set it to false, or use a rubric with `reasoning = false`."
            )
        if judge.num_samples > 1 and judge.scoring:
            raise ValueError("`judge.scoring` generates no samples. Remove `judge.num_samples`.")
        return self

    @classmethod
    def from_yaml(cls, path: str | Path) -> JudgeFile:
        """Read a judge file.

        Raises:
            ConfigError: the file does not exist, is not YAML, or has a missing, unknown or invalid key.
        """
        file = Path(path)
        return cls.from_dict(read_yaml(file, "judge", ConfigError), folder=Path(folder_of(file)), origin=file.name)

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
        with translate_judge_errors():
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
        """Requests for each row: samples, in both orders for a comparison."""
        return self.judge.num_samples * (2 if self.read_rubric().protocol == "pairwise" else 1)

    @cached_property
    def recipe(self) -> Recipe:
        """The same as a recipe: whose source is read, whose annotator is used, and whose name the ledger records.

        Its labels are the rubric's verdicts, so that answers are as long as they are taken to be.
        """
        rubric = self.read_rubric()
        columns = list(dict.fromkeys(self.columns.by_role().values()))
        scale = None if rubric.scale is None else ScaleKeys(low=rubric.low, high=rubric.high, step=rubric.scale.step)
        task = Task(
            kind="text-classification" if scale is None else "text-scale",
            text=columns if len(columns) > 1 else columns[0],
            labels=[] if scale is not None else list(rubric.answers),
            scale=scale,
            reasoning=rubric.reasoning,
        )
        return Recipe(
            name=self.name, source=self.source, task=task, annotator=self._annotator(rubric), folder=self.folder
        )

    def client_use(self, features: Mapping[str, Any]) -> ClientUse:
        """What judging needs from its client."""
        keys, n_answers = self.recipe.annotator, self.requests_per_row()
        scored = scored_answers(self.recipe.schema_of_labels()) if keys.scoring else None
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
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _annotator(self, rubric: Rubric) -> AnnotatorConfig:
        judge = self.judge
        changes: dict[str, Any] = {}
        if (
            "logprobs" in self.extraction.parse_methods
            and not judge.scoring
            and judge.client.kind in ("openai", "transformers")
        ):
            changes["logprobs"] = True
        if (
            rubric.reasoning
            and "max_tokens" not in judge.client.model_fields_set
            and not judge.client.is_reasoning_model
        ):
            changes["max_tokens"] = REASON_TOKENS
        return AnnotatorConfig.model_validate({**judge.model_dump(exclude_unset=True), **changes})


@contextmanager
def translate_judge_errors() -> Iterator[None]:
    """Errors that name a recipe's parts, in the words of a judge file."""
    try:
        yield
    except SynthLabelsError as error:
        if error.args and isinstance(error.args[0], str):
            # The same error object, so that its class, its attributes and its cause stay.
            error.args = (in_judge_words(error.args[0]), *error.args[1:])
        raise


JUDGE_WORDS = (
    ("`annotator.", "`judge."),
    ("`annotator`", "`judge`"),
    ("`task.text`", "`columns`"),
    ("relative to the recipe", "relative to the judge file"),
    ("the recipe's", "the judge file's"),
)
QUOTED = re.compile(r"""(?<!\w)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
"""A user's value, as `repr` writes it: it stays as it is. The apostrophe in `recipe's` opens none."""


def in_judge_words(message: str) -> str:
    """A message about a recipe with the names that a judge file has; quoted values stay as they are."""
    parts = QUOTED.split(message)
    for place in range(0, len(parts), 2):
        for recipe_name, judge_name in JUDGE_WORDS:
            parts[place] = parts[place].replace(recipe_name, judge_name)
    return "".join(parts)


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
