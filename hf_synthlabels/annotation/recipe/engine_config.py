"""Engine: where a recipe runs, as keys of a recipe. It changes no label."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hf_synthlabels.clients.config import StrictModel


class Engine(StrictModel):
    """Where a recipe runs; `engine: ray` is short for `engine: {name: ray}`."""

    name: Literal["local", "ray"] = "local"
    """`local`: in this process. `ray`: on all machines of a Ray cluster."""
    address: str | None = None
    """Of the cluster, as `host:port`, or `auto` for the one that this machine is part of. By default that of the
    environment variable RAY_ADDRESS; where there is none, Ray is started on this machine alone."""
    actors: int | None = Field(default=None, ge=1)
    """Processes that annotate side by side; by default one on each machine."""
    cpus_per_actor: float = Field(default=1.0, ge=0)
    gpus_per_actor: float = Field(default=0.0, ge=0)
    rows_per_shard: int | None = Field(default=None, ge=1)
    """Rows that an actor takes at a time, and that are in one file of the result."""
    id: str | None = None
    """A column whose values tell the rows of a split apart; by default their place in it does."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, keys: Any) -> Any:
        return {"name": keys} if isinstance(keys, str) else keys

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = sorted(self.model_fields_set - {"name"})
        if self.name == "local" and any(getattr(self, key) != type(self).model_fields[key].default for key in given):
            raise ValueError(f"has `{given[0]}`, which belongs to many machines. Add `name: ray`, or remove it.")
        if self.address is not None and self.address.startswith("ray://"):
            raise ValueError(
                f"has `address` {self.address!r}, a Ray client outside the cluster: use `address: auto` on the "
                "cluster, or `ray job submit`."
            )
        return self
