"""Prompt of a judge with several criteria: all of them in one request, or one that is requested again alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hf_synthlabels.annotation.prompting.quoting import rendered
from hf_synthlabels.judging.prompting.judge_prompt import (
    OWN_ANSWER,
    JudgeExample,
    JudgePrompt,
    described_scale,
    value_schema,
)

ABSTAIN = "abstain"
"""Verdict of a criterion that cannot be judged, in replies without JSON."""


@dataclass(frozen=True)
class CriteriaPrompt(JudgePrompt):
    """Builds the conversations for a rubric with several criteria.

    Args:
        names: the requested criteria; empty for all of them.
    """

    names: tuple[str, ...] = ()

    @cached_property
    def alone(self) -> dict[str, CriteriaPrompt]:
        """The prompt for each criterion alone, by its name."""
        return {name: replace(self, names=(name,)) for name in self.rubric.parts}

    @property
    def requested(self) -> Sequence[str]:
        """The names of the requested criteria."""
        return self.names or tuple(self.rubric.parts)

    @cached_property
    def response_schema(self) -> dict[str, Any]:
        """JSON schema of the reply: every property is required, and null is the verdict of an undecidable criterion."""
        properties: dict[str, Any] = {"reason": {"type": "string"}} if self.rubric.reasoning else {}
        for name in self.requested:
            schema = value_schema(self.rubric.parts[name])
            properties[name] = {"type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    @property
    def _verdict_names(self) -> tuple[str, ...]:
        return tuple(self.rubric.parts)

    @property
    def _is_labeled(self) -> bool:
        return True

    def _reply(self, example: JudgeExample) -> str:
        verdicts = {name: example.verdicts[name] for name in self.requested}
        return super()._reply(replace(example, verdicts=verdicts))

    def _system_prompt(self, parts: tuple[str, ...]) -> str:
        if self.system is not None:
            return self.system
        return rendered(
            "hf_synthlabels.judging",
            "criteria.txt",
            instructions=" ".join(self.rubric.instructions.split()),
            criteria=[self._described(name) for name in self.requested],
            parts=parts,
            own_answer=OWN_ANSWER if OWN_ANSWER in parts else "",
            form=self._reply_format(),
        )

    def _described(self, name: str) -> dict[str, Any]:
        part = self.rubric.parts[name]
        return {
            "name": name,
            "instructions": " ".join(part.instructions.split()),
            "scale": described_scale(part),
            "choices": part.choices,
        }

    def _reply_format(self) -> str:
        names = list(self.requested)
        if self.as_json:
            each = "the verdict of each criterion" if len(names) > 1 else "the verdict"
            fields = {"reason": '"..."'} if self.rubric.reasoning else {}
            fields |= {name: "0" if self.rubric.parts[name].scale is not None else '"..."' for name in names}
            shape = ", ".join(f"{json.dumps(key)}: {content}" for key, content in fields.items())
            reason = "your reasoning in a few sentences, then " if self.rubric.reasoning else ""
            return (
                f"Answer with a JSON object {{{shape}}} that contains {reason}{each}, and nothing else. If a criterion "
                "cannot be judged, its verdict is null."
            )
        before = "First explain your reasoning in a few sentences. Then write" if self.rubric.reasoning else "Write"
        if len(names) == 1:
            what = f"a last line that starts with `{names[0]}:` and contains the verdict, and nothing else."
        else:
            shape = ", ".join(f"`{name}: ...`" for name in names)
            what = f"one line for each criterion with its verdict and nothing else: {shape}."
        return (
            f"{before} {what} Start no other line with the name of a criterion. If a criterion cannot be judged, its "
            f"verdict is {ABSTAIN}."
        )
