"""Weights in a GGUF file become a folder that a student starts from.

Models for laptops are handed around as GGUF files, whose weights have few bits. This makes them 32-bit numbers again
(what was rounded away stays away) and writes a folder that `students: {...: {model: ...}}` can name.

    pip install gguf
    python examples/gguf_student.py SmolLM2-135M-Instruct.Q4_1.gguf -o smollm2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(file: Path, folder: Path) -> int:
    """Write weights and tokenizer, and say how many weights there are."""
    place = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    # They are plain numbers now, which transformers only writes of a model that it does not take for a GGUF one.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
    return sum(weights.numel() for weights in model.parameters())


def main() -> None:
    """Read the file, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a GGUF file of a causal language model")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to write")
    options = parser.parse_args()
    if not options.file.is_file():
        parser.error(f"`file` is {str(options.file)!r}, where there is none. Name a GGUF file.")
    try:
        weights = convert(options.file, options.output)
    except (OSError, ValueError) as error:
        parser.error(f"`file` {str(options.file)!r} cannot be read: {error} Name a GGUF file of a language model.")
    print(f"{weights:,} weights: {options.output}")


if __name__ == "__main__":
    main()
