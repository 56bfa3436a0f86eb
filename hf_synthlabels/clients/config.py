"""How a model is reached, sampled and paid for; shared by annotators and judges.

A configuration section that talks to a model holds one `ClientConfig`, flat in YAML: its validator (`mode="before"`)
returns `nest_client_keys(keys)`, and its serializer (`mode="wrap"`) returns `flat_client_keys(write(self))`.
`check_answers` rejects keys that the client does not support; `clients.factory.open_client` opens the client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hf_synthlabels.clients.local.causal_model import Dtype
from hf_synthlabels.clients.openai.client import DEFAULT_BASE_URL
from hf_synthlabels.clients.prices import Price as TokenPrice
from hf_synthlabels.clients.prices import list_price, supports_batches
from hf_synthlabels.clients.protocol.base_url import check_base_url
from hf_synthlabels.clients.protocol.chat import RESERVED_PARAMETERS, ResponseFormat, Sampling, SystemRole
from hf_synthlabels.clients.protocol.endpoint import Endpoint, RequestHeaders, header_problem
from hf_synthlabels.errors import ConfigError

REASONING_MODELS = re.compile(r"(?:^|/)(?:o[1-9](?:$|-)|gpt-[5-9](?!-chat)|deepseek-reasoner|gpt-oss)")
"""Names of models that reason before they answer and accept no temperature; `reasoning_model` overrides it."""

ANSWER_TOKENS, REASONING_TOKENS = 256, 4096
"""Default token limits of an answer; a model's reasoning counts as part of it."""

TOP_LOGPROBS = 20
"""The maximum number of log-probabilities per token that servers return."""

FormatKey = ResponseFormat | Literal["auto"]
"""A response format; `auto` asks the endpoint once which ones it supports and records the result."""


class StrictModel(BaseModel):
    """A section of a configuration file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(StrictModel):
    """Price of a model's tokens."""

    input_usd_per_mtok: float = Field(ge=0)
    output_usd_per_mtok: float = Field(ge=0)
    cached_input_usd_per_mtok: float | None = Field(default=None, ge=0)
    """Price of cached prompt tokens; null if it is the same."""
    batch_price_factor: float = Field(default=1.0, gt=0, le=1)
    """Factor applied to requests sent in batches."""

    def known(self) -> TokenPrice:
        """The price that costs are computed with."""
        return TokenPrice(
            self.input_usd_per_mtok, self.output_usd_per_mtok, self.cached_input_usd_per_mtok, self.batch_price_factor
        )


class EnvironmentValue(StrictModel):
    """A value that is read from an environment variable when it is needed."""

    env: str = Field(min_length=1)


class ClientConfig(StrictModel):
    """How a model is reached, sampled and paid for. It names the variable that holds the API key, never the key."""

    model_config = ConfigDict(serialize_by_alias=True)
    kind: Literal["openai", "transformers", "embedding", "recorded"] = Field(alias="client")
    model: str | None = None
    base_url: str = DEFAULT_BASE_URL
    api_key_env: str | None = "OPENAI_API_KEY"
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = Field(default=ANSWER_TOKENS, ge=1)
    seed: int | None = None
    reasoning_model: bool | None = None
    """Whether the model reasons before it answers; null infers it from the model's name."""
    reasoning_effort: str | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Additional request parameters, such as `chat_template_kwargs`, `top_k` or `provider`."""
    headers: dict[str, str | EnvironmentValue] = Field(default_factory=dict)
    """Additional headers; a secret one names the environment variable that holds it: `{env: NAME}`."""
    system_role: SystemRole = "system"
    """How the server takes the system prompt; `none` prepends it to the first user message."""
    batch: bool = False
    """Use the provider's batch API: cheaper, answered within a day. Cached answers are shared with single requests."""
    dtype: Dtype = "auto"
    """For `transformers`: data type of the weights; `auto` keeps the saved one."""
    device: str | None = None
    """For `transformers`: `cpu`, `cuda:1`, ...; `auto` uses all devices. Null uses an accelerator if available."""
    batch_size: int = Field(default=16, ge=1)
    """For `transformers`: maximum number of requests per forward pass."""
    max_in_flight: int = Field(default=64, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    max_retries: int = Field(default=5, ge=0)
    timeout_s: float = Field(default=120.0, gt=0)
    budget_usd: float | None = Field(default=None, gt=0)
    """Maximum cost of all runs with this configuration's name together."""
    budget_tokens: int | None = Field(default=None, gt=0)
    price: Price | None = None
    column: str | None = None
    file: str | None = None
    key: str | None = None
    answer: str = "answer"

    @property
    def resolved_price(self) -> TokenPrice | None:
        """The configured price, else the model's list price; None if unknown."""
        if self.price is not None:
            return self.price.known()
        return list_price(self.model or "", self.base_url) if self.kind == "openai" else None

    @property
    def is_reasoning_model(self) -> bool:
        """Whether the model reasons before it answers."""
        if self.reasoning_model is not None:
            return self.reasoning_model
        return self.kind == "openai" and REASONING_MODELS.search(self.model or "") is not None

    @property
    def max_answer_tokens(self) -> int | None:
        """Maximum tokens of one answer, reasoning included; None for no limit."""
        if self.is_reasoning_model and "max_tokens" not in self.model_fields_set:
            return REASONING_TOKENS
        return self.max_tokens

    @property
    def request_headers(self) -> RequestHeaders:
        """The additional headers, with secret ones by the variables that hold them."""
        plain = {name: value for name, value in self.headers.items() if isinstance(value, str)}
        secret = {name: value.env for name, value in self.headers.items() if not isinstance(value, str)}
        return RequestHeaders(plain, secret)

    @property
    def endpoint(self) -> Endpoint:
        """The server, with the names of the variables that hold its key and secret headers."""
        return Endpoint(self.base_url, self.api_key_env, self.request_headers)

    def sampling(self, response_format: ResponseFormat, *, logprobs: bool = False) -> Sampling:
        """Everything that can change an answer, with the response format in use."""
        # Servers reject temperatures for reasoning models; a model in this process accepts them.
        withheld = self.is_reasoning_model and self.kind == "openai"
        return Sampling(
            temperature=None if withheld else self.temperature,
            top_p=None if withheld else self.top_p,
            max_tokens=self.max_answer_tokens,
            seed=self.seed,
            response_format=response_format,
            top_logprobs=TOP_LOGPROBS if logprobs else None,
            reasoning=self.is_reasoning_model,
            reasoning_effort=self.reasoning_effort,
            extra_body=self.extra_body or None,
            headers=self.request_headers.changing,
            system_role=None if self.system_role == "system" else self.system_role,
        )

    def located(self, resolve: Callable[[str], str], model: str | None) -> ClientConfig:
        """The same client with the path of its recorded answers resolved, and with the located model."""
        file = None if self.file is None else resolve(self.file)
        return self.model_copy(update={"file": file, "model": model})

    def check_answers(
        self,
        *,
        num_samples: int = 1,
        scoring: bool = False,
        logprobs: bool = False,
        response_format: FormatKey = "text",
    ) -> None:
        """Check what a section asks of its client; used by validators.

        Raises:
            ValueError: the client does not support it.
        """
        writes = self.kind in ("openai", "transformers")
        reasons = self.is_reasoning_model and self.kind == "openai"
        if logprobs and (not writes or scoring):
            why = "`scoring` replaces" if scoring else f"client {self.kind!r} does not support"
            raise ValueError(f"has `logprobs: true`, which {why}. Remove it.")
        if response_format != "text" and self.kind == "transformers":
            raise ValueError(
                f"has `response_format: {response_format}`, which client 'transformers' cannot enforce. Remove it, or "
                "set `scoring: true`, whose answers can always be parsed."
            )
        if num_samples > 1 and writes and self.temperature == 0 and not reasons:
            raise ValueError(
                f"has `num_samples: {num_samples}` at `temperature` 0, where all samples are equal. Raise it."
            )
        if scoring and self.kind != "transformers":
            raise ValueError(f"has `scoring: true`, which client {self.kind!r} does not support. Use 'transformers'.")
        if scoring and (num_samples > 1 or self.temperature):
            raise ValueError("has `scoring: true`, which samples nothing. Remove `num_samples` and `temperature`.")

    @field_validator("base_url")
    @classmethod
    def _valid_address(cls, base_url: str) -> str:
        try:
            return check_base_url(base_url)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("`base_url` ")) from None

    @field_validator("headers", mode="before")
    @classmethod
    def _valid_headers(cls, headers: Any) -> Any:
        if not isinstance(headers, Mapping):
            raise ValueError("is not a mapping. Give header names with their values.")
        for name, value in headers.items():
            is_plain = isinstance(value, str)
            refers = isinstance(value, EnvironmentValue) or (
                isinstance(value, Mapping) and list(value) == ["env"] and isinstance(value["env"], str)
            )
            problem = header_problem(str(name), value if is_plain else None)
            if problem is None and not (is_plain or refers):
                problem = "is neither text nor `{env: NAME}`. Put the value in quotes."
            if problem is not None:
                raise ValueError(f"has {str(name)!r}, which {problem}")
        if len({str(name).lower() for name in headers}) < len(headers):
            raise ValueError("has a header twice, in different case. Remove one.")
        return headers

    @field_validator("extra_body")
    @classmethod
    def _valid_parameters(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for name in extra:
            if (key := RESERVED_PARAMETERS.get(name)) is not None:
                repair = f"Set `{key}`." if key else "Remove it."
                raise ValueError(f"has {name!r}, which this package sets itself. {repair}")
        try:
            json.dumps(extra, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("has a value that JSON cannot represent. Use text, finite numbers and lists.") from None
        return extra

    @model_validator(mode="after")
    def _server_keys(self) -> Self:
        for key in ("extra_body", "headers", "system_role", "batch"):
            # A recipe that was written out has every key, with its default.
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) != default and self.kind != "openai":
                raise ValueError(f"has `{key}`, but client {self.kind!r} sends no requests. Remove it.")
        if self.api_key_env is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError(
                "has the header 'Authorization' and `api_key_env`, which sets it. Set `api_key_env: null`."
            )
        limit, longest = self.extra_body.get("max_completion_tokens"), self.max_answer_tokens
        if limit is not None and longest is not None and not (isinstance(limit, int) and 0 < limit <= longest):
            raise ValueError(
                f"has `extra_body` with max_completion_tokens {limit!r}, but the budget is computed with `max_tokens` "
                f"{longest}. Use an integer of at most that."
            )
        return self

    @model_validator(mode="after")
    def _required_keys(self) -> Self:
        if self.kind in ("openai", "transformers") and not self.model:
            raise ValueError("needs `model`: the name on the server, a folder, or a Hub id.")
        if self.kind == "recorded" and (self.column is None) == (self.file is None):
            raise ValueError("of client 'recorded' needs either `column` or `file`.")
        if self.batch and not supports_batches(self.base_url):
            raise ValueError(f"has `batch`, but {self.base_url!r} does not support OpenAI's Batch API. Remove it.")
        is_set = bool(self.temperature) and "temperature" in self.model_fields_set
        if is_set and self.kind == "openai" and self.is_reasoning_model:
            raise ValueError(
                f"has `temperature: {self.temperature}`, which {self.model!r} does not accept. "
                "Remove it, or set `reasoning_model: false`."
            )
        return self


CLIENT_KEYS = tuple(field.alias or name for name, field in ClientConfig.model_fields.items())
"""The keys of a client in YAML, in order."""


def nest_client_keys(keys: Any) -> Any:
    """Move the client's keys of a flat section under `client`; anything else is returned unchanged."""
    if not isinstance(keys, Mapping) or isinstance(keys.get("client"), ClientConfig | Mapping):
        return keys
    client = {key: keys[key] for key in CLIENT_KEYS if key in keys}
    return {"client": client, **{key: value for key, value in keys.items() if key not in client}}


def flat_client_keys(section: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `nest_client_keys`, for a section that is written out."""
    client = section.pop("client", {})
    return {**client, **section} if isinstance(client, Mapping) else {"client": client, **section}
