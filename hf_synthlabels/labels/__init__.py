"""What a label is: its schema, how an answer is read into it, how several answers become one."""

from hf_synthlabels.labels.aggregation import Vote, aggregate
from hf_synthlabels.labels.annotation import STATUSES, Annotation, Status
from hf_synthlabels.labels.parsing.answer import Answer
from hf_synthlabels.labels.parsing.bio import bio_tags, from_bio, to_bio, token_offsets
from hf_synthlabels.labels.parsing.names import read_name
from hf_synthlabels.labels.parsing.parser import PARSER_VERSION, parse, plain_answer
from hf_synthlabels.labels.parsing.probabilities import Token, label_probabilities
from hf_synthlabels.labels.parsing.spans import Projection, project
from hf_synthlabels.labels.row_answers import numbered_items, split_row_answers
from hf_synthlabels.labels.schema import KINDS, Kind, LabelSchema, Scale
from hf_synthlabels.labels.spelling import (
    folded_name,
    normalize_spelling,
    spelling_note,
    spelling_variants,
    unknown_labels,
)
from hf_synthlabels.labels.text import normalized_words
from hf_synthlabels.labels.values import (
    Entity,
    Label,
    Span,
    answer_text,
    class_of_number,
    decode,
    encode,
    is_multi_hot,
)

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
    "Vote",
    "aggregate",
    "answer_text",
    "bio_tags",
    "class_of_number",
    "decode",
    "encode",
    "folded_name",
    "from_bio",
    "is_multi_hot",
    "label_probabilities",
    "normalize_spelling",
    "normalized_words",
    "numbered_items",
    "parse",
    "plain_answer",
    "project",
    "read_name",
    "spelling_note",
    "spelling_variants",
    "split_row_answers",
    "to_bio",
    "token_offsets",
    "unknown_labels",
]
