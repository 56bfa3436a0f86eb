"""Conversations as token IDs, by the chat template of a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hf_synthlabels.clients.base import Message
from hf_synthlabels.errors import ClientError
from hf_synthlabels.labels.parsing.reasoning import REASONING_TOKEN

PLAIN_STOP = "\nUser:"
"""Without a chat template, a model goes on with the next turn: this text ends the answer."""

TURN = re.compile(r"^(User|Assistant):", re.M)

PROBE = "s7q"
"""A text that no chat template contains."""


class Renderer:
    """Renders conversations as token IDs, and decodes answers.

    Text in a message never becomes a control token: `<|im_end|>` in a row is tokenized as ordinary characters. If the
    chat template takes no system message, its content begins the first user message. Without a chat template, turns
    begin with `User:` and `Assistant:`, and an answer ends where the model begins the next turn.

    Raises:
        ClientError: the chat template cannot be used.
    """

    def __init__(self, tokenizer: Any, *, ends: Sequence[int] = (), thinking: bool = False) -> None:
        self._tokenizer = tokenizer
        self._thinking = thinking
        self.plain = tokenizer.chat_template is None
        """Whether there is no chat template."""
        self._takes_system = self.plain or self._shows_system()
        self._lead, after = (" ", "") if self.plain else self._around_answer()
        tail = self._ids(after) if after else []
        eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        template_end = [token for token in tail[:1] if token in self._control()]
        self.ends = tuple(dict.fromkeys([*template_end, *eos, *ends]))
        """Tokens that end an answer, first the one in the chat template."""
        added = tokenizer.added_tokens_decoder
        self._special = {*self._control(), *(number for number, token in added.items() if token.special)}
        self._tags = {
            token for token in self._special & added.keys() if REASONING_TOKEN.fullmatch(added[token].content)
        }
        self.pad = int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else (*self.ends, 0)[0]

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token IDs of each conversation, up to the beginning of the answer."""
        if self.plain:
            return [self._ids(_plain_text(messages)) for messages in conversations]
        rows = self._tokenizer.apply_chat_template(
            [self._turns(messages) for messages in conversations],
            add_generation_prompt=True,
            return_dict=False,
            sanitize_control_tokens=True,
            enable_thinking=self._thinking,
        )
        return [list(ids) for ids in rows]

    def continuations(self, answers: Sequence[str]) -> list[list[int]]:
        """Token IDs of answers that follow a conversation; the same after any conversation."""
        question = (Message("user", "?"),)
        before = _plain_text(question) if self.plain else self._text(self._turns(question))
        start = self._ids(before)
        rows = []
        for answer in answers:
            whole = self._ids(before + self._lead + answer)
            # The text before an answer can change how its first characters are tokenized.
            fits = whole[: len(start)] == start
            alone = self._tokenizer.encode(self._lead + answer, add_special_tokens=False)
            rows.append(whole[len(start) :] if fits else list(alone))
        return rows

    def text(self, ids: Sequence[int]) -> str:
        """Text of an answer's tokens, without control tokens."""
        skip = self._tags.isdisjoint(ids)
        # Reasoning tags are kept, even if they are special tokens.
        kept = ids if skip else [token for token in ids if token in self._tags or token not in self._special]
        text = str(self._tokenizer.decode(kept, skip_special_tokens=skip, clean_up_tokenization_spaces=False))
        return text.partition(PLAIN_STOP)[0].strip() if self.plain else text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Text of each token, as it appears within a longer text."""
        anchor = self._tokenizer.encode("a", add_special_tokens=False)
        before = len(self._tokenizer.decode(anchor))
        return [str(self._tokenizer.decode([*anchor, token]))[before:] for token in ids]

    def _turns(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        turns = [{"role": message.role, "content": _encodable(message.content)} for message in messages]
        if self._takes_system or turns[0]["role"] != "system" or len(turns) == 1:
            return turns
        joined = f"{turns[0]['content']}\n\n{turns[1]['content']}"
        return [{"role": turns[1]["role"], "content": joined}, *turns[2:]]

    def _text(self, turns: list[dict[str, str]], *, answered: bool = False) -> str:
        text = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=not answered, tokenize=False, enable_thinking=self._thinking
        )
        return str(text)

    def _shows_system(self) -> bool:
        """Whether the chat template renders system messages."""
        from jinja2 import TemplateError

        user = {"role": "user", "content": "?"}
        try:
            return PROBE in self._text([{"role": "system", "content": PROBE}, user])
        except (TemplateError, ValueError):
            pass
        try:
            self._text([user])
        except (TemplateError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ClientError(f"`model` has an invalid chat template ({reason}); choose another model.") from None
        return False

    def _around_answer(self) -> tuple[str, str]:
        """White space before an answer in the chat template, and the text after it."""
        user = {"role": "user", "content": "?"}
        question = self._text([user])
        whole = self._text([user, {"role": "assistant", "content": PROBE}], answered=True)
        lead, _, after = whole.removeprefix(question).partition(PROBE)
        if not whole.startswith(question) or lead.strip():
            return "", after
        return lead, after

    def _control(self) -> set[int]:
        return set(self._tokenizer.all_special_ids)

    def _ids(self, text: str) -> list[int]:
        if not self.plain:
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        ids = list(self._tokenizer.encode(text, split_special_tokens=True))
        # Some tokenizers append an end token, and the answer has to follow the prompt directly.
        return ids[:-1] if ids and ids[-1] == self._tokenizer.eos_token_id else ids


def _plain_text(messages: Sequence[Message]) -> str:
    parts = []
    for message in messages:
        # Text in a row must not begin a new turn.
        content = TURN.sub(r"\1 :", _encodable(message.content))
        parts.append(content if message.role == "system" else f"{message.role.capitalize()}: {content}")
    return "\n\n".join([*parts, "Assistant:"])


def _encodable(text: str) -> str:
    """Replace lone surrogates, which tokenizers reject."""
    return text if text.isascii() else text.encode(errors="replace").decode()
