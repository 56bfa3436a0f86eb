"""Recorded facts and publisher input that cards are rendered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from hf_synthlabels.cards.publisher_fields import CardFields
from hf_synthlabels.statistics import Interval, ValidationReport

if TYPE_CHECKING:
    from datasets import Features


def published_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance record without the credentials in the server URL."""
    annotator = record.get("annotator")
    url = annotator.get("base_url") if isinstance(annotator, Mapping) else None
    if not isinstance(url, str) or "@" not in urlsplit(url).netloc:
        return dict(record)
    parts = urlsplit(url)
    public_url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return {**record, "annotator": {**dict(annotator or {}), "base_url": public_url}}


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Size and statuses of one split."""

    name: str
    rows: int
    num_bytes: int
    """Size in memory, as reported by `datasets`."""
    statuses: Mapping[str, Mapping[str, int]]
    """Number of rows by status for each label column."""


@dataclass(frozen=True, slots=True)
class VariableFacts:
    """One variable of a codebook."""

    column: str
    kind: str
    instructions: str = ""
    """Definition of the variable; empty if the recipe is not published."""
    labels: Mapping[str, str | None] = field(default_factory=dict)
    """Definition of each label, None without one."""
    condition: str | None = None
    """When the variable is coded; None for all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """Facts for the card of an annotated dataset."""

    repo: str
    """Repository ID on the Hub, `user/name`."""
    features: Features
    splits: tuple[SplitFacts, ...]
    card: CardFields
    records: tuple[Mapping[str, Any], ...] = ()
    """Provenance record of each label column."""
    variables: tuple[VariableFacts, ...] = ()
    """Variables of the codebook; none for a recipe with one label column."""
    judges: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Provenance of judges' scores, by the prefix of their columns and by split."""
    description: str = ""
    """Description of the dataset, which may contain the provenance."""
    validations: tuple[ValidationReport, ...] = ()
    """Validations of label columns against human labels."""
    gates: tuple[str, ...] = ()
    """Verdicts of the gates of several variables, one line for each."""
    prompt: str = ""
    """Complete system prompt; empty if none was sent or none is published."""
    human_rows: str | None = None
    """How the human-labeled rows were sampled and labeled, as stated by the publisher."""
    samples: tuple[Mapping[str, Any], ...] = ()
    """Records of `hf-synthlabels sample`: how rows were sampled for human annotation."""
    download_size: int = 0
    """Size of the data files in bytes."""
    recipe_file: str | None = None
    """Path of the recipe in the repository."""


class StudyArm(Protocol):
    """The students of one label source in a study."""

    @property
    def source(self) -> str:
        """Name of the label source in the study."""

    @property
    def description(self) -> str:
        """Description of the label source."""

    @property
    def n_rows(self) -> int:
        """Number of training rows."""

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""

    @property
    def scores(self) -> Mapping[str, Interval]:
        """Scores by name, over test rows and seeds."""

    @property
    def classes(self) -> Sequence[Any]:
        """Scores per class: name, precision, recall, f1, support."""


class StudyComparison(Protocol):
    """Students of human labels and of one annotator's labels, tested on the same rows."""

    @property
    def seeds(self) -> Sequence[int]:
        """Seeds of the students."""

    @property
    def n_test(self) -> int:
        """Number of human-labeled test rows."""

    @property
    def annotator(self) -> ValidationReport | None:
        """The annotator's labels on the test rows."""

    @property
    def arms(self) -> Sequence[StudyArm]:
        """Label sources with their students."""

    def summary(self) -> list[str]:
        """Return the conclusions as sentences."""


class StudyResult(Protocol):
    """Result of a study that compares human and LLM labels."""

    @property
    def name(self) -> str:
        """Name of the study."""

    @property
    def comparisons(self) -> Sequence[StudyComparison]:
        """Comparisons by task, student and annotator."""

    @property
    def references(self) -> Sequence[Mapping[str, Any]]:
        """Published reference values."""

    @property
    def environment(self) -> Mapping[str, Any]:
        """Machine, versions and date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Facts for the card of a student."""

    repo: str
    """Repository ID on the Hub, `user/name`."""
    names: tuple[str, ...]
    """Class names in the order of the model's outputs."""
    card: CardFields
    """With the base model and the label source that are recorded, if the publisher states none."""
    options: Mapping[str, Any] | None = None
    """Options that differ from the defaults."""
    metrics: Mapping[str, float] | None = None
    """Training metrics: `train_loss`, `train_steps`, `eval_accuracy`, ..."""
    records: tuple[Mapping[str, Any], ...] = ()
    """Provenance records of the training labels."""
    validation: ValidationReport | None = None
    """Validation of the model against human labels on held-out rows."""
    study: StudyResult | None = None
    kind: str = "text-classification"
    """Kind of label."""
    evaluation: tuple[Mapping[str, Any], ...] = ()
    """Held-out scores with intervals for each label column, as in student.json."""
    scale: tuple[float, ...] = ()
    """Lowest and highest number of a text-scale and, unless 1, its step."""
    adapter: bool = False
    """Whether the model is an adapter of its base model."""
    heads: Mapping[str, Mapping[str, Any]] | None = None
    """Kind and label names of each head of a multi-head student, by variable, in the order of the outputs."""
