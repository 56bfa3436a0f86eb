"""Recipes and codebooks: reading, compiling, and opening their annotators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.codebook.codebook import Codebook
from hf_synthlabels.annotation.codebook.codebook_annotator import SeparateAnnotators
from hf_synthlabels.annotation.codebook.codebook_job import CodebookJob
from hf_synthlabels.annotation.compiled import DEFAULT_ENCODER, AnnotationJob
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.remote import is_address
from hf_synthlabels.annotation.recipe.strict_yaml import config_folder, read_yaml
from hf_synthlabels.annotation.run.escalation import EscalatingAnnotator, second_price
from hf_synthlabels.annotation.run.row_annotator import RowAnnotator
from hf_synthlabels.clients import ChatClient, EmbeddingClient, ResponseStore
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.clients.factory import open_client, split_rate_limits
from hf_synthlabels.errors import ConfigError, RecipeError
from hf_synthlabels.labels import Label
from hf_synthlabels.resources import packaged_file

Job = AnnotationJob | CodebookJob
"""A compiled recipe or codebook."""

RecipeLike = Job | Recipe | Codebook | dict[str, Any] | str | Path
"""A recipe: compiled, read, the content of its YAML, a path or address, or a packaged recipe's name."""


def recipe_path(name: str) -> Path:
    """Path of a packaged recipe, by its name without `.yaml`.

    Raises:
        RecipeError: no packaged recipe has this name.
    """
    return packaged_file("recipe", "recipes", name, ".yaml", error=RecipeError)


def read_recipe(recipe: RecipeLike, variable: str | None = None) -> Recipe:
    """Read the recipe of one variable; a recipe is returned unchanged.

    Args:
        recipe: a recipe or a codebook.
        variable: which one of a codebook with several variables.

    Raises:
        RecipeError: the file cannot be read, or `variable` is missing or is none of its variables.
    """
    read = read_codebook(recipe)
    if isinstance(read, Recipe):
        if variable not in (None, read.output.column):
            raise RecipeError(
                f"`variable` is {variable!r}, but recipe {read.name!r} has only {read.output.column!r}. Remove it."
            )
        return read
    if variable is None and len(read.variables) == 1:
        return next(iter(read.variables.values()))
    if variable is None or variable not in read.variables:
        raise RecipeError(f"`variable` is {variable!r}. Use one of: {', '.join(read.variables)}.")
    return read.variables[variable]


def read_codebook(recipe: RecipeLike) -> Recipe | Codebook:
    """Read a recipe, or a codebook with several variables."""
    if isinstance(recipe, AnnotationJob | CodebookJob):
        return recipe.recipe
    if isinstance(recipe, Recipe | Codebook):
        return recipe
    if isinstance(recipe, dict):
        return _from_dict(recipe, folder=Path.cwd(), origin="recipe")
    path = Path(recipe)
    is_file = is_address(recipe) or path.is_file() or path.suffix in (".yaml", ".yml")
    file = recipe if is_file else recipe_path(str(recipe))
    return _from_dict(read_yaml(file, "recipe", RecipeError), folder=config_folder(file), origin=str(file))


def _from_dict(content: Any, *, folder: Path | str | None, origin: str) -> Recipe | Codebook:
    task = content.get("task") if isinstance(content, dict) else None
    is_codebook = isinstance(task, dict) and "variables" in task
    if is_codebook:
        return Codebook.from_dict(content, folder=folder, origin=origin)
    return Recipe.from_dict(content, folder=folder, origin=origin)


def compile_recipe(recipe: RecipeLike) -> Job:
    """Read a recipe or codebook and the files it names, once.

    Raises:
        RecipeError: a key is missing, unknown or wrong, or a file cannot be read.
        UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
    """
    if isinstance(recipe, AnnotationJob | CodebookJob):
        return recipe
    read = read_codebook(recipe)
    if isinstance(read, Recipe):
        return _compiled(read)
    jobs = {name: _compiled(each) for name, each in read.variables.items()}
    return CodebookJob(read, jobs, read.client(), read.annotator.response_format)


def compile_variable(recipe: RecipeLike, variable: str | None = None) -> AnnotationJob:
    """Compile the recipe of one variable; see `read_recipe`."""
    return recipe if isinstance(recipe, AnnotationJob) else _compiled(read_recipe(recipe, variable))


def _compiled(recipe: Recipe) -> AnnotationJob:
    schema = recipe.schema_of_labels()
    examples = tuple(recipe.read_examples(schema))
    return AnnotationJob(recipe, schema, examples, recipe.client(), recipe.annotator.response_format)


@contextmanager
def open_annotator(
    job: Job,
    features: Mapping[str, Any],
    *,
    config: ClientConfig | None = None,
    client: ChatClient | None = None,
    store: ResponseStore | None = None,
    alone: bool = True,
) -> Iterator[RowAnnotator]:
    """The annotator of a job; its response store is flushed and closed at the end.

    Args:
        job: the compiled recipe.
        features: the features of the source.
        config: replaces the job's client configuration, with a part of its limits.
        client: replaces the configured client; the response store is used with it.
        store: used instead of this machine's store, and left open.
        alone: whether no other process uses the same budget.

    Raises:
        ClientError: a key, a file or a model is missing.
        StoreError: the response store cannot be opened.
    """
    if job.second is not None:
        if client is not None:
            raise ConfigError("`client` replaces one annotator, and the recipe has two. Remove `annotator.escalate`.")
        with _cascade(job, job.second, features, config or job.client, store, alone) as cascade:
            yield cascade
        return
    with _opened(job, features, config or job.client, client, store, alone) as annotator:
        yield annotator


@contextmanager
def _cascade(
    job: Job,
    second: Job,
    features: Mapping[str, Any],
    config: ClientConfig,
    store: ResponseStore | None,
    alone: bool,
) -> Iterator[RowAnnotator]:
    """Both annotators of a job; the second has the same part of its limits as the first."""
    escalate, names = job.recipe.annotator.escalate, job.annotator_names
    assert escalate is not None
    assert names is not None
    parts = max(1, round(job.client.max_in_flight / config.max_in_flight))
    own = split_rate_limits(second.client, parts)[-1]
    with (
        _opened(job, features, config, None, store, alone) as first,
        # The first annotator may have spent the budget, which says nothing about the second.
        _opened(second, features, own, None, store, alone=False) as other,
    ):
        yield EscalatingAnnotator.of(first, other, escalate.below, names, price=second_price(own))


@contextmanager
def _opened(
    job: Job,
    features: Mapping[str, Any],
    config: ClientConfig,
    client: ChatClient | None,
    store: ResponseStore | None,
    alone: bool,
) -> Iterator[Any]:
    if client is None and isinstance(job, CodebookJob) and job.recipe.has_own_clients:
        with ExitStack() as stack:
            annotators = {
                name: stack.enter_context(_with_client(each, features, each.client, None, store, alone))
                for name, each in job.variables.items()
            }
            form, keep_going = job.recipe.task.form(), job.recipe.annotator.keep_going or job.client.kind == "embedding"
            yield SeparateAnnotators(job.prompt(), form, annotators, keep_going=keep_going)
        return
    with _with_client(job, features, config, client, store, alone) as annotator:
        yield annotator


# Not a part of `_opened`, which would then call itself: `dill` follows the functions of a stream without end.
@contextmanager
def _with_client(
    job: Job,
    features: Mapping[str, Any],
    config: ClientConfig,
    client: ChatClient | None,
    store: ResponseStore | None,
    alone: bool,
) -> Iterator[Any]:
    prompt: Any = job.prompt()
    is_encoder = job.client.kind == "embedding"
    keep_going = job.recipe.annotator.keep_going or is_encoder
    if client is None and is_encoder:
        # Embeddings are cheap to compute and are not stored.
        yield job.annotator(prompt, _embedding_client(job, prompt), keep_going=keep_going, alone=alone)
        return
    with open_client(config, job.client_use(features), client=client, store=store) as opened:
        if opened.as_json is not None:
            prompt = job.prompt(as_json=opened.as_json)
        window_rows = opened.window_rows
        yield job.annotator(prompt, opened.client, window_rows=window_rows, keep_going=keep_going, alone=alone)


def _embedding_client(job: Job, prompt: Prompt) -> ChatClient:
    examples = [_labeled_text(example, prompt) for example in prompt.examples]
    columns = (prompt.form.columns[0], prompt.form.columns[1]) if prompt.form.pair else None
    return EmbeddingClient(prompt.schema, model=job.client.model or DEFAULT_ENCODER, examples=examples, columns=columns)


def _labeled_text(example: Example, prompt: Prompt) -> tuple[str | tuple[str, str], Label]:
    """The text of an example, or both texts of a pair, and its label."""
    row = example.row_text(prompt.form)
    label = example.read_label(prompt.schema, row)
    if prompt.form.pair:
        (_, first), (_, second) = row.parts
        return (first, second), label
    return row.text, label
