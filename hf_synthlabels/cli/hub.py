"""The command line of the Hub: `hf-synthlabels push ...` and `hf-synthlabels pull ...`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_synthlabels.errors import ConfigError, DataError, HubError

if TYPE_CHECKING:
    from hf_synthlabels.annotation import Recipe
    from hf_synthlabels.cards import Licenses
    from hf_synthlabels.publishing import HubUpload
    from hf_synthlabels.tables import ReadOptions

app = typer.Typer(
    no_args_is_help=True, help="Publish on the Hub: one commit, private unless you say otherwise; --dry-run shows it."
)

Repo = Annotated[str, typer.Argument(help="user/name on the Hub.")]
Public = Annotated[bool, typer.Option("--public", help="Make a new repository that everybody sees.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show each file with its size; send nothing.")]
Replace = Annotated[bool, typer.Option("--replace", help="Write into a repository that holds something else.")]
KeepCard = Annotated[
    bool, typer.Option("--keep-card", help="Keep the README.md on the Hub; the new card goes to annotation/README.md.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
License = Annotated[str | None, typer.Option("--license", help="Licence: cc-by-4.0, mit, ..., other or unknown.")]
LicenseName = Annotated[str | None, typer.Option(help="The name of a license that is `other`.")]
LicenseLink = Annotated[str | None, typer.Option(help="Where a license that is `other` stands.")]
Outputs = Annotated[
    str | None,
    typer.Option("--llm-terms", help="What the annotator's terms say of its answers, in words; or unknown."),
]
Summary = Annotated[str | None, typer.Option(help="What it is, in a sentence for the card.")]
Language = Annotated[list[str] | None, typer.Option(help="Language of the texts, such as en; may be repeated.")]


@app.command()
def dataset(
    data: Annotated[str, typer.Argument(help="A recipe, or an annotated file or folder.")],
    repo: Repo,
    license: License = None,
    license_name: LicenseName = None,
    license_link: LicenseLink = None,
    llm_terms: Outputs = None,
    summary: Summary = None,
    language: Language = None,
    human_rows: Annotated[str | None, typer.Option(help="How the human-labelled rows were drawn, in words.")] = None,
    human: Annotated[str | None, typer.Option(help="Column with human labels; the recipe's.")] = None,
    llm: Annotated[str | None, typer.Option(help="Column with LLM labels; the recipe's.")] = None,
    gate: Annotated[str | None, typer.Option(help="A score that was to be reached: 'macro_f1>=0.7'.")] = None,
    recipe: Annotated[str | None, typer.Option(help="The recipe of a file that was annotated before.")] = None,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    keep_card: KeepCard = False,
    as_json: AsJson = False,
) -> None:
    """Publish an annotated data set with its card, its records and how far people agree with it.

    Example: hf-synthlabels push dataset tickets.yaml me/tickets --license cc-by-4.0 --llm-terms unknown --dry-run
    """
    from hf_synthlabels.publishing import DatasetCardFields, dataset_upload
    from hf_synthlabels.statistics import Gate

    wanted = Gate.parse(gate) if gate else None
    words = DatasetCardFields(
        licenses=_licences(license, license_name, license_link, llm_terms),
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
            words=words,
            recipe=own,
            recipe_text=text,
            records=records,
            human=human,
            llm=llm,
            gate=wanted,
        )
        _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json, keep_card=keep_card)


@app.command()
def model(
    folder: Annotated[Path, typer.Argument(help="The folder where the student was saved.")],
    repo: Repo,
    license: License = None,
    license_name: LicenseName = None,
    license_link: LicenseLink = None,
    llm_terms: Outputs = None,
    summary: Summary = None,
    language: Language = None,
    base_model: Annotated[
        str | None, typer.Option(help="What it was trained from, if its folder does not say.")
    ] = None,
    base_revision: Annotated[str | None, typer.Option(help="The revision of that.")] = None,
    trained_on: Annotated[str | None, typer.Option(help="The Hub id of the data set of its training rows.")] = None,
    trained_on_revision: Annotated[str | None, typer.Option(help="The revision of that.")] = None,
    label_source: Annotated[
        str | None, typer.Option(help="Whose labels it learned: a label column, or human, llm, validation of a study.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="The report of `hf-synthlabels validate` of its own labels, as JSON.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="The report.json of the study that it comes from.")] = None,
    widget: Annotated[list[str] | None, typer.Option(help="A text to try on its page; may be repeated.")] = None,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Publish a student with its card and its scores.

    Example: hf-synthlabels push model student me/tickets-student --license mit --llm-terms unknown --dry-run
    """
    from hf_synthlabels.publishing import ModelCardFields, model_upload

    words = ModelCardFields(
        licenses=_licences(license, license_name, license_link, llm_terms),
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
        words=words,
        validation=None if validation is None else _validation(validation),
        study=None if study is None else _study(study),
    )
    _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json)


@app.command()
def metric(
    name: Annotated[str, typer.Argument(help="A metric of this package, or the folder of another one.")],
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
    results: Annotated[Path, typer.Argument(help="The JSON of a study, a validation, a grid, an audit, or page.json.")],
    repo: Repo,
    license: License = None,
    public: Public = False,
    dry_run: DryRunOption = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Publish the page of any report as a static Space, with its numbers and every table and figure as files.

    Example: hf-synthlabels push report results/report.json me/tickets-report --license cc-by-4.0 --dry-run
    """
    from hf_synthlabels.cards import Licenses
    from hf_synthlabels.cli.report import load_report
    from hf_synthlabels.publishing import report_upload

    said = Licenses(_asked("license", license, "Licence of the report"), "unknown")
    upload = report_upload(load_report(results), repo, license=said.license)
    _send(upload, public=public, dry_run=dry_run, replace=replace, as_json=as_json)


def pull(
    repo: Repo,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The folder; the name's last part.")] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="dataset, model or space, where there are several.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A commit, a branch or a tag; the newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch from the Hub what was pushed, all from one revision, and check every file.

    Example: hf-synthlabels pull me/tickets -o tickets
    """
    from hf_synthlabels.publishing import pull as fetch

    found = fetch(repo, output or Path(repo.rpartition("/")[2]), repo_type=kind, revision=revision)
    print(json.dumps({**asdict(found), "folder": str(found.folder)}, indent=1) if as_json else found)


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
            print("Nothing was sent.")
        return
    done = push(upload, private=not public, replace=replace, keep_card=keep_card)
    print(json.dumps({**asdict(done), "url": done.url}, indent=1) if as_json else done)
    if public and done.private:
        raise HubError(f"`{upload.repo}` is private, as it was before. Open it in its settings on the Hub.")


def _licences(license: str | None, name: str | None, link: str | None, outputs: str | None) -> Licenses:
    from hf_synthlabels.cards import Licenses

    return Licenses(
        _asked("license", license, "Licence (cc-by-4.0, mit, ..., other or unknown)"),
        _asked("llm-terms", outputs, "What do the annotator's terms say of its answers? (or unknown)"),
        name,
        link,
    )


def _asked(option: str, value: str | None, question: str) -> str:
    """What was given, or what a person at the terminal says: nothing is guessed."""
    if value is not None:
        return value
    if sys.stdin.isatty():
        return str(typer.prompt(question))
    raise ConfigError(f"`--{option}` is not given. Say it, or 'unknown': it is not guessed.")


def _annotated(
    data: str, recipe: str | None
) -> tuple[dict[str, Any], Recipe | None, str | None, dict[str, list[dict[str, Any]]] | None]:
    """The splits of a recipe or of a file, the recipe with its text, and the records that lie beside a file."""
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
    """Labels and texts stay as they are written, unless the labels are of a scale."""
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
        raise DataError(f"`validation` {str(path)!r} is no report of `hf-synthlabels validate -o`: {error}.") from None


def _study(path: Path) -> Any:
    from hf_synthlabels.studies import StudyReport

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"`study` {str(path)!r} can not be read: {error}. Give the report.json of a study.") from None
    return StudyReport.from_json(text)
