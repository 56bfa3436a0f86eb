"""The key `card` of a student's file: what only the publisher can say, said before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hf_synthlabels.annotation import StrictModel, validated
from hf_synthlabels.cards.licenses import Licenses
from hf_synthlabels.errors import ConfigError


class CardFields(StrictModel):
    """The words of a model's card that nobody can guess."""

    license: str
    """Of the model: one of the Hub's identifiers, such as `apache-2.0`, or `other` or `unknown`."""
    llm_terms: str
    """What the annotator's terms say of its answers, in words; or `unknown`."""
    license_name: str | None = None
    """Of a license that is `other`."""
    license_link: str | None = None
    """Where the text of a license that is `other` stands."""
    summary: str | None = None
    """What it is, in a sentence."""
    language: list[str] = Field(default_factory=list)
    """Codes of the texts' languages, such as `en`."""
    base_model: str | None = None
    """The Hub id of what it was trained from, where `student.model` is a folder."""
    base_revision: str | None = None
    dataset: str | None = None
    """The Hub id of the data set of its training rows."""
    dataset_revision: str | None = None
    label_source: str | None = None
    """Whose labels it learned; by default the label column."""
    widget: list[str] = Field(default_factory=list)
    """Texts to try on its page."""

    @classmethod
    def from_dict(cls, content: Any, where: str) -> CardFields:
        """The words from plain values.

        Args:
            content: what stands under the key `card`; None where there is none.
            where: what to call the source in errors.

        Raises:
            ConfigError: a license is missing or unknown, or a key is not valid.
        """
        if not isinstance(content, Mapping) or not {"license", "llm_terms"} <= content.keys():
            raise ConfigError(
                f"{where}: `card` lacks `license` or `llm_terms`, which a published model needs. "
                "Write `card: {license: apache-2.0, llm_terms: unknown}` beside `student`, with what holds."
            )
        words = validated(cls, content, f"{where}, card", ConfigError)
        words.licenses  # noqa: B018 - an unknown one is told before hours of training
        return words

    @property
    def licenses(self) -> Licenses:
        """Those of the card.

        Raises:
            ConfigError: the Hub knows no such license.
        """
        return Licenses(self.license, self.llm_terms, self.license_name, self.license_link)
