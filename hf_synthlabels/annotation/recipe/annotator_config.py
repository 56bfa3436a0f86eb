"""The `annotator` section of a recipe: the client, and how it labels."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hf_synthlabels.annotation.prompting.examples import ExampleSelection
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.clients.config import ClientConfig, FormatKey, StrictModel, flat_client_keys, nest_client_keys


class AnnotatorConfig(StrictModel):
    """The client that labels, and how it labels; in YAML the client's keys are in the same mapping."""

    client: ClientConfig
    response_format: FormatKey = "text"
    logprobs: bool = False
    """Request log-probabilities and convert them to label probabilities."""
    num_samples: int = Field(default=1, ge=1)
    scoring: bool = False
    """For `transformers`: score every label instead of generating text, so that every answer can be parsed."""
    keep_going: bool = False
    """Continue when most of the first 50 rows get no label, instead of stopping the run."""
    system: str | None = None
    """A system prompt that replaces the packaged one."""
    examples: list[Example] | str = Field(default_factory=list)
    """Few-shot examples, or the path of a JSON Lines file of `text` and `label`."""
    example_selection: ExampleSelection | None = None
    """Which of the examples are shown; by default all of them."""

    def with_client(self, **changes: Any) -> AnnotatorConfig:
        """The same annotator with changed keys of its client."""
        return self.model_copy(update={"client": self.client.model_copy(update=changes)})

    @model_validator(mode="before")
    @classmethod
    def _split(cls, keys: Any) -> Any:
        return nest_client_keys(keys)

    @model_serializer(mode="wrap")
    def _join(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return flat_client_keys(write(self))

    @model_validator(mode="after")
    def _supported(self) -> Self:
        self.client.check_answers(
            num_samples=self.num_samples,
            scoring=self.scoring,
            logprobs=self.logprobs,
            response_format=self.response_format,
        )
        return self
