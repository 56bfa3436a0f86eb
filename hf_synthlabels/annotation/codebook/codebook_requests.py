"""Requests of a codebook: which variables of a row are requested together, again alone, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hf_synthlabels.annotation.codebook.groups import Condition, Group, not_coded
from hf_synthlabels.annotation.codebook.joint_prompt import JointPrompt
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.row_inputs import RowText
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.task import TextLimits
from hf_synthlabels.annotation.run.annotator import InputRow, split_row, too_long
from hf_synthlabels.annotation.run.long_texts import combined_parts
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
    limits: TextLimits | None = None
    """How long a text may be; None for any length."""
    rules: Mapping[str, str] = field(default_factory=dict)
    """How the labels of a long text's parts become one; variables without a rule get no label."""

    @cached_property
    def groups_of_parts(self) -> tuple[Group, ...]:
        """The variables of each request for a part of a long text: those with a rule."""
        return tuple(tuple(name for name in group if name in self.rules) for group in self.groups)

    def split(self, row: InputRow) -> InputRow:
        """A row with its parts, if its text is too long."""
        return row if self.limits is None else split_row(row, self.limits, has_rule=bool(self.rules))

    def too_long(self) -> Annotation:
        """The annotation of a variable without a rule in a long text."""
        assert self.limits is not None
        return too_long(self.limits)

    def combined(self, name: str, row: InputRow, parts: Sequence[Annotation]) -> Annotation:
        """The annotation of a variable in a row from those in its parts."""
        if not row.parts:
            return parts[0]
        return combined_parts(self.alone[name].schema, self.rules[name], row.whole_text, row.parts, parts)

    def fingerprint(self) -> str:
        """The fingerprints of all prompts."""
        parts = [prompt.fingerprint() for prompt in self.alone.values()]
        return "-".join([*parts, *(prompt.fingerprint_text() for prompt in self.joint.values())])


@dataclass(frozen=True)
class CodebookRequests:
    """Rows as requests for their variables, and completions as samples of them; see `RowRequests`.

    Requests are numbered by sample: first those of the groups, then those of each variable alone; so again for each
    further part of a long text.
    """

    prompts: CodebookPrompts
    num_samples: int
    repeats: bool = True
    """Whether a variable without a label is requested again alone; a recorded answer would be the same."""
    rows_per_call: int = 1
    with_conditional: bool = False
    """Whether requests that depend on others are built as if all conditions held, as for a plan."""

    def first_places(self, row: InputRow) -> Sequence[int]:
        """The requests of the groups that depend on no other group."""
        if not row.parts:
            return self._first_of_whole
        first = self._first(self.prompts.groups_of_parts)
        return [place for part in range(len(row.parts)) for number in first for place in self._places(part, number)]

    def next_places(self, row: InputRow, replies: Mapping[int, Samples]) -> Sequence[int]:
        """Variables to request again, and the groups whose conditions are known now."""
        return self._resolve(row, replies)[1]

    def annotations(self, row: InputRow, replies: Mapping[int, Samples]) -> dict[str, Annotation]:
        """The annotation of each variable from all replies about a row."""
        # A finished row with one reply needs no other.
        is_whole = self._is_simple and len(replies) == 1 and not row.parts
        resolved = replies[0] if is_whole else self._resolve(row, replies)[0]
        return {name: resolved[name] for name in self.prompts.alone}

    def request(
        self,
        key: int,
        rows: Sequence[InputRow],
        place: int,
        replies: Mapping[int, Samples],  # noqa: ARG002
    ) -> Request:
        """The request of a group, or of a variable alone."""
        row, sample = rows[0], place % self.num_samples
        group, part = self._group(row, place)
        whole = row.text
        assert whole is not None
        if len(group) > 1:
            joint = self.prompts.joint[group]
            text = row.part_text(part, joint.form)
            # The order is that of the whole row, and the same in all its parts.
            ordered = joint.of_row(whole) if not row.parts else joint.of_row(whole).without(whole)
            messages = ordered.messages(text, row.examples)
            return Request(key, messages, sample, joint.response_schema, text.text, row.row)
        prompt = self.prompts.alone[group[0]]
        whole, text = self._alone_texts(row, prompt, part)
        own = prompt.of_row(whole) if not row.parts else prompt.of_row(whole).without(whole)
        messages = own.messages(text, self._own_examples(row, group[0]))
        return Request(key, messages, sample, prompt.response_schema, text.text, row.row)

    def read(self, rows: Sequence[InputRow], completion: Completion, place: int) -> Sequence[Samples]:
        """The sample of each variable of the request."""
        row = rows[0]
        group, part = self._group(row, place)
        if len(group) > 1:
            joint = self.prompts.joint[group]
            return [joint.read(completion, row.part_text(part, joint.form))]
        prompt = self.prompts.alone[group[0]]
        _, text = self._alone_texts(row, prompt, part)
        return [{group[0]: read_sample(prompt, completion, completion.text, text)}]

    def _alone_texts(self, row: InputRow, prompt: Prompt, part: int) -> tuple[RowText, RowText]:
        """What the prompt of a variable alone shows of a whole row, and of a part of it."""
        whole = prompt.form.read(row.row) or row.text
        assert whole is not None
        return whole, row.part_text(part, prompt.form) if row.parts else whole

    def _own_examples(self, row: InputRow, name: str) -> list[Example] | None:
        if row.examples is None:
            return None
        return [
            example.model_copy(update={"label": example.labels[name], "labels": {}})
            for example in row.examples
            if example.labels.get(name) is not None
        ]

    def _resolve(self, row: InputRow, replies: Mapping[int, Samples]) -> tuple[dict[str, Annotation], list[int]]:
        """The annotations that are final by now, and the requests that the others need."""
        only = replies.get(0) if self._is_simple and not row.parts else None
        if only is not None and REQUESTED_AGAIN.isdisjoint([annotation.status for annotation in only.values()]):
            return dict(only), []
        resolved: dict[str, Annotation] = {}
        by_part: dict[str, list[Annotation]] = {}
        places: dict[int, None] = {}
        for name, condition in self.prompts.conditions.items():
            if condition is not None:
                parent = resolved.get(condition.variable)
                if parent is None:
                    continue
                if not condition.holds(parent):
                    resolved[name] = not_coded(condition, parent)
                    continue
            if row.parts and name not in self.prompts.rules:
                resolved[name] = self.prompts.too_long()
                continue
            parents = None if condition is None else by_part.get(condition.variable)
            parts, missing = self._parts(row, name, condition, parents, replies)
            if missing:
                places |= dict.fromkeys(missing)
            else:
                by_part[name] = parts
                resolved[name] = self.prompts.combined(name, row, parts)
        return resolved, list(places)

    def _parts(
        self,
        row: InputRow,
        name: str,
        condition: Condition | None,
        parents: Sequence[Annotation] | None,
        replies: Mapping[int, Samples],
    ) -> tuple[list[Annotation], list[int]]:
        """The annotation of a variable in each part of a row, and the requests that are missing for them."""
        group = self._group_of[name]
        parts: list[Annotation] = []
        missing: list[int] = []
        for part in range(max(1, len(row.parts))):
            if condition is not None and parents is not None and not condition.holds(parents[part]):
                parts.append(not_coded(condition, parents[part]))
            elif (places := self._places(part, group))[0] not in replies:
                missing += places
            else:
                samples, again = self._samples(row, name, part, replies)
                missing += again
                if not again:
                    parts.append(combined_samples(self.prompts.alone[name].schema, samples))
        return parts, missing

    def _samples(
        self, row: InputRow, name: str, part: int, replies: Mapping[int, Samples]
    ) -> tuple[list[Annotation], list[int]]:
        """The samples of a variable, and the requests for those that have to be requested again."""
        group = self._group_of[name]
        is_joint = len(self._groups(row)[group]) > 1
        samples, missing = [], []
        alone = self._places(part, self._number_alone[name])
        for place, again in zip(self._places(part, group), alone, strict=True):
            annotation = replies[place][name]
            if is_joint and self.repeats and annotation.status in REQUESTED_AGAIN:
                if again in replies:
                    annotation = replies[again][name]
                else:
                    missing.append(again)
            samples.append(annotation)
        return samples, missing

    def _first(self, groups: Sequence[Group]) -> list[int]:
        """The numbers of the groups that depend on no other group."""
        is_first = [bool(group) and (self.with_conditional or not self._depends(group)) for group in groups]
        return [number for number, first in enumerate(is_first) if first]

    @cached_property
    def _first_of_whole(self) -> Sequence[int]:
        return [place for number in self._first(self.prompts.groups) for place in self._places(0, number)]

    def _depends(self, group: Group) -> bool:
        """Whether all variables of a group have a condition on a variable of another group."""
        conditions = [self.prompts.conditions[name] for name in group]
        return all(condition is not None and condition.variable not in group for condition in conditions)

    def _places(self, part: int, number: int) -> range:
        """The places of all samples of a request for a part."""
        start = (part * self._per_part + number) * self.num_samples
        return range(start, start + self.num_samples)

    def _group(self, row: InputRow, place: int) -> tuple[Group, int]:
        """The variables of a request, and the part that it is for."""
        part, number = divmod(place // self.num_samples, self._per_part)
        groups = self._groups(row)
        return (groups[number] if number < len(groups) else (self._names[number - len(groups)],)), part

    def _groups(self, row: InputRow) -> tuple[Group, ...]:
        return self.prompts.groups_of_parts if row.parts else self.prompts.groups

    @cached_property
    def _names(self) -> list[str]:
        return list(self.prompts.alone)

    @cached_property
    def _per_part(self) -> int:
        """The numbers of requests for one sample of a part."""
        return len(self.prompts.groups) + len(self.prompts.alone)

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
