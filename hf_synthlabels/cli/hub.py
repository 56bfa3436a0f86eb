"""`hf-synthlabels push` and `pull`: publish on the Hugging Face Hub, and download."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.cli.options import HumanOption, LLMOption
from hf_synthlabels.errors import ConfigError, DataError, HubError

if TYPE_CHECKING:
    from hf_synthlabels.annotation import Recipe
    from hf_synthlabels.cards import Licenses
    from hf_synthlabels.publishing import HubUpload
    from hf_synthlabels.tables import ReadOptions

app = typer.Typer(
    no_args_is_help=True, help="Publish on the Hub in one commit, private by default; --dry-run previews it."
)

Repo = Annotated[str, typer.Argument(help="Repository on the Hub: user/name.")]
Public = Annotated[bool, typer.Option("--public", help="Create a public repository (default: private).")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="List the files and their sizes; upload nothing.")]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite a repository with other contents.")]
KeepCard = Annotated[
    bool, typer.Option("--keep-card", help="Keep the README.md on the Hub; write the new card to annotation/README.md.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
License = Annotated[
    str | None, typer.Option("--license", help="License identifier, e.g. cc-by-4.0 or mit; or other, unknown.")
]
LicenseName = Annotated[str | None, typer.Option(help="Name of the license, if `other`.")]
LicenseLink = Annotated[str | None, typer.Option(help="URL of the license, if `other`.")]
Outputs = Annotated[
    str | None,
    typer.Option("--llm-terms", help="Terms of the LLM provider for its outputs, in words; or unknown."),
]
Summary = Annotated[str | None, typer.Option(help="One-sentence summary for the card.")]
Language = Annotated[list[str] | None, typer.Option(help="Language of the texts, e.g. en; may be repeated.")]


@app.command()
def dataset(
    data: Annotated[str, typer.Argument(help="Recipe, or annotated file or folder.")],
    repo: Repo,
    license: License = None,
    license_name: LicenseName = None,
    license_link: LicenseLink = None,
    llm_terms: Outputs = None,
    summary: Summary = None,
    language: Language = None,
    human_rows: Annotated[str | None, typer.Option(help="How the human-labeled rows were sampled, in words.")] = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    gate: Annotated[str | None, typer.Option(help="Required score, e.g. 'macro_f1>=0.7'.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe of an annotated file.")] = None,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    keep_card: KeepCard = False,
    as_json: AsJson = False,
) -> None:
    """Publish an annotated data set with its card, provenance and agreement with human labels.

    Example: hf-synthlabels push dataset tickets.yaml me/tickets --license cc-by-4.0 --llm-terms unknown --dry-run
    """
    from hf_synthlabels.publishing import DatasetCardFields, dataset_upload
    from hf_synthlabels.statistics import Gate

    threshold = Gate.parse(gate) if gate else None
    fields = DatasetCardFields(
        licenses=_licenses(license, license_name, license_link, llm_terms),
        summary=summary,
        human_rows=human_rows,
        language=tuple(language or ()),
    )
    splits, own, text, records = _annotated(data, recipe)
    with TemporaryDirectory() as folder:
        upload = dataset_upload(
            splits,
            repo,
            Path(folder),
            words=fields,
            recipe=own,
            recipe_text=text,
            records=records,
            human=human,
            llm=llm,
            gate=threshold,
        )
        _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json, keep_card=keep_card)


@app.command()
def model(
    folder: Annotated[Path, typer.Argument(help="Folder of the saved student.")],
    repo: Repo,
    license: License = None,
    license_name: LicenseName = None,
    license_link: LicenseLink = None,
    llm_terms: Outputs = None,
    summary: Summary = None,
    language: Language = None,
    base_model: Annotated[str | None, typer.Option(help="Base model, if not recorded in the folder.")] = None,
    base_revision: Annotated[str | None, typer.Option(help="Revision of the base model.")] = None,
    trained_on: Annotated[str | None, typer.Option(help="Hub ID of the training data set.")] = None,
    trained_on_revision: Annotated[str | None, typer.Option(help="Revision of the training data set.")] = None,
    label_source: Annotated[
        str | None, typer.Option(help="Label source: a label column, or human, llm or validation of a study.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="JSON report of `hf-synthlabels validate` on the student's labels.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="report.json of the study that trained it.")] = None,
    widget: Annotated[list[str] | None, typer.Option(help="Example text for the model page; may be repeated.")] = None,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Publish a student with its card and scores.

    Example: hf-synthlabels push model student me/tickets-student --license mit --llm-terms unknown --dry-run
    """
    from hf_synthlabels.publishing import ModelCardFields, model_upload

    fields = ModelCardFields(
        licenses=_licenses(license, license_name, license_link, llm_terms),
        summary=summary,
        base_model=base_model,
        base_revision=base_revision,
        dataset=trained_on,
        dataset_revision=trained_on_revision,
        language=tuple(language or ()),
        widget=tuple(widget or ()),
        label_source=label_source,
    )
    upload = model_upload(
        folder,
        repo,
        words=fields,
        validation=None if validation is None else _validation(validation),
        study=None if study is None else _study(study),
    )
    _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json)


@app.command()
def metric(
    name: Annotated[str, typer.Argument(help="Packaged metric, or folder of another metric.")],
    repo: Repo,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Publish a metric as a Gradio Space, for `evaluate.load("user/name")`.

    Example: hf-synthlabels push metric llm_judge me/llm_judge --public --dry-run
    """
    from hf_synthlabels import metric_path
    from hf_synthlabels.publishing import metric_upload

    folder = Path(name) if Path(name).is_dir() else Path(metric_path(name))
    _send(metric_upload(folder, repo), public=public, dry_run=dry_run, replace=replace, as_json=as_json)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="JSON of a study, validation, grid or audit, or page.json.")],
    repo: Repo,
    license: License = None,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Publish a report page as a static Space, with its data, tables and figures as files.

    Example: hf-synthlabels push report results/report.json me/tickets-report --license cc-by-4.0 --dry-run
    """
    from hf_synthlabels.cards import Licenses
    from hf_synthlabels.cli.report import load_report
    from hf_synthlabels.publishing import report_upload

    licenses = Licenses(_require("license", license, "License of the report"), "unknown")
    upload = report_upload(load_report(results), repo, license=licenses.license)
    _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json)


def pull(
    repo: Repo,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Output folder (default: last part of the name).")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="dataset, model or space, if the name is ambiguous.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, branch or tag (default: latest).")] = None,
    as_json: AsJson = False,
) -> None:
    """Download one revision from the Hub, and verify every file.

    Example: hf-synthlabels pull me/tickets -o tickets
    """
    from hf_synthlabels.publishing import pull as fetch

    pulled = fetch(repo, output or Path(repo.rpartition("/")[2]), repo_type=kind, revision=revision)
    print(json.dumps({**asdict(pulled), "folder": str(pulled.folder)}, indent=1) if as_json else pulled)


def _send(
    upload: HubUpload, *, public: bool, dry_run: bool, replace: bool, as_json: bool, keep_card: bool = False
) -> None:
    from hf_synthlabels.publishing import push

    if dry_run:
        card = next((file.content for file in upload.files if file.path == "README.md"), None)
        text = card.decode() if isinstance(card, bytes) else None
        if as_json:
            files = {file.path: file.size for file in upload.with_manifest().files}
            content = {"repo": upload.repo, "repo_type": upload.repo_type, "files": files, "card": text}
            print(json.dumps(content, indent=1, ensure_ascii=False))
        else:
            print(upload.listing(private=not public))
            if text is not None:
                print(f"\nREADME.md:\n\n{text}")
            print("Nothing was uploaded.")
        return
    done = push(upload, private=not public, replace=replace, keep_card=keep_card)
    print(json.dumps({**asdict(done), "url": done.url}, indent=1) if as_json else done)
    if public and done.private:
        raise HubError(
            f"`{upload.repo}` already exists and is private. Change its visibility in its settings on the Hub."
        )


def _licenses(license: str | None, name: str | None, link: str | None, outputs: str | None) -> Licenses:
    from hf_synthlabels.cards import Licenses

    return Licenses(
        _require("license", license, "License (cc-by-4.0, mit, ..., other or unknown)"),
        _require("llm-terms", outputs, "Terms of the LLM provider for its outputs (or unknown)"),
        name,
        link,
    )


def _require(option: str, value: str | None, question: str) -> str:
    """Return the value of a required option, or prompt for it on a terminal."""
    if value is not None:
        return value
    if sys.stdin.isatty():
        return str(typer.prompt(question))
    raise ConfigError(f"`--{option}` is required: give a value, or 'unknown' if you do not know it.")


def _annotated(
    data: str, recipe: str | None
) -> tuple[dict[str, Any], Recipe | None, str | None, dict[str, list[dict[str, Any]]] | None]:
    """Load the splits of a recipe or file, the recipe with its text, and the provenance records of a file."""
    from hf_synthlabels.annotation import load, read_recipe, recipe_path
    from hf_synthlabels.tables import read_records, read_table

    path = Path(data)
    is_recipe = path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix)
    named = data if is_recipe else recipe
    own = None if named is None else read_recipe(named)
    text = None
    if named is not None:
        file = Path(named) if Path(named).is_file() else recipe_path(named)
        text = file.read_text(encoding="utf-8")
    if is_recipe:
        return dict(load(data)), own, text, None
    splits = dict(read_table(path, _read_options(own)))
    records = read_records(path)
    return splits, own, text, {name: list(records) for name in splits} if records else None


def _read_options(recipe: Recipe | None) -> ReadOptions:
    """Options for reading a file: labels and texts are read verbatim, except ratings."""
    from hf_synthlabels.publishing.labeled_data import label_options

    if recipe is None:
        return label_options()
    task = recipe.task
    return label_options(task.human, recipe.output.column, *task.columns, numbers=task.kind == "text-scale")


def _validation(path: Path) -> Any:
    from hf_synthlabels.statistics import ValidationReport

    try:
        return ValidationReport.from_json(path.read_text(encoding="utf-8"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"`validation` {str(path)!r} is not a report of `hf-synthlabels validate -o`: {error}."
        ) from None


def _study(path: Path) -> Any:
    from hf_synthlabels.studies import StudyReport

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"`study` {str(path)!r} cannot be read: {error}. Give the report.json of a study.") from None
    return StudyReport.from_json(text)
