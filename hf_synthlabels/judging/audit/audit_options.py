"""Options of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import BootstrapConfig


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Options of an audit.

    Raises:
        ConfigError: a threshold is not in [0, 1], or `criteria` is empty or has a name twice.
    """

    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    reference_format: str | None = None
    """Format of the wrong answers in `tfa_auc`; by default the first that occurs."""
    threshold: float = 0.5
    """Minimum score of an acceptable answer, for flips."""
    min_coverage: float = 0.95
    """Minimum proportion of scored rows for a task that the metric can score."""
    criteria: tuple[str, ...] | None = None
    """Criteria of a judged table, with `overall` for the overall score; by default all that have human scores."""

    def __post_init__(self) -> None:
        for name in ("threshold", "min_coverage"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` is {getattr(self, name)!r}: give a number from 0 to 1.")
        if self.criteria is not None and (not self.criteria or len(set(self.criteria)) < len(self.criteria)):
            raise ConfigError(f"`criteria` is {self.criteria!r}: name at least one criterion, and each once.")

    def chosen(self, available: Sequence[str]) -> list[str]:
        """The criteria to audit, of those with human scores.

        Raises:
            ConfigError: a chosen criterion has no human scores.
        """
        chosen = available if self.criteria is None else self.criteria
        if unknown := [name for name in chosen if name not in available]:
            raise ConfigError(
                f"`criteria` has {unknown[0]!r}, which has no column in `human`. Choose among: {', '.join(available)}."
            )
        return list(chosen)
