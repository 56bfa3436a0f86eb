"""AnnotatorConfig: who answers and how it is asked, as keys of a recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation.prompting.examples import ExampleSelection
from hf_synthlabels.annotation.recipe.strict_yaml import StrictModel
from hf_synthlabels.annotation.recipe.task import Example
from hf_synthlabels.clients import Price as KnownPrice
from hf_synthlabels.clients import ResponseFormat, list_price
from hf_synthlabels.clients.local.causal_model import Dtype
from hf_synthlabels.clients.openai.client import DEFAULT_BASE_URL
from hf_synthlabels.clients.prices import supports_batches
from hf_synthlabels.clients.protocol.base_url import check_base_url
from hf_synthlabels.clients.protocol.chat import RESERVED_PARAMETERS, SystemRole
from hf_synthlabels.clients.protocol.request_headers import RequestHeaders, header_problem
from hf_synthlabels.errors import ConfigError

REASONING_MODELS = re.compile(r"(?:^|/)(?:o[1-9](?:$|-)|gpt-[5-9](?!-chat)|deepseek-reasoner|gpt-oss)")
"""Names of models that think before they answer and take no temperature; a recipe may say it of any other."""

ANSWER_TOKENS = 256
REASONING_TOKENS = 4096
"""The longest answer where the recipe says none; thoughts count as part of it."""


class Price(StrictModel):
    """What an annotator's tokens cost."""

    input_usd_per_mtok: float = Field(ge=0)
    output_usd_per_mtok: float = Field(ge=0)
    cached_input_usd_per_mtok: float | None = Field(default=None, ge=0)
    """For prompt tokens that the server had cached; None when they cost the same."""

    batch_price_factor: float = Field(default=1.0, gt=0, le=1)
    """What is paid of it for requests in batches."""

    def known(self) -> KnownPrice:
        """The same for computing with."""
        return KnownPrice(
            self.input_usd_per_mtok, self.output_usd_per_mtok, self.cached_input_usd_per_mtok, self.batch_price_factor
        )


class EnvironmentValue(StrictModel):
    """A value that is read from an environment variable when it is needed."""

    env: str = Field(min_length=1)


class AnnotatorConfig(StrictModel):
    """Who answers, and how it is asked. The key of a server is named here, never given."""

    client: Literal["openai", "transformers", "embedding", "recorded"]
    model: str | None = None
    base_url: str = DEFAULT_BASE_URL
    api_key_env: str | None = "OPENAI_API_KEY"
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = Field(default=ANSWER_TOKENS, ge=1)
    seed: int | None = None
    reasoning_model: bool | None = None
    """Whether the model thinks before it answers; None goes by its name."""
    reasoning_effort: str | None = None
    response_format: ResponseFormat | Literal["auto"] = "text"
    """`auto` asks the endpoint once which forms it knows, and writes that down."""
    logprobs: bool = False
    """Ask for log-probabilities, and make label probabilities of them."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further parameters for the server, such as `chat_template_kwargs`, `top_k` or `provider`."""
    headers: dict[str, str | EnvironmentValue] = Field(default_factory=dict)
    """Further headers; secret ones name the environment variable that holds them: `{env: NAME}`."""
    system_role: SystemRole = "system"
    """How the server takes the system prompt; with `none` it begins the first user message."""
    draws: int = Field(default=1, ge=1)
    batch: bool = False
    """Ask in batches: cheaper at most providers, and answered within a day. Answers are shared with single requests."""
    scoring: bool = False
    """For `transformers`: weigh each label instead of writing an answer, so that every answer can be read."""
    dtype: Dtype = "auto"
    """For `transformers`: how the weights are held; `auto` is how they were saved."""
    device: str | None = None
    """For `transformers`: such as `cpu` or `cuda:1`; `auto` takes all there are. None takes an accelerator if any."""
    batch_size: int = Field(default=16, ge=1)
    """For `transformers`: how many requests are computed together at most."""
    max_in_flight: int = Field(default=64, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    keep_going: bool = False
    """Whether to go on when most of the first 50 rows get no label; otherwise the run stops there."""
    max_retries: int = Field(default=5, ge=0)
    timeout_s: float = Field(default=120.0, gt=0)
    budget_usd: float | None = Field(default=None, gt=0)
    """All runs of the recipe's name together never cost more."""
    budget_tokens: int | None = Field(default=None, gt=0)
    system: str | None = None
    """A system prompt in place of the packaged one."""
    examples: list[Example] | str = Field(default_factory=list)
    """Few-shot examples, or the path of a JSON Lines file of `text` and `label`."""
    example_selection: ExampleSelection | None = None
    """Which of the examples are shown; all of them by default."""
    price: Price | None = None
    column: str | None = None
    file: str | None = None
    key: str | None = None
    answer: str = "answer"

    @property
    def resolved_price(self) -> KnownPrice | None:
        """The recipe's own price, else the list price of the model; None when nobody knows."""
        if self.price is not None:
            return self.price.known()
        return list_price(self.model or "", self.base_url) if self.client == "openai" else None

    @property
    def reasons(self) -> bool:
        """Whether the model thinks before it answers."""
        if self.reasoning_model is not None:
            return self.reasoning_model
        return self.client == "openai" and REASONING_MODELS.search(self.model or "") is not None

    @property
    def longest_answer(self) -> int | None:
        """The most tokens of one answer, thoughts included; None for no limit."""
        if self.reasons and "max_tokens" not in self.model_fields_set:
            return REASONING_TOKENS
        return self.max_tokens

    @field_validator("base_url")
    @classmethod
    def _address(cls, base_url: str) -> str:
        try:
            return check_base_url(base_url)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("`base_url` ")) from None

    @property
    def request_headers(self) -> RequestHeaders:
        """The headers as they are sent."""
        plain = {name: value for name, value in self.headers.items() if isinstance(value, str)}
        secret = {name: value.env for name, value in self.headers.items() if not isinstance(value, str)}
        return RequestHeaders(plain, secret)

    @field_validator("headers", mode="before")
    @classmethod
    def _header_values(cls, headers: Any) -> Any:
        if not isinstance(headers, Mapping):
            raise ValueError("is not a mapping. Give the names of headers with their values.")
        for name, value in headers.items():
            is_plain = isinstance(value, str)
            refers = isinstance(value, EnvironmentValue) or (
                isinstance(value, Mapping) and list(value) == ["env"] and isinstance(value["env"], str)
            )
            problem = header_problem(str(name), value if is_plain else None)
            if problem is None and not (is_plain or refers):
                problem = "is neither a text nor `{env: NAME}`. Put the value in quotes."
            if problem is not None:
                raise ValueError(f"has {str(name)!r}, which {problem}")
        if len({str(name).lower() for name in headers}) < len(headers):
            raise ValueError("has a header twice, in different case. Remove one.")
        return headers

    @field_validator("extra_body")
    @classmethod
    def _extra_parameters(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for name in extra:
            if (key := RESERVED_PARAMETERS.get(name)) is not None:
                repair = f"Set `annotator.{key}`." if key else "Remove it."
                raise ValueError(f"has {name!r}, which this package sends itself. {repair}")
        try:
            json.dumps(extra, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("holds a value that JSON has no form for. Use texts, finite numbers and lists.") from None
        return extra

    @model_validator(mode="after")
    def _for_servers(self) -> Self:
        for key in ("extra_body", "headers", "system_role"):
            # A recipe that was written out has every key, with its default.
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) != default and self.client != "openai":
                raise ValueError(f"has `{key}`, but client {self.client!r} sends no requests. Remove it.")
        if self.api_key_env is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError(
                "has the header 'Authorization' and `api_key_env`, which sets it. Make `api_key_env` null."
            )
        limit, longest = self.extra_body.get("max_completion_tokens"), self.longest_answer
        if limit is not None and longest is not None and not (isinstance(limit, int) and 0 < limit <= longest):
            raise ValueError(
                f"has `extra_body` with max_completion_tokens {limit!r}, but the budget counts with `max_tokens` "
                f"{longest}. Give an integer of at most that."
            )
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.client == "openai" and not self.model:
            raise ValueError("needs `model`, the name that the server knows.")
        if self.client == "transformers" and not self.model:
            raise ValueError("needs `model`, a folder or a Hub id.")
        if self.client == "recorded" and (self.column is None) == (self.file is None):
            raise ValueError("of client 'recorded' needs either `column` or `file`.")
        if self.batch and self.client != "openai":
            raise ValueError(f"has `batch`, but client {self.client!r} sends no requests. Remove it.")
        if self.batch and not supports_batches(self.base_url):
            raise ValueError(f"has `batch`, but {self.base_url!r} does not have OpenAI's Batch API. Remove it.")
        if self.logprobs and (self.client not in ("openai", "transformers") or self.scoring):
            why = "weighs the labels itself" if self.scoring else f"does not exist for client {self.client!r}"
            raise ValueError(f"has `logprobs`, which {why}. Remove it.")
        if self.response_format != "text" and self.client == "transformers":
            raise ValueError(
                f"has `response_format` {self.response_format!r}, which nothing holds a model in this process to. "
                "Remove it, or set `scoring: true`, whose answers can always be read."
            )
        return self

    @model_validator(mode="after")
    def _sampled(self) -> Self:
        writes = self.client in ("openai", "transformers")
        if self.draws > 1 and writes and self.temperature == 0 and not (self.reasons and self.client == "openai"):
            raise ValueError("has `draws` above 1 at `temperature` 0: all draws would be alike. Raise the temperature.")
        if self.client == "openai" and self.reasons and self.temperature and "temperature" in self.model_fields_set:
            raise ValueError(
                f"has `temperature` {self.temperature}, which {self.model!r} does not take. "
                "Remove it, or set `reasoning_model: false`."
            )
        if self.scoring and self.client != "transformers":
            raise ValueError(f"has `scoring`, which client {self.client!r} can not do. Use client 'transformers'.")
        if self.scoring and (self.draws > 1 or self.temperature):
            raise ValueError("has `scoring`, which draws nothing. Remove `draws` and `temperature`.")
        return self
