"""Who answers: servers, models in this process, answers already made, a test double; and the response store."""

from hf_synthlabels.clients.base import (
    ChatClient,
    Completion,
    Failure,
    FinishReason,
    Message,
    Request,
    Usage,
)
from hf_synthlabels.clients.batch import BatchClient, cancel_batch, list_batches
from hf_synthlabels.clients.batch_intent import Intent
from hf_synthlabels.clients.batch_job import BatchPace
from hf_synthlabels.clients.cached import CachedClient, RequestKeys
from hf_synthlabels.clients.chat import ResponseFormat, Sampling, chat_identity
from hf_synthlabels.clients.embedding import EmbeddingClient, sentence_encoder
from hf_synthlabels.clients.ledger import Run
from hf_synthlabels.clients.limiter import Limiter
from hf_synthlabels.clients.local import TransformersClient, scored_answers
from hf_synthlabels.clients.models import model_path
from hf_synthlabels.clients.openai import DEFAULT_BASE_URL, OpenAIClient
from hf_synthlabels.clients.prices import Price, list_price
from hf_synthlabels.clients.probe import probed_format, recorded_format
from hf_synthlabels.clients.recorded import RecordedClient
from hf_synthlabels.clients.scripted import ScriptedClient
from hf_synthlabels.clients.spending import Meter
from hf_synthlabels.clients.store import ResponseStore, canonical_hash
from hf_synthlabels.clients.tokens import estimate_message_tokens, estimate_tokens
from hf_synthlabels.clients.transport import read_key

__all__ = [
    "DEFAULT_BASE_URL",
    "BatchClient",
    "BatchPace",
    "CachedClient",
    "ChatClient",
    "Completion",
    "EmbeddingClient",
    "Failure",
    "FinishReason",
    "Intent",
    "Limiter",
    "Message",
    "Meter",
    "OpenAIClient",
    "Price",
    "RecordedClient",
    "Request",
    "RequestKeys",
    "ResponseFormat",
    "ResponseStore",
    "Run",
    "Sampling",
    "ScriptedClient",
    "TransformersClient",
    "Usage",
    "cancel_batch",
    "canonical_hash",
    "chat_identity",
    "estimate_message_tokens",
    "estimate_tokens",
    "list_batches",
    "list_price",
    "model_path",
    "probed_format",
    "read_key",
    "recorded_format",
    "scored_answers",
    "sentence_encoder",
]
