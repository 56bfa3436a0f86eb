"""Students on the Hub: the files of the model, a card and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hf_synthlabels.cards import CardFields, ModelFacts, eval_results, model_card, published_record
from hf_synthlabels.clients.local.model_files import HUB_ENCODER, PACKAGED_ENCODER
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.hub.commit import PushResult, checked_repo, push
from hf_synthlabels.publishing.hub.upload import HubFile, HubUpload
from hf_synthlabels.statistics import ValidationReport

if TYPE_CHECKING:
    from hf_synthlabels.studies import StudyReport
    from hf_synthlabels.training import Student

UNPUBLISHED = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
"""Files that only training needs; the first contains local paths."""

ADAPTER = "adapter_config.json"
WEIGHTS = (".safetensors", ".bin", ".pt")

OPTIONS = ("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "max_length", "seed")


def model_upload(
    folder: Path,
    repo: str,
    *,
    card: CardFields,
    validation: ValidationReport | None = None,
    study: StudyReport | None = None,
) -> HubUpload:
    """Collect the files of a student: every file of its folder, a card and scores.

    Args:
        folder: folder written by `Student.save` or `save_pretrained`.
        repo: `user/name`.
        card: publisher input.
        validation: the student's labels against human labels, on held-out rows.
        study: study that trained the student; the card shows its students of the same base model.

    Raises:
        DataError: the folder contains no model.
        ConfigError: the repository name is invalid.
    """
    checked_repo(repo)
    config, adapter = _configs(folder)
    facts = _facts(folder, repo, config, adapter, card, validation, study)
    files = [HubFile("README.md", model_card(facts).encode())]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith((".", "checkpoint-")) for part in Path(name).parts)
        if path.is_file() and not hidden and path.name not in (*UNPUBLISHED, "README.md", "hf_synthlabels.json"):
            files.append(_model_file(name, path, adapter, card.base_model))
    if entries := eval_results(facts):
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        files.append(HubFile(".eval_results/hf_synthlabels.yaml", text.encode()))
    if validation is not None:
        files.append(HubFile("validation.json", (validation.to_json() + "\n").encode()))
    return HubUpload(repo, "model", tuple(files))


def _facts(
    folder: Path,
    repo: str,
    config: Mapping[str, Any],
    adapter: Mapping[str, Any],
    card: CardFields,
    validation: ValidationReport | None,
    study: StudyReport | None,
) -> ModelFacts:
    """Facts for the card, from student.json and else from the configuration."""
    known = _read(folder / "student.json")
    kind = known.get("task") or _kind({**adapter, **config}, folder)
    is_pair = kind == "text-classification" and len(known.get("text_columns") or ()) == 2
    names = _names(config)
    if kind != "token-classification" or not names:
        # The outputs of a tagger are its tags, not the classes of entities.
        names = tuple(known.get("names", names))
    return ModelFacts(
        repo=repo,
        names=names,
        card=replace(
            card,
            base_model=card.base_model
            or known.get("base_model")
            or _public_name(adapter.get("base_model_name_or_path")),
            base_revision=card.base_revision or known.get("base_revision"),
            label_source=card.label_source or known.get("label_source"),
        ),
        options=known.get("options"),
        metrics=known.get("metrics"),
        records=tuple(known.get("records", ())),
        validation=validation,
        study=None if study is None else study.of_model(str(known.get("options", {}).get("model"))),
        kind="text-pair" if is_pair else kind,
        scale=tuple(known.get("scale") or ()),
        evaluation=tuple(known.get("evaluation") or ()),
        adapter=bool(adapter),
        heads=known.get("heads"),
    )


def save_student_facts(student: Student, folder: Path, records: list[dict[str, Any]]) -> Path:
    """Write the facts for the card into the student.json of a saved student.

    Args:
        student: trained student.
        folder: folder of the saved student.
        records: provenance records of the training rows.
    """
    from hf_synthlabels.training import update_student

    config = student.config
    return update_student(
        folder,
        base_model=_public_name(config.model),
        label_source=config.label_column if config.heads is None else None,
        options={key: getattr(config, key) for key in OPTIONS},
        records=[published_record(record) for record in records if record.get("column") in config.label_columns],
    )


def push_student(
    student: Student,
    repo: str,
    *,
    card: CardFields,
    folder: Path,
    records: list[dict[str, Any]] | None = None,
    validation: ValidationReport | None = None,
    private: bool = True,
    replace: bool = False,
) -> PushResult | None:
    """Save a student and publish it; every process must call it, and all but the first get None.

    Args:
        student: trained student.
        repo: `user/name`.
        card: publisher input.
        folder: folder for the student.
        records: provenance records of the training rows.
        validation: the student's labels against human labels.
        private: whether a new repository is visible to its owner only.
        replace: whether to write into a repository that this package did not fill.

    Raises:
        HubError: as in `push`; the student is saved nevertheless.
    """
    # Gathers sharded weights from all processes.
    student.save(folder)
    if not student.trainer.is_world_process_zero():
        return None
    save_student_facts(student, folder, records or [])
    upload = model_upload(folder, repo, card=card, validation=validation)
    return push(upload, private=private, replace=replace)


def _configs(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Configurations of the model and of its adapter; the missing one is empty.

    Raises:
        DataError: both are missing, or there are no weights.
    """
    where = f"`model` {str(folder)!r}"
    if not folder.is_dir():
        raise DataError(f"{where} is not a folder. Give the folder of the saved student.")
    weights = [path for path in folder.iterdir() if path.suffix in WEIGHTS and path.name not in UNPUBLISHED]
    config, adapter = (_read(folder / name) for name in ("config.json", ADAPTER))
    if (not config and not adapter) or not weights:
        missing = "weights (.safetensors)" if config or adapter else "config.json"
        raise DataError(f"{where} has no {missing}. Give the folder of the saved student.")
    return config, adapter


def _read(file: Path) -> dict[str, Any]:
    """Read a JSON file; empty if it does not exist.

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


def _model_file(name: str, path: Path, adapter: Mapping[str, Any], base: str | None) -> HubFile:
    """A file of the model; the configuration of an adapter names its base model on the Hub.

    Raises:
        DataError: the base model is a local folder, and its name on the Hub is missing.
    """
    recorded = adapter.get("base_model_name_or_path")
    if name != ADAPTER or not isinstance(recorded, str):
        return HubFile(name, path)
    if base is None:
        if Path(recorded).is_dir():
            raise DataError(
                f"`model` {str(path.parent)!r} is an adapter of a local folder, {Path(recorded).name!r}, which "
                "others cannot load. Give its name on the Hub with `--base-model`, or save the student merged."
            )
        return HubFile(name, path)
    text = json.dumps({**adapter, "base_model_name_or_path": base}, indent=2, sort_keys=True) + "\n"
    return HubFile(name, text.encode())


def _public_name(model: str | None) -> str | None:
    """Name of a model on the Hub, or the last part of a local path."""
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
"""Label kind by suffix of the architecture, or by task type of peft."""


def _kind(config: Mapping[str, Any], folder: Path) -> str:
    """Label kind of a model without student.json.

    Raises:
        DataError: the configuration does not determine it.
    """
    named = [*(config.get("architectures") or ()), config.get("task_type") or ""]
    for ending, kind in HEADS.items():
        if any(name.endswith(ending) for name in named):
            return kind
    problem, steps = config.get("problem_type"), all(name.startswith(">=") for name in _names(config))
    if problem == "regression":
        return "text-scale"
    if problem == "multi_label_classification":
        # Outputs of an ordinal scale: whether each step is reached.
        return "text-scale" if steps and _names(config) else "multi-label"
    if any(name.endswith("ForSequenceClassification") for name in named) or config.get("task_type") == "SEQ_CLS":
        return "text-classification"
    raise DataError(
        f"`model` {str(folder)!r} has no student.json, and its config.json does not determine its kind of label. "
        "Save it with Student.save."
    )
