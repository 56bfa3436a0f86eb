"""How likely each label is, from the log-probabilities of an answer's tokens."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Token"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, as likely as the model thought it and its alternatives."""

    text: str
    logprob: float
    """Natural logarithm."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at this place, itself among them, each with its natural log-probability."""
