"""StudentPublisher: publish a finished student once; the Hub is checked before training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from huggingface_hub import get_token

from hf_synthlabels.cards import CardFields
from hf_synthlabels.clients.local.model_files import model_path
from hf_synthlabels.errors import ConfigError, HubError
from hf_synthlabels.publishing.hub.commit import PushResult, checked_repo, hub_api
from hf_synthlabels.publishing.hub.hub_errors import NO_TOKEN, translate_errors
from hf_synthlabels.publishing.hub.model import push_student

if TYPE_CHECKING:
    from hf_synthlabels.training import Student, StudentConfig


@dataclass(slots=True)
class StudentPublisher:
    """Publishes a finished student; the argument `publish` of `train_student`.

    One commit contains the final weights (with `load_best_model_at_end`, those of the best evaluation), tokenizer,
    card and scores. Checkpoints are not published.
    """

    repo: str
    """`user/name`."""
    card: CardFields
    folder: Path
    """Folder of the saved student."""
    private: bool = True
    """Whether a new repository is visible to its owner only."""
    records: tuple[dict[str, Any], ...] = ()
    """Provenance records of the training rows."""
    result: PushResult | None = None
    """Result of the push; None before it, and in other processes than the first."""

    @classmethod
    def of(cls, config: StudentConfig, card: CardFields, records: list[dict[str, Any]] | None = None) -> Self:
        """Create the publisher of a configuration, after checking that the token may write.

        `hub_model_id` is `user/name`, or a name to which the owner of the token is added; the default is the last
        part of `output_dir`. `hub_private_repo: false` creates a public repository.

        Args:
            config: configuration of the student.
            card: publisher input.
            records: provenance records of the training rows.

        Raises:
            HubError: the token is missing or may not write, or the Hub cannot be reached.
            ConfigError: the repository name is invalid, or the base model of an adapter is a local folder.
        """
        is_local = config.model is not None and Path(model_path(config.model)).is_dir()
        if config.lora_r and config.save == "adapter" and card.base_model is None and is_local:
            raise ConfigError(
                f"`card.base_model` is missing: the student is an adapter of {Path(str(config.model)).name!r}, a "
                "local folder that others cannot load. Give its name on the Hub, or set `save: merged`."
            )
        folder = Path(config.output_dir or "student")
        name = config.hub_model_id or folder.absolute().name
        if config.process_index == 0:
            name = _writable_repo(name)
        return cls(name, card, folder, config.hub_private_repo is not False, tuple(records or ()))

    def __call__(self, student: Student) -> PushResult | None:
        """Save the student and publish it.

        Raises:
            HubError: the student was saved but not published; the message has the command that publishes it.
        """
        try:
            self.result = push_student(
                student,
                self.repo,
                card=self.card,
                folder=self.folder,
                records=list(self.records),
                private=self.private,
            )
        except HubError as error:
            raise HubError(
                f"{error} The student is saved: `hf-synthlabels push model {self.folder} {self.repo}` publishes it."
            ) from None
        return self.result


def _writable_repo(name: str) -> str:
    """Complete a repository name with its owner, and check that the token may write.

    Raises:
        HubError: the token is missing or may only read, or the Hub cannot be reached.
        ConfigError: the repository name is invalid.
    """
    if get_token() is None:
        raise HubError(f"`{name}` cannot be published: {NO_TOKEN}")
    if "/" in name:
        checked_repo(name)
    with translate_errors(name, "cannot be published"):
        user = hub_api().whoami()
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(f"`{name}` cannot be published: the token may only read. Use a token with write permission.")
    return checked_repo(name if "/" in name else f"{user['name']}/{name}")
