from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, BertConfig, BertLMHeadModel

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training.tasks.generation import check_causal, check_isolation, packed_rows
from tests.tiny_models import tiny_model


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(1, 64), max_size=80))
def test_every_example_is_in_one_row_that_it_fits_into(lengths: list[int]) -> None:
    rows = packed_rows(lengths, 64)
    assert sorted(example for row in rows for example in row) == list(range(len(lengths)))
    assert all(sum(lengths[example] for example in row) <= 64 for row in rows)
    # No two rows could have been one: best fit leaves at most one row half empty.
    assert sum(sum(lengths[example] for example in row) <= 32 for row in rows) <= 1


def test_the_fullest_row_is_filled_first() -> None:
    # 7 and 6 begin rows of 10; 3 goes to the gap of 3, then 4 to the gap of 4.
    assert packed_rows([3, 7, 4, 6], 10) == [[1, 0], [3, 2]]


def test_decoders_keep_packed_examples_apart_without_a_cache_only(tmp_path: Path) -> None:
    for kind in ("llama", "mistral", "qwen2"):
        network = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path / kind, kind))
        check_causal(network)
        network.config.use_cache = False
        check_isolation(network)
        # The default outside of Trainer: a cache silently turns the detection of packed rows off. If this fails,
        # upstream separates packed rows with a cache too.
        network.config.use_cache = True
        with pytest.raises(TrainingError, match="`packing`"):
            check_isolation(network)
    # A model with learned positions passes by its outputs.
    gpt = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path / "gpt2", "gpt2"))
    gpt.config.use_cache = False
    check_causal(gpt)
    check_isolation(gpt)


def test_an_encoder_with_a_head_for_words_is_rejected() -> None:
    torch.manual_seed(0)
    shape = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(TrainingError, match="`model` is a BertLMHeadModel"):
        check_causal(BertLMHeadModel(BertConfig(**shape, intermediate_size=16, initializer_range=0.3)))
