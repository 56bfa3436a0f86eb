"""`hf-synthlabels push` and `pull`: publish on the Hugging Face Hub, and download."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.cli.help import show_next
from hf_synthlabels.cli.options import GatesOption, HumanOption, JsonOption, LLMOption, ResultsArgument, existing
from hf_synthlabels.cli.report import load_report
from hf_synthlabels.errors import ConfigError, HubError

if TYPE_CHECKING:
    from hf_synthlabels.cards import CardFields
    from hf_synthlabels.publishing import HubUpload

app = typer.Typer(
    no_args_is_help=True, help="Publish on the Hub in one commit, private by default; --dry-run previews it."
)

Repo = Annotated[str, typer.Argument(help="Repository on the Hub: user/name.")]
Public = Annotated[bool, typer.Option("--public", help="Create a public repository (default: private).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the files and their sizes; upload nothing.")]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite a repository with other contents.")]
KeepCard = Annotated[
    bool, typer.Option("--keep-card", help="Keep the README.md on the Hub; write the new card to annotation/README.md.")
]
License = Annotated[
    str | None, typer.Option("--license", help="License identifier, e.g. cc-by-4.0 or mit; or other, unknown.")
]
LicenseName = Annotated[str | None, typer.Option(help="Name of the license, if `other`.")]
LicenseLink = Annotated[str | None, typer.Option(help="URL of the license, if `other`.")]
LLMTerms = Annotated[str | None, typer.Option(help="Terms of the LLM provider for its outputs, in words; or unknown.")]
Summary = Annotated[str | None, typer.Option(help="One-sentence summary for the card.")]
Language = Annotated[list[str] | None, typer.Option(help="Language of the texts, e.g. en; may be repeated.")]


@app.command()
def dataset(
    data: Annotated[
        str, typer.Argument(help="Recipe, or annotated file or folder.", callback=existing("data", "recipes"))
    ],
    repo: Repo,
    license: License = None,
    license_name: LicenseName = None,
    license_link: LicenseLink = None,
    llm_terms: LLMTerms = None,
    summary: Summary = None,
    language: Language = None,
    human_rows: Annotated[str | None, typer.Option(help="How the human-labeled rows were sampled, in words.")] = None,
    human: HumanOption = None,
    llm: LLMOption = None,
    gate: GatesOption = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe of an annotated file.")] = None,
    public: Public = False,
    dry_run: DryRun = False,
    replace: Replace = False,
    keep_card: KeepCard = False,
    as_json: JsonOption = False,
) -> None:
    """Publish an annotated data set with its card, provenance and agreement with human labels.

    Example: hf-synthlabels push dataset tickets.yaml me/tickets --license cc-by-4.0 --llm-terms unknown --dry-run

    Example: hf-synthlabels push dataset news.yaml me/news --license mit --llm-terms unknown --gate 'tone: mae<=0.5'
    """
    from hf_synthlabels.publishing import AnnotatedData, dataset_upload
    from hf_synthlabels.statistics import Gate

    for text in gate or ():
        Gate.parse(text.rpartition(":")[2])
    card = _card(
        license=license,
        license_name=license_name,
        license_link=license_link,
        llm_terms=llm_terms,
        summary=summary,
        language=language,
    )
    annotated = AnnotatedData.open(data, recipe)
    with TemporaryDirectory() as folder:
        upload = dataset_upload(
            annotated, repo, Path(folder), card=card, human_rows=human_rows, human=human, llm=llm, gates=gate or ()
        )
        _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json, keep_card=keep_card)


@app.command()
def model(
    folder: Annotated[Path, typer.Argument(help="Folder of the saved student.", callback=existing("student"))],
    repo: Repo,
    license: License = None,
    license_name: LicenseName = None,
    license_link: LicenseLink = None,
    llm_terms: LLMTerms = None,
    summary: Summary = None,
    language: Language = None,
    base_model: Annotated[str | None, typer.Option(help="Base model, if not recorded in the folder.")] = None,
    base_revision: Annotated[str | None, typer.Option(help="Revision of the base model.")] = None,
    trained_on: Annotated[str | None, typer.Option(help="Hub ID of the training data set.")] = None,
    trained_on_revision: Annotated[str | None, typer.Option(help="Revision of the training data set.")] = None,
    label_source: Annotated[
        str | None, typer.Option(help="Label source: a label column, or a source of the study.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="JSON report of `hf-synthlabels validate` on the student's labels.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="report.json of the study that trained it.")] = None,
    widget: Annotated[list[str] | None, typer.Option(help="Example text for the model page; may be repeated.")] = None,
    public: Public = False,
    dry_run: DryRun = False,
    replace: Replace = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a student with its card and scores.

    Example: hf-synthlabels push model student me/tickets-student --license mit --llm-terms unknown --dry-run
    """
    from hf_synthlabels.publishing import model_upload
    from hf_synthlabels.statistics import ValidationReport
    from hf_synthlabels.studies import StudyReport

    card = _card(
        license=license,
        license_name=license_name,
        license_link=license_link,
        llm_terms=llm_terms,
        summary=summary,
        language=language,
        base_model=base_model,
        base_revision=base_revision,
        dataset=trained_on,
        dataset_revision=trained_on_revision,
        label_source=label_source,
        widget=widget,
    )
    upload = model_upload(
        folder,
        repo,
        card=card,
        validation=None if validation is None else load_report(validation, "validation", ValidationReport),
        study=None if study is None else load_report(study, "study", StudyReport),
    )
    _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json)


@app.command()
def metric(
    name: Annotated[str, typer.Argument(help="Packaged metric, or folder of another metric.")],
    repo: Repo,
    public: Public = False,
    dry_run: DryRun = False,
    replace: Replace = False,
    as_json: JsonOption = False,
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
    results: ResultsArgument,
    repo: Repo,
    license: License = None,
    public: Public = False,
    dry_run: DryRun = False,
    replace: Replace = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a report page as a static Space, with its data, tables and figures as files.

    Example: hf-synthlabels push report results/runs.json me/tickets-report --license cc-by-4.0 --dry-run
    """
    from hf_synthlabels.cards import check_license
    from hf_synthlabels.publishing import report_upload

    license = _require("license", license, "License of the report")
    check_license(license)
    upload = report_upload(load_report(results), repo, license=license)
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
    as_json: JsonOption = False,
) -> None:
    """Download one revision from the Hub, and verify every file.

    Example: hf-synthlabels pull me/tickets -o tickets
    """
    from hf_synthlabels.publishing import pull as fetch

    pulled = fetch(repo, output or Path(repo.rpartition("/")[2]), repo_type=kind, revision=revision)
    print(json.dumps({**asdict(pulled), "folder": str(pulled.folder)}, indent=1) if as_json else pulled)
    if pulled.kind in ("dataset", "model"):
        show_next(f"pull {pulled.kind}", data=pulled.folder, student=pulled.folder)


def _send(
    upload: HubUpload, *, public: bool, dry_run: bool, replace: bool, as_json: bool, keep_card: bool = False
) -> None:
    from hf_synthlabels.publishing import push

    if dry_run:
        card = next((file.data.decode() for file in upload.files if file.path == "README.md"), None)
        if as_json:
            files = {file.path: file.size for file in upload.with_manifest().files}
            content = {"repo": upload.repo, "repo_type": upload.repo_type, "files": files, "card": card}
            print(json.dumps(content, indent=1, ensure_ascii=False))
        else:
            print(upload.listing(private=not public))
            if card is not None:
                print(f"\nREADME.md:\n\n{card}")
            print("Nothing was uploaded.")
        show_next("push --dry-run", *(word for word in sys.argv[1:] if word != "--dry-run"))
        return
    result = push(upload, private=not public, replace=replace, keep_card=keep_card)
    print(json.dumps({**asdict(result), "url": result.url}, indent=1) if as_json else result)
    show_next("push", repo=upload.repo)
    if public and result.private:
        raise HubError(
            f"`{upload.repo}` already exists and is private. Change its visibility in its settings on the Hub."
        )


def _card(**options: Any) -> CardFields:
    from hf_synthlabels.cards import CardFields

    license = _require("license", options.pop("license"), "License (cc-by-4.0, mit, ..., other or unknown)")
    terms = _require("llm-terms", options.pop("llm_terms"), "Terms of the LLM provider for its outputs (or unknown)")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items() if value
    }
    return CardFields(license=license, llm_terms=terms, **values)


def _require(option: str, value: str | None, question: str) -> str:
    """Return the value of a required option, or prompt for it on a terminal."""
    if value is not None:
        return value
    if sys.stdin.isatty():
        return str(typer.prompt(question))
    raise ConfigError(f"`--{option}` is required: give a value, or 'unknown' if you do not know it.")
