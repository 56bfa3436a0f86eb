"""Teacher: who answers and how it is asked, as keys of a recipe."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hf_synthlabels.annotation.strict_yaml import StrictModel
from hf_synthlabels.annotation.task import Example
from hf_synthlabels.clients import DEFAULT_BASE_URL, ResponseFormat

__all__ = ["Price", "Teacher"]


class Price(StrictModel):
    """What a teacher's tokens cost."""

    input_usd_per_mtok: float = Field(ge=0)
    output_usd_per_mtok: float = Field(ge=0)


class Teacher(StrictModel):
    """Who answers, and how it is asked. The key of a server is named here, never given."""

    client: Literal["openai", "embedding", "recorded"]
    model: str | None = None
    base_url: str = DEFAULT_BASE_URL
    api_key_env: str | None = "OPENAI_API_KEY"
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 256
    seed: int | None = None
    response_format: ResponseFormat = "text"
    draws: int = Field(default=1, ge=1)
    max_in_flight: int = Field(default=64, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    system: str | None = None
    """A system prompt in place of the packaged one."""
    examples: list[Example] | str = Field(default_factory=list)
    """Few-shot examples, or the path of a JSON Lines file of `text` and `label`."""
    price: Price | None = None
    column: str | None = None
    file: str | None = None
    key: str | None = None
    answer: str = "answer"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.client == "openai" and not self.model:
            raise ValueError("needs `model`, the name that the server knows.")
        if self.client == "recorded" and (self.column is None) == (self.file is None):
            raise ValueError("of client 'recorded' needs either `column` or `file`.")
        if self.draws > 1 and self.client == "openai" and self.temperature == 0:
            raise ValueError("has `draws` above 1 at `temperature` 0: all draws would be alike. Raise the temperature.")
        return self
