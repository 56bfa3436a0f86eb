"""Clients that answer requests: servers, local models, recorded answers and a test double; the response store."""

from hf_synthlabels.clients.base import ChatClient, Completion, Failure, FinishReason, Message, Request, Usage
from hf_synthlabels.clients.batch.client import BatchClient, cancel_batch, list_batches
from hf_synthlabels.clients.batch.pending_requests import BatchPolling
from hf_synthlabels.clients.embedding import EmbeddingClient
from hf_synthlabels.clients.local.client import TransformersClient
from hf_synthlabels.clients.openai.client import OpenAIClient
from hf_synthlabels.clients.prices import Price, list_price
from hf_synthlabels.clients.protocol.chat import ResponseFormat, Sampling
from hf_synthlabels.clients.recorded import RecordedClient
from hf_synthlabels.clients.scripted import ScriptedClient
from hf_synthlabels.clients.store.budget import BudgetTracker
from hf_synthlabels.clients.store.cached_client import CachedClient
from hf_synthlabels.clients.store.ledger import Run
from hf_synthlabels.clients.store.response_store import ResponseStore

__all__ = [
    "BatchClient",
    "BatchPolling",
    "BudgetTracker",
    "CachedClient",
    "ChatClient",
    "Completion",
    "EmbeddingClient",
    "Failure",
    "FinishReason",
    "Message",
    "OpenAIClient",
    "Price",
    "RecordedClient",
    "Request",
    "ResponseFormat",
    "ResponseStore",
    "Run",
    "Sampling",
    "ScriptedClient",
    "TransformersClient",
    "Usage",
    "cancel_batch",
    "list_batches",
    "list_price",
]
