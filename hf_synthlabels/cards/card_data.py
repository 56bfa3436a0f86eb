"""What a card is made of: recorded facts, and what only the publisher can know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from hf_synthlabels.cards.licenses import Licenses
from hf_synthlabels.statistics import Interval, ValidationReport

if TYPE_CHECKING:
    from datasets import Features


def published_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a label column without a name and a password in the address of a server."""
    annotator = record.get("annotator")
    address = annotator.get("base_url") if isinstance(annotator, Mapping) else None
    if not isinstance(address, str) or "@" not in urlsplit(address).netloc:
        return dict(record)
    parts = urlsplit(address)
    clean = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return {**record, "annotator": {**dict(annotator or {}), "base_url": clean}}


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """One split, counted."""

    name: str
    rows: int
    num_bytes: int
    """In memory, as `datasets` counts them."""
    statuses: Mapping[str, Mapping[str, int]]
    """For each label column its rows by status."""


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What the annotator was told."""

    system: str
    """The system prompt as it was sent: instructions, labels with their definitions, guideline, form of the answer."""
    guidelines: str
    """The guideline alone; empty where there was none."""
    examples: int
    """Few-shot examples that were shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """Of an annotated data set."""

    repo: str
    """Its name on the Hub, `user/name`."""
    features: Features
    splits: tuple[SplitFacts, ...]
    licenses: Licenses
    records: tuple[Mapping[str, Any], ...] = ()
    """The provenance: how each label column was made."""
    description: str = ""
    """The data set's own description, with the provenance in it as `datasets` carries it."""
    validations: tuple[ValidationReport, ...] = ()
    """Label columns against human ones."""
    prompt: PromptFacts | None = None
    human_rows: str | None = None
    """How the human-labelled rows were drawn and labelled, in the publisher's words."""
    samples: tuple[Mapping[str, Any], ...] = ()
    """The records of how rows were drawn for people to label, as `hf-synthlabels sample` keeps them."""
    summary: str | None = None
    """What the data set is, in the publisher's words."""
    language: tuple[str, ...] = ()
    """Codes of ISO 639, where the publisher says them."""
    download_size: int = 0
    """Bytes of the data files."""
    recipe_file: str | None = None
    """Where in the repository the recipe stands."""


class StudyArm(Protocol):
    """One source of labels and its students, as a study reports it."""

    @property
    def source(self) -> str:
        """`human`, `llm` or `validation`."""

    @property
    def description(self) -> str:
        """In words."""

    @property
    def n_rows(self) -> int:
        """Rows that it was trained on."""

    @property
    def steps(self) -> int:
        """Of the optimizer."""

    @property
    def scores(self) -> Mapping[str, Interval]:
        """By name, over test rows and seeds."""

    @property
    def classes(self) -> Sequence[Any]:
        """One label's scores each: name, precision, recall, f1, support."""

    @property
    def label_usd(self) -> float | None:
        """What the labels cost."""

    @property
    def train_s(self) -> float:
        """Mean seconds of one training."""


class StudyResult(Protocol):
    """Human labels against LLM labels, as a study reports it."""

    @property
    def name(self) -> str:
        """Of the study."""

    @property
    def names(self) -> Sequence[str]:
        """Label names."""

    @property
    def seeds(self) -> Sequence[int]:
        """Of the students."""

    @property
    def n_train(self) -> int:
        """Training rows."""

    @property
    def n_test(self) -> int:
        """Human-labelled test rows."""

    @property
    def n_shared_texts(self) -> int:
        """Test rows whose text occurs among the training rows, too."""

    @property
    def validation(self) -> ValidationReport:
        """The LLM labels against the human labels of the validation rows."""

    @property
    def train_agreement(self) -> ValidationReport:
        """The LLM labels against the human labels of the training rows."""

    @property
    def annotator(self) -> ValidationReport:
        """The annotator's own labels on the test rows."""

    @property
    def arms(self) -> Sequence[StudyArm]:
        """The sources of labels."""

    @property
    def ratio(self) -> Mapping[str, Interval]:
        """LLM-trained over human-trained, by score."""

    @property
    def student(self) -> Mapping[str, Any]:
        """The options of the students."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the LLM labels were made."""

    @property
    def references(self) -> Sequence[Mapping[str, Any]]:
        """Numbers from elsewhere."""

    @property
    def environment(self) -> Mapping[str, Any]:
        """Machine, versions, date and minutes."""

    def summary(self) -> list[str]:
        """What the numbers say, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Of a student."""

    repo: str
    """Its name on the Hub, `user/name`."""
    names: tuple[str, ...]
    """Label names in the order of its outputs."""
    licenses: Licenses
    base_model: str | None = None
    """A Hub id, a package or a folder's name; None where nobody recorded it."""
    base_revision: str | None = None
    label_source: str | None = None
    """Whose labels it was trained on: the label column, or `human`, `llm`, `validation` of a study."""
    options: Mapping[str, Any] | None = None
    """The student's configuration, where it differs from the usual."""
    metrics: Mapping[str, float] | None = None
    """What the training measured: `train_loss`, `train_steps`, `eval_accuracy`, ..."""
    records: tuple[Mapping[str, Any], ...] = ()
    """How the labels that it was trained on were made."""
    validation: ValidationReport | None = None
    """Its labels against human ones, on rows that it was not trained on."""
    study: StudyResult | None = None
    dataset: str | None = None
    """The Hub id of the data set of the training rows, if it is published."""
    dataset_revision: str | None = None
    energy_kwh: float | None = None
    """Of the training, where it was measured."""
    widget: tuple[str, ...] = ()
    """Texts to try, given by the publisher: rows are not shown unasked."""
    summary: str | None = None
    language: tuple[str, ...] = ()
    kind: str = "text-classification"
    """Of label: what it says of a text."""
    pair: bool = False
    """Whether it reads two texts."""
    evaluation: tuple[Mapping[str, Any], ...] = ()
    """Scores on held-out rows with intervals, for each column of labels, as student.json has them."""
    scale: tuple[float, ...] = ()
    """Of a text-scale: the lowest number, the highest and, if it is not 1, the step."""
    adapter: bool = False
    """Whether it is an adapter of its base model, which is loaded with it."""
