"""The `card` key of a student file: publisher input, checked before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hf_synthlabels.annotation.recipe.strict_yaml import validated
from hf_synthlabels.cards.licenses import Licenses
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError


class CardFields(StrictModel):
    """Publisher input for a model card."""

    license: str
    """License of the model, such as `apache-2.0`, or `other` or `unknown`."""
    llm_terms: str
    """What the annotator's terms of use permit for its answers, or `unknown`."""
    license_name: str | None = None
    """Name of an `other` license."""
    license_link: str | None = None
    """URL of an `other` license."""
    summary: str | None = None
    """One-sentence summary."""
    language: list[str] = Field(default_factory=list)
    """ISO 639 codes of the texts' languages, such as `en`."""
    base_model: str | None = None
    """Hub ID of the base model, if `student.model` is a folder."""
    base_revision: str | None = None
    dataset: str | None = None
    """Hub ID of the training dataset."""
    dataset_revision: str | None = None
    label_source: str | None = None
    """Label source; defaults to the label column."""
    widget: list[str] = Field(default_factory=list)
    """Example texts for the widget."""

    @classmethod
    def from_dict(cls, content: Any, where: str) -> CardFields:
        """Validate the value of `card`.

        Args:
            content: Value of the key; None if it is missing.
            where: Name of the source in error messages.

        Raises:
            ConfigError: A license is missing or unknown, or a key is invalid.
        """
        if not isinstance(content, Mapping) or not {"license", "llm_terms"} <= content.keys():
            raise ConfigError(
                f"{where}: `card` must have `license` and `llm_terms` to publish a model, for instance "
                "`card: {license: apache-2.0, llm_terms: unknown}`."
            )
        fields = validated(cls, content, f"{where}, card", ConfigError)
        fields.licenses  # noqa: B018 - reports an unknown license before hours of training
        return fields

    @property
    def licenses(self) -> Licenses:
        """The licenses of the card.

        Raises:
            ConfigError: The Hub does not know the license.
        """
        return Licenses(self.license, self.llm_terms, self.license_name, self.license_link)
