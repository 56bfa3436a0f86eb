"""Publisher input for cards: licenses, summary, and links that no program can know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from hf_synthlabels.cards.licenses import check_license
from hf_synthlabels.errors import ConfigError

LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*|code|multilingual")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFields:
    """Publisher input for the card of a data set or a model; the `card` key of a student file.

    Raises:
        ConfigError: a license or language is unknown, or a field has another type.
    """

    license: str
    """License of the rows or the model, such as `apache-2.0`, or `other` or `unknown`."""
    llm_terms: str
    """What the annotator's terms of use permit for its answers, or `unknown`."""
    license_name: str | None = None
    """Name of an `other` license."""
    license_link: str | None = None
    """URL of an `other` license."""
    summary: str | None = None
    """One-sentence summary."""
    language: tuple[str, ...] = ()
    """ISO 639 codes of the texts' languages, such as `en`."""
    base_model: str | None = None
    """Hub ID of a model's base, if `student.model` is a folder."""
    base_revision: str | None = None
    dataset: str | None = None
    """Hub ID of a model's training data set."""
    dataset_revision: str | None = None
    label_source: str | None = None
    """Label source of a model: a label column (default: the one it learned), or `human`, `llm` or `validation`."""
    widget: tuple[str, ...] = ()
    """Example texts for a model's widget."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            items = value if isinstance(value, tuple) else (value,)
            is_list = str(field.type).startswith("tuple")
            if isinstance(value, tuple) != is_list or not all(isinstance(item, str | None) for item in items):
                kind = "a list of texts" if is_list else "a text"
                raise ConfigError(f"`{field.name}` is {value!r}, but must be {kind}.")
        check_license(self.license, self.license_name)
        if not self.llm_terms.strip():
            raise ConfigError(
                "`llm_terms` must not be empty: state what the annotator's terms permit for its answers, or 'unknown'."
            )
        if wrong := [name for name in self.language if not LANGUAGE.fullmatch(name)]:
            raise ConfigError(f"`language` must be an ISO 639 code, such as en, got {wrong[0]!r}.")

    @classmethod
    def from_dict(cls, content: Any, where: str) -> Self:
        """Read the value of `card`.

        Args:
            content: value of the key; None if it is missing.
            where: name of the source in error messages.

        Raises:
            ConfigError: a required key is missing, a key is unknown, or a value is invalid.
        """
        if not isinstance(content, Mapping) or not {"license", "llm_terms"} <= content.keys():
            raise ConfigError(
                f"{where}: `card` must have `license` and `llm_terms` to publish a model, for instance "
                "`card: {license: apache-2.0, llm_terms: unknown}`."
            )
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in content if name not in known]:
            raise ConfigError(f"{where}, card: `{unknown[0]}` is not a key. Valid keys: {', '.join(known)}.")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{where}, card: {error}") from None
