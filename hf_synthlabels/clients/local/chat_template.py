"""Renderer: conversations as the tokens that a model in this process is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hf_synthlabels.clients.base import Message
from hf_synthlabels.errors import ClientError
from hf_synthlabels.labels.parsing.reasoning import REASONING_TOKEN

PLAIN_STOP = "\nUser:"
"""Where the model begins the next turn by itself, when no chat template tells it where to end."""

TURN = re.compile(r"^(User|Assistant):", re.M)

SAID = "s7q"
"""A text that no template has of its own."""


class Renderer:
    """Conversations as tokens: by the tokenizer's chat template, or plainly where it has none.

    What a message says can not become a control token: `<|im_end|>` in a row stays the letters that it is. A template
    that takes no system message gets its content at the beginning of the first user's. Plainly, turns are led by
    `User:` and `Assistant:`, and an answer ends where the model begins the next turn.

    Args:
        tokenizer: of the model.
        ends: tokens that end an answer by the model's own settings.
        thinking: whether the model may think before it answers, where its template asks that.

    Raises:
        ClientError: the chat template can not be used.
    """

    def __init__(self, tokenizer: Any, *, ends: Sequence[int] = (), thinking: bool = False) -> None:
        self._tokenizer = tokenizer
        self._thinking = thinking
        self.plain = tokenizer.chat_template is None
        """Whether there is no chat template."""
        self._takes_system = self.plain or self._shows_system()
        self._lead, after = (" ", "") if self.plain else self._around_answer()
        tail = self._ids(after) if after else []
        own = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        known = [*own, *ends]
        self.ends = tuple(dict.fromkeys([*(tail[:1] if tail[:1] and tail[0] in self._control() else []), *known]))
        """Tokens that end an answer, first the one that the template itself writes."""
        added = tokenizer.added_tokens_decoder
        self._special = {*self._control(), *(number for number, token in added.items() if token.special)}
        self._tags = {one for one in self._special & added.keys() if REASONING_TOKEN.fullmatch(added[one].content)}
        self.pad = int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else (*self.ends, 0)[0]

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """The tokens of each conversation, up to where the answer begins."""
        if self.plain:
            return [self._ids(_plain_text(messages)) for messages in conversations]
        found = self._tokenizer.apply_chat_template(
            [self._turns(messages) for messages in conversations],
            add_generation_prompt=True,
            return_dict=False,
            sanitize_control_tokens=True,
            enable_thinking=self._thinking,
        )
        return [list(ids) for ids in found]

    def continuations(self, answers: Sequence[str]) -> list[list[int]]:
        """The tokens of some answers where they follow a conversation; the same after each."""
        asked = (Message("user", "?"),)
        before = _plain_text(asked) if self.plain else self._text(self._turns(asked))
        start = self._ids(before)
        found = []
        for answer in answers:
            whole = self._ids(before + self._lead + answer)
            # What comes before decides how the first letters are cut into tokens.
            fits = whole[: len(start)] == start
            alone = self._tokenizer.encode(self._lead + answer, add_special_tokens=False)
            found.append(whole[len(start) :] if fits else list(alone))
        return found

    def text(self, ids: Sequence[int]) -> str:
        """What the tokens of an answer say, without control tokens."""
        skip = self._tags.isdisjoint(ids)
        # Where tags of reasoning are special tokens, only the others are left out.
        kept = ids if skip else [one for one in ids if one in self._tags or one not in self._special]
        said = self._tokenizer.decode(kept, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
        return str(said).partition(PLAIN_STOP)[0].strip() if self.plain else str(said)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each of some tokens says by itself, within a text."""
        anchor = self._tokenizer.encode("a", add_special_tokens=False)
        before = len(self._tokenizer.decode(anchor))
        return [str(self._tokenizer.decode([*anchor, one]))[before:] for one in ids]

    def _turns(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        turns = [{"role": message.role, "content": _encodable(message.content)} for message in messages]
        if self._takes_system or turns[0]["role"] != "system" or len(turns) == 1:
            return turns
        joined = f"{turns[0]['content']}\n\n{turns[1]['content']}"
        return [{"role": turns[1]["role"], "content": joined}, *turns[2:]]

    def _text(self, turns: list[dict[str, str]], *, answered: bool = False) -> str:
        found = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=not answered, tokenize=False, enable_thinking=self._thinking
        )
        return str(found)

    def _shows_system(self) -> bool:
        """Whether a system message is part of what the template makes."""
        from jinja2 import TemplateError

        user = {"role": "user", "content": "?"}
        try:
            return SAID in self._text([{"role": "system", "content": SAID}, user])
        except (TemplateError, ValueError):
            pass
        try:
            self._text([user])
        except (TemplateError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ClientError(
                f"`annotator.model` has a chat template that fails: {reason}. Choose another model."
            ) from None
        return False

    def _around_answer(self) -> tuple[str, str]:
        """White space that the template puts before an answer, and what it puts behind."""
        user = {"role": "user", "content": "?"}
        asked = self._text([user])
        whole = self._text([user, {"role": "assistant", "content": SAID}], answered=True)
        lead, _, after = whole.removeprefix(asked).partition(SAID)
        if not whole.startswith(asked) or lead.strip():
            return "", after
        return lead, after

    def _control(self) -> set[int]:
        return set(self._tokenizer.all_special_ids)

    def _ids(self, text: str) -> list[int]:
        if not self.plain:
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        ids = list(self._tokenizer.encode(text, split_special_tokens=True))
        # Some tokenizers end each text, and what is to be continued has no end.
        return ids[:-1] if ids and ids[-1] == self._tokenizer.eos_token_id else ids


def _plain_text(messages: Sequence[Message]) -> str:
    parts = []
    for message in messages:
        # A row can not begin a turn.
        content = TURN.sub(r"\1 :", _encodable(message.content))
        parts.append(content if message.role == "system" else f"{message.role.capitalize()}: {content}")
    return "\n\n".join([*parts, "Assistant:"])


def _encodable(text: str) -> str:
    """A text without halves of surrogate pairs, which no tokenizer takes."""
    return text if text.isascii() else text.encode(errors="replace").decode()
