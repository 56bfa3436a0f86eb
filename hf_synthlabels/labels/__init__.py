"""Labels: their schema and values, parsers for answers, and aggregation of several answers."""

from hf_synthlabels.labels.aggregation import aggregate
from hf_synthlabels.labels.annotation import STATUSES, Annotation, Status
from hf_synthlabels.labels.parsing.answer import Answer
from hf_synthlabels.labels.parsing.bio import bio_tags, from_bio, to_bio, token_offsets
from hf_synthlabels.labels.parsing.parser import PARSER_VERSION, parse
from hf_synthlabels.labels.parsing.probabilities import Token, label_probabilities
from hf_synthlabels.labels.parsing.spans import Projection, project
from hf_synthlabels.labels.schema import KINDS, Kind, LabelSchema, Scale
from hf_synthlabels.labels.values import Entity, Label, Span, answer_text, decode, encode

__all__ = [
    "KINDS",
    "PARSER_VERSION",
    "STATUSES",
    "Annotation",
    "Answer",
    "Entity",
    "Kind",
    "Label",
    "LabelSchema",
    "Projection",
    "Scale",
    "Span",
    "Status",
    "Token",
    "aggregate",
    "answer_text",
    "bio_tags",
    "decode",
    "encode",
    "from_bio",
    "label_probabilities",
    "parse",
    "project",
    "to_bio",
    "token_offsets",
]
