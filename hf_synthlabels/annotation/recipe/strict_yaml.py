"""YAML read strictly: no key twice, no key unknown, and every error in one line that says the repair."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hf_synthlabels.annotation.recipe.remote import is_address, read_address
from hf_synthlabels.annotation.trust.confirmation import check_trust
from hf_synthlabels.clients.config import CLIENT_KEYS, ClientConfig, StrictModel
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.tables import table_format

Model = TypeVar("Model", bound=StrictModel)
MERGE = "tag:yaml.org,2002:merge"
"""`<<: *other`: merges another mapping; keys next to it take precedence."""


SORTS = {
    "recipe": ({"source", "task", "annotator"}, "annotate"),
    "judge": ({"source", "rubric", "judge"}, "judge"),
    "grid": ({"student", "grid"}, "train --grid"),
    "student": ({"student"}, "train"),
}
"""The keys by which a file shows what it is, and the verb that reads it."""


def validated(model: type[Model], content: Mapping[str, Any], origin: str, error_type: type[ConfigError]) -> Model:
    """Make a configuration from what a YAML file holds.

    Raises:
        ConfigError: of the given type: a key is missing, unknown or wrong.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise error_type(f"{origin}: {_first_problem(error, model)}") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice in one mapping is an error: plain YAML keeps the last one silently."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == MERGE:
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"`{key}` stands twice in one mapping", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path | str, what: str, error_type: type[ConfigError]) -> Any:
    """Read a YAML file strictly.

    Raises:
        ConfigError: of the given type: the file is not there, is not YAML, has a key twice, or is a table or a file of
            another verb.
        UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
    """
    at, path = path, Path(path)
    if table_format(path) not in (None, "json") and path.is_file():
        raise error_type(
            f"`{what}` {str(path)!r} is a table, not a YAML file. Name it as `source.data_files` of a recipe, or take "
            f"a first look: hf-synthlabels study {path.name}"
        )
    try:
        text = read_address(at, what, error_type) if isinstance(at, str) and is_address(at) else path.read_text("utf-8")
        # A safe loader with one more check.
        content = yaml.load(text, Loader=_StrictLoader)
    except OSError as error:
        raise error_type(
            f"`{what}` {str(path)!r} cannot be read: {error.strerror}. Give the path of a YAML file."
        ) from None
    except UnicodeDecodeError:
        raise error_type(f"`{what}` {str(path)!r} is not UTF-8 text. Give the path of a YAML file.") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise error_type(f"{path}{line}: {error.problem}. Correct the YAML.") from None
    except yaml.YAMLError as error:
        raise error_type(f"{path}: {str(error).splitlines()[0]}. Correct the YAML.") from None
    _check_sort(content, path, what, error_type)
    check_trust(content, config_folder(at), str(at))
    return content


def _check_sort(content: Any, path: Path, what: str, error_type: type[ConfigError]) -> None:
    """Refuse a file that another verb reads, which its keys tell."""
    keys = set(content) if isinstance(content, dict) else set()
    if what == "study":
        # Studies are of several sorts, and have some of these keys.
        return
    for sort, (needed, verb) in SORTS.items():
        if needed <= keys:
            if sort != what:
                raise error_type(f"`{what}` {str(path)!r} is a {sort} file. Run: hf-synthlabels {verb} {path.name}")
            return


def config_folder(file: Path | str) -> Path | str:
    """The folder, or the address of the folder, that the paths in a file are relative to."""
    if isinstance(file, str) and is_address(file):
        return file.rsplit("/", 1)[0]
    file = Path(file)
    # The Hub's cache keeps each file elsewhere, and has a link with its name where the repository has it.
    return file.absolute().parent if "snapshots" in file.absolute().parts else file.resolve().parent


def _first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first finding of pydantic in this package's words: the field, what was seen, the repair."""
    finding = error.errors()[0]
    steps = _flat_steps(model, finding["loc"])
    field = ".".join(steps) or "recipe"
    match finding["type"]:
        case "extra_forbidden":
            valid = _keys(model, steps[:-1])
            near = difflib.get_close_matches(steps[-1], valid, n=1)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            return f"`{field}` is not a key. {hint}Valid keys: {', '.join(valid)}."
        case "missing":
            # The key may be there, but misspelt.
            unknown = [
                str(other["loc"][-1])
                for other in error.errors()
                if other["type"] == "extra_forbidden" and _flat_steps(model, other["loc"])[:-1] == steps[:-1]
            ]
            if near := difflib.get_close_matches(steps[-1], unknown, n=1):
                return f"`{field}` is missing, and `{near[0]}` is not a key. Rename it to `{steps[-1]}`."
            return f"`{field}` is missing. Add it."
        case "value_error":
            message = finding["msg"].removeprefix("Value error, ")
            # The label schema names its own field.
            return message.replace("`labels`", "`task.labels`") if message.startswith("`") else f"`{field}` {message}"
        case _:
            return f"`{field}` is {finding['input']!r}. {finding['msg']}."


def _flat_steps(model: type[BaseModel], steps: tuple[int | str, ...]) -> list[str]:
    """The path of a field in YAML, where a client's keys are in the section that holds it."""
    flat: list[str] = []
    inner: type[BaseModel] | None = model
    for step in map(str, steps):
        field = None if inner is None else inner.model_fields.get(step)
        inner = None if field is None else _model_in(field.annotation)
        if inner is not ClientConfig:
            flat.append(step)
    return flat


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field, also of an optional one."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _keys(model: type[BaseModel], steps: list[str]) -> list[str]:
    """The valid keys at a place, in the order of their declaration."""
    for step in steps:
        field = model.model_fields.get(step)
        if field is None and _has_client(model):
            field = ClientConfig.model_fields.get(step)
        if field is not None and (inner := _model_in(field.annotation)) is not None:
            model = inner
    own = [name for name, field in model.model_fields.items() if not field.exclude]
    return [*CLIENT_KEYS, *own[1:]] if _has_client(model) else own


def _has_client(model: type[BaseModel]) -> bool:
    field = model.model_fields.get("client")
    return field is not None and field.annotation is ClientConfig
