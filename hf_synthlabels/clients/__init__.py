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
from hf_synthlabels.clients.batch.batch_record import BatchRecord
from hf_synthlabels.clients.batch.client import BatchClient, cancel_batch, list_batches
from hf_synthlabels.clients.batch.context import BatchPolling
from hf_synthlabels.clients.embedding import EmbeddingClient, sentence_encoder
from hf_synthlabels.clients.local.client import TransformersClient, scored_answers
from hf_synthlabels.clients.local.model_files import model_path
from hf_synthlabels.clients.openai.client import DEFAULT_BASE_URL, OpenAIClient
from hf_synthlabels.clients.openai.rate_limits import Limiter
from hf_synthlabels.clients.openai.transport import read_key
from hf_synthlabels.clients.prices import Price, list_price
from hf_synthlabels.clients.protocol.chat import ResponseFormat, Sampling, chat_identity
from hf_synthlabels.clients.protocol.response_format import probed_format, recorded_format
from hf_synthlabels.clients.recorded import RecordedClient
from hf_synthlabels.clients.scripted import ScriptedClient
from hf_synthlabels.clients.store.budget import BudgetTracker
from hf_synthlabels.clients.store.cached_client import CachedClient, RequestKeys
from hf_synthlabels.clients.store.ledger import Run
from hf_synthlabels.clients.store.response_store import ResponseStore, canonical_hash
from hf_synthlabels.clients.token_estimates import estimate_message_tokens, estimate_tokens

__all__ = [
    "DEFAULT_BASE_URL",
    "BatchClient",
    "BatchPolling",
    "BatchRecord",
    "BudgetTracker",
    "CachedClient",
    "ChatClient",
    "Completion",
    "EmbeddingClient",
    "Failure",
    "FinishReason",
    "Limiter",
    "Message",
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
