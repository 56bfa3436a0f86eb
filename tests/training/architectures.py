"""Configurations of tiny models of ten architectures, without dropout, which differs between batches and processes."""

from __future__ import annotations

from typing import Any

from transformers import (
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    PreTrainedConfig,
    Qwen3Config,
    RobertaConfig,
    XLNetConfig,
)

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}
ENCODER: dict[str, Any] = {**SHAPE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DISTILBERT: dict[str, Any] = {"n_layers": 1, "n_heads": 2, "dim": 16, "hidden_dim": 16, "max_position_embeddings": 64}
DISTILBERT |= {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}
XLNET: dict[str, Any] = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16, "dropout": 0.0}
ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
DECODER: dict[str, Any] = {**SHAPE, **ENDS, "num_key_value_heads": 1, "classifier_dropout": 0.0}

ARCHITECTURES: dict[str, tuple[Any, dict[str, Any]]] = {
    "bert": (BertConfig, ENCODER),
    "distilbert": (DistilBertConfig, DISTILBERT),
    "roberta": (RobertaConfig, ENCODER),
    "xlnet": (XLNetConfig, {**XLNET, "summary_last_dropout": 0.0}),
    "modernbert": (ModernBertConfig, {**SHAPE, **ENDS, "cls_token_id": 1, "sep_token_id": 2}),
    "electra": (ElectraConfig, {**ENCODER, "embedding_size": 8, "summary_last_dropout": 0.0}),
    "deberta": (DebertaV2Config, {**ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "mistral": (MistralConfig, DECODER),
    "llama": (LlamaConfig, DECODER),
    "qwen": (Qwen3Config, {**DECODER, "head_dim": 8}),
}


def configuration(name: str, **changes: Any) -> PreTrainedConfig:
    """A new configuration with a vocabulary of 40 tokens, of which token 0 is padding."""
    kind, shape = ARCHITECTURES[name]
    config: PreTrainedConfig = kind(**{"vocab_size": 40, "pad_token_id": 0, **shape, **changes})
    return config
