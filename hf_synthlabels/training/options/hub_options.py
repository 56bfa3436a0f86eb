"""Publishing from a training: what StudentConfig's options for the Hub mean here."""

from __future__ import annotations

from typing import Any

from hf_synthlabels.errors import ConfigError

HIDDEN_TOKEN = "<HUB_TOKEN>"

NO_PUBLISHER = (
    "`push_to_hub` is true, and nobody publishes. Pass `publish=StudentPublisher.of(config, words)` from "
    "hf_synthlabels.publishing, or run `hf-synthlabels train`; or leave the option out, and publish the saved student "
    "with `hf-synthlabels push model`."
)


def check_hub_options(config: Any) -> None:
    """Refuse what contradicts one commit of the finished student.

    Raises:
        ConfigError: a token is given, or an option that pushes at other times or elsewhere.
    """
    if config.hub_token == HIDDEN_TOKEN:
        # What `to_dict` writes, whether or not there was a token.
        config.hub_token = None
    if config.hub_token is not None:
        raise ConfigError("`hub_token` is given, and a token stands in no file. Set HF_TOKEN, or run `hf auth login`.")
    if not config.push_to_hub:
        return
    strategy = str(getattr(config.hub_strategy, "value", config.hub_strategy))
    if "checkpoint" in strategy:
        raise ConfigError(
            f"`hub_strategy` is {strategy!r}, but a student is pushed once, when it is finished. Leave it out; "
            "checkpoints stay in `output_dir`."
        )
    for option in ("hub_always_push", "hub_revision"):
        if getattr(config, option, None):
            raise ConfigError(
                f"`{option}` is {getattr(config, option)!r}, but a student is pushed once, to `main`. Leave it out."
            )
