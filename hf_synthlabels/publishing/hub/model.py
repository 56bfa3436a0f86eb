"""A student as it lies on the Hub: the model's files, a card, its scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hf_synthlabels.cards import Licenses, ModelFacts, StudyResult, eval_results, model_card, published_record
from hf_synthlabels.clients.local.model_files import HUB_ENCODER, PACKAGED_ENCODER
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.hub.commit import HubFile, HubUpload, PushResult, checked_repo, push
from hf_synthlabels.statistics import ValidationReport

if TYPE_CHECKING:
    from hf_synthlabels.training import Student

UNPUBLISHED = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
"""What is of use to the one who trains only; the first holds paths of that machine."""

ADAPTER = "adapter_config.json"
WEIGHTS = (".safetensors", ".bin", ".pt")

TOLD = ("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "max_length", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCardFields:
    """What only the publisher can say of a model."""

    licenses: Licenses
    summary: str | None = None
    base_model: str | None = None
    base_revision: str | None = None
    dataset: str | None = None
    """The Hub id of the data set of its training rows."""
    dataset_revision: str | None = None
    language: tuple[str, ...] = ()
    widget: tuple[str, ...] = ()
    """Texts to try."""
    label_source: str | None = None
    """Whose labels it learned: a label column, or `human`, `llm`, `validation` of a study."""


def model_upload(
    folder: Path,
    repo: str,
    *,
    words: ModelCardFields,
    validation: ValidationReport | None = None,
    study: StudyResult | None = None,
) -> HubUpload:
    """All that is published of a student: every file of its folder, a card, its scores.

    Args:
        folder: where `Student.save` wrote it, or `save_pretrained`; with its `student.json`, if there is one.
        repo: `user/name`.
        words: what only the publisher can say.
        validation: its labels against human ones, on rows that it was not trained on.
        study: that it comes from.

    Raises:
        DataError: there is no model in the folder.
        ConfigError: the repository name or a card field is invalid.
    """
    checked_repo(repo)
    config, adapter = _configs(folder)
    known = _read(folder / "student.json")
    kind = known.get("task") or _kind({**adapter, **config}, folder)
    columns = known.get("text_columns") or ()
    # The outputs of a tagger are its tags, not the kinds of entities.
    tags = () if kind != "token-classification" else _names(config)
    names = tags or (tuple(known["names"]) if "names" in known else _names(config))
    facts = ModelFacts(
        repo=repo,
        names=names,
        licenses=words.licenses,
        base_model=words.base_model or known.get("base_model") or _portable(adapter.get("base_model_name_or_path")),
        base_revision=words.base_revision or known.get("base_revision"),
        label_source=words.label_source or known.get("label_source"),
        options=known.get("options"),
        metrics=known.get("metrics"),
        records=tuple(known.get("records", ())),
        validation=validation,
        study=study,
        dataset=words.dataset,
        dataset_revision=words.dataset_revision,
        energy_kwh=known.get("energy_kwh"),
        widget=words.widget,
        summary=words.summary,
        language=words.language,
        kind="text-pair" if kind == "text-classification" and len(columns) == 2 else kind,
        pair=len(columns) == 2,
        scale=tuple(known.get("scale") or ()),
        evaluation=tuple(known.get("evaluation") or ()),
        adapter=bool(adapter),
    )
    files = [HubFile("README.md", model_card(facts).encode())]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith((".", "checkpoint-")) for part in Path(name).parts)
        if path.is_file() and not hidden and path.name not in (*UNPUBLISHED, "README.md", "hf_synthlabels.json"):
            files.append(_published(name, path, adapter, words.base_model))
    if entries := eval_results(facts):
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        files.append(HubFile(".eval_results/hf_synthlabels.yaml", text.encode()))
    if validation is not None:
        files.append(HubFile("validation.json", (validation.to_json() + "\n").encode()))
    return HubUpload(repo, "model", tuple(files))


def save_student_facts(student: Student, folder: Path, records: list[dict[str, Any]]) -> Path:
    """Write the facts for the card into a student's folder.

    Args:
        student: as it came from training.
        folder: where it was saved.
        records: the provenance of its training rows.
    """
    from hf_synthlabels.training import update_student

    config = student.config
    return update_student(
        folder,
        base_model=_portable(config.model),
        label_source=config.label_column,
        options={key: getattr(config, key) for key in TOLD},
        records=[published_record(record) for record in records if record.get("column") == config.label_column],
    )


def push_student(
    student: Student,
    repo: str,
    *,
    words: ModelCardFields,
    folder: Path,
    records: list[dict[str, Any]] | None = None,
    validation: ValidationReport | None = None,
    private: bool = True,
    replace: bool = False,
) -> PushResult | None:
    """Save a student and publish it; every process must call it, the first one publishes, the others get None.

    Args:
        student: as it came from training.
        repo: `user/name`.
        words: what only the publisher can say.
        folder: where it is saved.
        records: the provenance of its training rows.
        validation: its labels against human ones.
        private: whether a repository that is made now is seen by its owner only.
        replace: whether to write into a repository that this package did not fill.

    Raises:
        HubError: as `push` says; the student is saved all the same.
    """
    # Weights that are shared out are gathered from all processes.
    student.save(folder)
    if not student.trainer.is_world_process_zero():
        return None
    save_student_facts(student, folder, records or [])
    upload = model_upload(folder, repo, words=words, validation=validation)
    return push(upload, private=private, replace=replace)


def _configs(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The configuration of the model, and that of the adapters that it is, if it is.

    Raises:
        DataError: both are missing, or there are no weights.
    """
    where = f"`model` {str(folder)!r}"
    if not folder.is_dir():
        raise DataError(f"{where} is no folder. Give the one where the student was saved.")
    weights = [path for path in folder.iterdir() if path.suffix in WEIGHTS and path.name not in UNPUBLISHED]
    config, adapter = (_read(folder / name) for name in ("config.json", ADAPTER))
    if (not config and not adapter) or not weights:
        missing = "weights (.safetensors)" if config or adapter else "config.json"
        raise DataError(f"{where} has no {missing}. Give the folder where the student was saved.")
    return config, adapter


def _read(file: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is no file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, TypeError, ValueError) as error:
        raise DataError(
            f"`model` {str(file.parent)!r} has a {file.name} that cannot be read: {error}. Save the student again."
        ) from None


def _published(name: str, path: Path, adapter: Mapping[str, Any], base: str | None) -> HubFile:
    """Build one file of the model; an adapter's configuration names a base model on the Hub.

    Raises:
        DataError: the base model is a local folder, and its name on the Hub is missing.
    """
    known = adapter.get("base_model_name_or_path")
    if name != ADAPTER or not isinstance(known, str):
        return HubFile(name, path)
    if base is None:
        if Path(known).is_dir():
            raise DataError(
                f"`model` {str(path.parent)!r} is an adapter of a local folder, {Path(known).name!r}, which "
                "others cannot load. Give its name on the Hub with `--base-model`, or save the student merged."
            )
        return HubFile(name, path)
    text = json.dumps({**adapter, "base_model_name_or_path": base}, indent=2, sort_keys=True) + "\n"
    return HubFile(name, text.encode())


def _portable(model: str | None) -> str | None:
    """A model's name on the Hub; of a folder of this machine its last part."""
    if model == PACKAGED_ENCODER:
        return HUB_ENCODER
    return model if model is None or not Path(model).is_dir() else Path(model).name


def _names(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    return tuple(str(names[code]) for code in sorted(names, key=int))


HEADS = {
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForQuestionAnsweringSimple": "question-answering",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "TOKEN_CLS": "token-classification",
    "QUESTION_ANS": "question-answering",
    "CAUSAL_LM": "text-generation",
}
"""The ends of architectures, and peft's names of tasks, that have one kind of label."""


def _kind(config: Mapping[str, Any], folder: Path) -> str:
    """The kind of label of a model without a student.json, where its configuration leaves no doubt.

    Raises:
        DataError: it does.
    """
    named = [*(config.get("architectures") or ()), config.get("task_type") or ""]
    for ending, kind in HEADS.items():
        if any(name.endswith(ending) for name in named):
            return kind
    problem, steps = config.get("problem_type"), all(name.startswith(">=") for name in _names(config))
    if problem == "regression":
        return "text-scale"
    if problem == "multi_label_classification":
        # An ordinal scale asks whether each step is reached.
        return "text-scale" if steps and _names(config) else "multi-label"
    if any(name.endswith("ForSequenceClassification") for name in named) or config.get("task_type") == "SEQ_CLS":
        return "text-classification"
    raise DataError(
        f"`model` {str(folder)!r} has no student.json, and its config.json does not say what kind of label it gives. "
        "Save it with Student.save."
    )
