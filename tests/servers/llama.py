"""llama.cpp's own server over a tiny Llama of transformers; run as a program, it ends with its standard input.

python tests/servers/llama.py FOLDER PORT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""What transformers and llama.cpp call the same weights."""


def write_gguf(folder: Path, path: Path) -> None:
    """The weights and the tokenizer of a Llama's folder, in llama.cpp's format."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads["q_proj"])
    writer.add_head_count_kv(heads["k_proj"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads["q_proj"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    write_tokenizer(writer, folder)
    for name, tensor in load_file(folder / "model.safetensors").items():
        weights = tensor.astype(np.float32)
        if name in NAMES:
            writer.add_tensor(NAMES[name], weights)
            continue
        _, _, layer, *rest = name.removesuffix(".weight").split(".")
        if rest[-1] in heads:
            # The two keep the halves of a rotated pair in another order.
            parts = weights.reshape(heads[rest[-1]], 2, -1, weights.shape[1])
            weights = parts.swapaxes(1, 2).reshape(weights.shape)
        writer.add_tensor(f"blk.{layer}.{PARTS['.'.join(rest)]}.weight", np.ascontiguousarray(weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tokenizer(writer: Any, folder: Path) -> None:
    """Byte-level BPE, as tests/tiny_models.py trains it."""
    import gguf

    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    control = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if token in control else kinds.NORMAL for token in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(control["<s>"])
    writer.add_eos_token_id(control["<|im_end|>"])
    writer.add_pad_token_id(control["<pad>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())


def main(folder: str, port: str) -> None:
    """Serve until standard input is closed."""
    import xllamacpp

    path = Path(folder) / "model.gguf"
    write_gguf(Path(folder), path)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.model_alias = {"tiny"}
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.n_ctx, settings.n_parallel = 4096, 4
    settings.cpuparams.n_threads = 1
    server = xllamacpp.Server(settings)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main(*sys.argv[1:])
