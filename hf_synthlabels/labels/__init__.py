"""What a label is: its schema, how an answer is read into it, how several answers become one."""

from hf_synthlabels.labels.aggregation import Vote, aggregate
from hf_synthlabels.labels.annotation import STATUSES, Annotation, Status
from hf_synthlabels.labels.likelihood import Token
from hf_synthlabels.labels.parsing import PARSER_VERSION, Answer, parse
from hf_synthlabels.labels.schema import KINDS, Kind, LabelSchema, Scale

__all__ = [
    "KINDS",
    "PARSER_VERSION",
    "STATUSES",
    "Annotation",
    "Answer",
    "Kind",
    "LabelSchema",
    "Scale",
    "Status",
    "Token",
    "Vote",
    "aggregate",
    "parse",
]
