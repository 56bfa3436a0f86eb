"""`push_to_hub: true`: a student that is published once, when it is finished, and looked after before it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from huggingface_hub import get_token

from hf_synthlabels.cards import CardFields
from hf_synthlabels.clients.local.model_files import model_path
from hf_synthlabels.errors import ConfigError, HubError
from hf_synthlabels.publishing.hub.commit import PushResult, checked_repo, hub_api
from hf_synthlabels.publishing.hub.hub_errors import NO_TOKEN, told
from hf_synthlabels.publishing.hub.model import ModelCardFields, push_student

if TYPE_CHECKING:
    from hf_synthlabels.training import Student, StudentConfig, StudentFile


@dataclass(slots=True)
class StudentPublisher:
    """Publishes a finished student; what `train_student` takes as `publish`.

    One commit has all of it: the weights that the student ended with (with `load_best_model_at_end` those of the best
    evaluation), tokenizer, card and scores. Checkpoints are not published.
    """

    repo: str
    """`user/name`."""
    words: ModelCardFields
    folder: Path
    """Where the student is saved."""
    private: bool = True
    """Whether a repository that is made now is seen by its owner only."""
    records: tuple[dict[str, Any], ...] = ()
    """The provenance of the training rows."""
    pushed: PushResult | None = None
    """Result of the push; None before it, and in other processes than the first."""

    @classmethod
    def of(cls, config: StudentConfig, words: CardFields, records: list[dict[str, Any]] | None = None) -> Self:
        """The publisher of a configuration; asks the Hub whether the token may write, so that hours are not lost.

        `hub_model_id` is `user/name`, or a name, to which the token's owner is added; without it the name is that of
        the last part of `output_dir`. `hub_private_repo: false` makes a new repository that everybody sees.

        Args:
            config: of the student.
            words: what only the publisher can say.
            records: the provenance of the training rows.

        Raises:
            HubError: there is no token, it may not write, or the Hub cannot be reached.
            ConfigError: the repository name is invalid, or the base model of an adapter is a local folder.
        """
        if config.lora_r and config.save == "adapter" and words.base_model is None and _of_this_machine(config.model):
            raise ConfigError(
                f"`card.base_model` is missing: the student is an adapter of {Path(str(config.model)).name!r}, a "
                "local folder that others cannot load. Give its name on the Hub, or set `save: merged`."
            )
        folder = Path(config.output_dir or "student")
        name = config.hub_model_id or folder.absolute().name
        if config.process_index == 0:
            name = _own(name)
        return cls(name, _words(words), folder, config.hub_private_repo is not False, tuple(records or ()))

    @classmethod
    def of_file(cls, file: StudentFile, records: list[dict[str, Any]]) -> Self | None:
        """The publisher of a student's file; None where it does not say `push_to_hub`.

        Raises:
            HubError: as in `of`.
            ConfigError: as in `of`.
        """
        if not file.student.push_to_hub or file.card is None:
            return None
        return cls.of(file.student, file.card, records)

    def __call__(self, student: Student) -> PushResult | None:
        """Save the student and publish it.

        Raises:
            HubError: the student is saved, and was not published; the message says how to do it later.
        """
        try:
            self.pushed = push_student(
                student,
                self.repo,
                words=self.words,
                folder=self.folder,
                records=list(self.records),
                private=self.private,
            )
        except HubError as error:
            raise HubError(
                f"{error} The student is saved: `hf-synthlabels push model {self.folder} {self.repo}` publishes it."
            ) from None
        return self.pushed


def _of_this_machine(model: str | None) -> bool:
    return model is not None and Path(model_path(model)).is_dir()


def _own(name: str) -> str:
    """The name with its owner, if the token may write.

    Raises:
        HubError: there is no token, it may only read, or the Hub cannot be reached.
        ConfigError: the name is not a repository name.
    """
    if get_token() is None:
        raise HubError(f"`{name}` cannot be published: {NO_TOKEN}")
    if "/" in name:
        checked_repo(name)
    with told(name, "cannot be published"):
        user = hub_api().whoami()
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise HubError(f"`{name}` cannot be published: the token may only read. Take one that may write.")
    return checked_repo(name if "/" in name else f"{user['name']}/{name}")


def _words(card: CardFields) -> ModelCardFields:
    return ModelCardFields(
        licenses=card.licenses,
        summary=card.summary,
        base_model=card.base_model,
        base_revision=card.base_revision,
        dataset=card.dataset,
        dataset_revision=card.dataset_revision,
        language=tuple(card.language),
        widget=tuple(card.widget),
        label_source=card.label_source,
    )
