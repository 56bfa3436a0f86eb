"""The `annotator` section of a recipe: the client, and how it labels."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hf_synthlabels.annotation.prompting.examples import ExampleSelection
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.clients.config import ClientConfig, FormatKey, StrictModel, flat_client_keys, nest_client_keys

PAID_BY_FIRST = ("budget_usd", "budget_tokens")
"""Keys of a client that both annotators of a cascade share."""


class AnsweringKeys(StrictModel):
    """A client, and how it answers; in YAML the client's keys are in the same mapping."""

    client: ClientConfig
    response_format: FormatKey = "text"
    logprobs: bool = False
    """Request log-probabilities and convert them to label probabilities."""
    num_samples: int = Field(default=1, ge=1)
    scoring: bool = False
    """For `transformers`: score every label instead of generating text, so that every answer can be parsed."""
    system: str | None = None
    """A system prompt that replaces the packaged one."""

    @model_validator(mode="before")
    @classmethod
    def _split(cls, keys: Any) -> Any:
        return nest_client_keys(keys)

    @model_serializer(mode="wrap")
    def _join(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        keys = flat_client_keys(write(self))
        # A recipe without a second annotator has the same hash as before there were any.
        return {key: value for key, value in keys.items() if key != "escalate" or value is not None}

    @model_validator(mode="after")
    def _supported(self) -> Self:
        self.client.check_answers(
            num_samples=self.num_samples,
            scoring=self.scoring,
            logprobs=self.logprobs,
            response_format=self.response_format,
        )
        return self


class Escalation(StrictModel):
    """A second annotator for the rows that the first one is not sure of."""

    below: float = Field(gt=0)
    """Rows with a lower confidence go to the second annotator, and so do rows without a confidence or a label."""
    to: AnsweringKeys
    """The second annotator, which has the examples and the budget of the first."""
    expected_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the rows that a plan assumes to be escalated; it changes no label."""

    @model_validator(mode="after")
    def _paid_together(self) -> Self:
        for key in PAID_BY_FIRST:
            if getattr(self.to.client, key) is not None:
                raise ValueError(f"has `to.{key}`, but both annotators share one budget. Set `annotator.{key}`.")
        if self.to.client.kind not in ("openai", "transformers"):
            raise ValueError(f"has `to.client: {self.to.client.kind}`, which reads no prompt. Use openai.")
        if self.to.client.batch:
            raise ValueError("has `to.batch: true`, for which every part of the rows would wait a day. Remove it.")
        return self


class AnnotatorConfig(AnsweringKeys):
    """The client that labels, and how it labels."""

    keep_going: bool = False
    """Continue when most of the first 50 rows get no label, instead of stopping the run."""
    examples: list[Example] | str = Field(default_factory=list)
    """Few-shot examples, or the path of a JSON Lines file of `text` and `label`."""
    example_selection: ExampleSelection | None = None
    """Which of the examples are shown; by default all of them."""
    escalate: Escalation | None = None
    """A second annotator for rows with a low confidence."""

    def with_client(self, **changes: Any) -> AnnotatorConfig:
        """The same annotator with changed keys of its client."""
        return self.model_copy(update={"client": self.client.model_copy(update=changes)})

    @property
    def second(self) -> AnnotatorConfig | None:
        """The second annotator, with the examples and the budget of this one; None without one."""
        if self.escalate is None:
            return None
        to = self.escalate.to
        budget = {key: getattr(self.client, key) for key in PAID_BY_FIRST}
        own = {name: getattr(to, name) for name in AnsweringKeys.model_fields if name != "client"}
        return self.model_copy(
            update={**own, "client": to.client.model_copy(update=budget), "escalate": None},
        )

    @property
    def has_confidence(self) -> bool:
        """Whether labels have a confidence that the annotator need not state."""
        knows = self.logprobs or self.scoring or self.num_samples > 1
        return knows or self.client.kind not in ("openai", "transformers")

    @model_validator(mode="after")
    def _escalated_at_once(self) -> Self:
        if self.escalate is not None and self.client.batch:
            raise ValueError("has `escalate` and `batch: true`, whose parts would wait a day each. Remove one.")
        return self
