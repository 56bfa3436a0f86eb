"""Requests of a codebook: which variables of a row are requested together, again alone, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hf_synthlabels.annotation.codebook.groups import Condition, Group
from hf_synthlabels.annotation.codebook.joint_prompt import JointPrompt
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.run.annotator import InputRow
from hf_synthlabels.annotation.run.samples import combined_samples, read_sample
from hf_synthlabels.clients import Completion, Request
from hf_synthlabels.labels import Annotation

Samples = Mapping[str, Annotation]
"""One sample of each variable of a request."""

REQUESTED_AGAIN = frozenset({"unparsed", "truncated"})
"""A variable of a joint answer with this status is requested again, alone."""


@dataclass(frozen=True)
class CodebookPrompts:
    """The prompts of a codebook: one for each group of variables, and one for each variable alone."""

    conditions: Mapping[str, Condition | None]
    """Of each variable, each after the variable that it depends on."""
    groups: tuple[Group, ...]
    joint: Mapping[Group, JointPrompt]
    """Of groups of several variables."""
    alone: Mapping[str, Prompt]

    def fingerprint(self) -> str:
        """The fingerprints of all prompts."""
        parts = [prompt.fingerprint() for prompt in self.alone.values()]
        return "-".join([*parts, *(prompt.fingerprint_text() for prompt in self.joint.values())])


@dataclass(frozen=True)
class CodebookRequests:
    """Rows as requests for their variables, and completions as samples of them; see `RowRequests`.

    Requests are numbered by sample: first those of the groups, then those of each variable alone.
    """

    prompts: CodebookPrompts
    num_samples: int
    repeats: bool = True
    """Whether a variable without a label is requested again alone; a recorded answer would be the same."""
    rows_per_call: int = 1
    with_conditional: bool = False
    """Whether requests that depend on others are built as if all conditions held, as for a plan."""

    @cached_property
    def first_places(self) -> Sequence[int]:
        """The requests of the groups that depend on no other group."""
        groups = enumerate(self.prompts.groups)
        first = [number for number, group in groups if self.with_conditional or not self._depends(group)]
        return [self._place(number, sample) for number in first for sample in range(self.num_samples)]

    def next_places(self, row: InputRow, replies: Mapping[int, Samples]) -> Sequence[int]:  # noqa: ARG002
        """Variables to request again, and the groups whose conditions are known now."""
        return self._resolve(replies)[1]

    def annotations(self, replies: Mapping[int, Samples]) -> dict[str, Annotation]:
        """The annotation of each variable from all replies about a row."""
        # A finished row with one reply needs no other.
        resolved = replies[0] if self._is_simple and len(replies) == 1 else self._resolve(replies)[0]
        return {name: resolved[name] for name in self.prompts.alone}

    def request(
        self,
        key: int,
        rows: Sequence[InputRow],
        place: int,
        replies: Mapping[int, Samples],  # noqa: ARG002
    ) -> Request:
        """The request of a group, or of a variable alone."""
        row = rows[0]
        number, sample = divmod(place, self.num_samples)
        group = self._names(number)
        if len(group) > 1:
            joint, text = self.prompts.joint[group], row.text
            assert text is not None
            messages = joint.messages(text, row.examples)
            return Request(key, messages, sample, joint.response_schema, text.text, row.row)
        prompt = self.prompts.alone[group[0]]
        text = prompt.form.read(row.row) or row.text
        assert text is not None
        messages = prompt.of_row(text).messages(text, self._own_examples(row, group[0]))
        return Request(key, messages, sample, prompt.response_schema, text.text, row.row)

    def read(self, rows: Sequence[InputRow], completion: Completion, place: int) -> Sequence[Samples]:
        """The sample of each variable of the request."""
        row = rows[0]
        group = self._names(place // self.num_samples)
        assert row.text is not None
        if len(group) > 1:
            return [self.prompts.joint[group].read(completion, row.text)]
        prompt = self.prompts.alone[group[0]]
        text = prompt.form.read(row.row) or row.text
        return [{group[0]: read_sample(prompt, completion, completion.text, text)}]

    def _own_examples(self, row: InputRow, name: str) -> list[Example] | None:
        if row.examples is None:
            return None
        return [
            example.model_copy(update={"label": example.labels[name], "labels": {}})
            for example in row.examples
            if example.labels.get(name) is not None
        ]

    def _resolve(self, replies: Mapping[int, Samples]) -> tuple[dict[str, Annotation], list[int]]:
        """The annotations that are final by now, and the requests that the others need."""
        only = replies.get(0) if self._is_simple else None
        if only is not None and REQUESTED_AGAIN.isdisjoint([annotation.status for annotation in only.values()]):
            return dict(only), []
        resolved: dict[str, Annotation] = {}
        places: dict[int, None] = {}
        for name, condition in self.prompts.conditions.items():
            if condition is not None:
                parent = resolved.get(condition.variable)
                if parent is None:
                    continue
                if not condition.holds(parent):
                    resolved[name] = not_coded(condition, parent)
                    continue
            group = self._group_of[name]
            if self._place(group, 0) not in replies:
                places |= dict.fromkeys(self._place(group, sample) for sample in range(self.num_samples))
                continue
            samples, missing = self._samples(name, group, replies)
            if missing:
                places |= dict.fromkeys(missing)
            else:
                resolved[name] = combined_samples(self.prompts.alone[name].schema, samples)
        return resolved, list(places)

    def _samples(self, name: str, group: int, replies: Mapping[int, Samples]) -> tuple[list[Annotation], list[int]]:
        """The samples of a variable, and the requests for those that have to be requested again."""
        is_joint = len(self.prompts.groups[group]) > 1
        samples, missing = [], []
        for sample in range(self.num_samples):
            annotation = replies[self._place(group, sample)][name]
            if is_joint and self.repeats and annotation.status in REQUESTED_AGAIN:
                again = self._place(self._number_alone[name], sample)
                if again in replies:
                    annotation = replies[again][name]
                else:
                    missing.append(again)
            samples.append(annotation)
        return samples, missing

    def _depends(self, group: Group) -> bool:
        """Whether all variables of a group have a condition on a variable of another group."""
        conditions = [self.prompts.conditions[name] for name in group]
        return all(condition is not None and condition.variable not in group for condition in conditions)

    def _place(self, number: int, sample: int) -> int:
        return number * self.num_samples + sample

    def _names(self, number: int) -> Group:
        groups = self.prompts.groups
        return groups[number] if number < len(groups) else (list(self.prompts.alone)[number - len(groups)],)

    @cached_property
    def _is_simple(self) -> bool:
        """Whether there is one request with one sample, and no condition."""
        has_conditions = any(condition is not None for condition in self.prompts.conditions.values())
        return len(self.prompts.groups) == 1 and self.num_samples == 1 and not has_conditions

    @cached_property
    def _group_of(self) -> dict[str, int]:
        return {name: number for number, group in enumerate(self.prompts.groups) for name in group}

    @cached_property
    def _number_alone(self) -> dict[str, int]:
        first = len(self.prompts.groups)
        return {name: first + number for number, name in enumerate(self.prompts.alone)}


def not_coded(condition: Condition, parent: Annotation) -> Annotation:
    """The annotation of a variable whose condition does not hold, or is unknown as the other variable has no label."""
    if parent.status in ("labelled", "abstained", "skipped"):
        return Annotation("skipped", reason=f"only coded if {condition}")
    return Annotation(parent.status, reason=f"`{condition.variable}` has no label: {parent.reason}")
