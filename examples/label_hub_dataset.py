# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hf-jobs]
# secrets = ["HF_TOKEN", "OPENAI_API_KEY"]
# ///
"""Label a data set on the Hub with an LLM, and publish it with its card; for `hf jobs uv run` or any machine.

The package is not on an index: `--with` names its wheel. See "On HF Jobs" in docs/publishing.md.

    uv run --with hf_synthlabels-0.1.0-py3-none-any.whl examples/label_hub_dataset.py me/tickets me/tickets-labeled \
        --labels billing,delivery,account --model gpt-4.1-nano --budget-usd 5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    # Loaded after the options are checked: the libraries take seconds.
    from hf_synthlabels.cards import CardFields
    from hf_synthlabels.publishing import AnnotatedData, dataset_upload, push
    from hf_synthlabels.publishing.labeled_data import annotation_summary

    card = CardFields(license=options.license, llm_terms=options.llm_terms)
    with TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        # JSON is YAML.
        recipe.write_text(json.dumps(_recipe(options), indent=1), encoding="utf-8")
        annotated = AnnotatedData.open(str(recipe))
        print(annotation_summary(annotated.splits), flush=True)
        upload = dataset_upload(annotated, options.output, Path(folder) / "upload", card=card)
        print(push(upload, private=not options.public))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Label a data set on the Hub with an LLM, and publish the result.")
    parser.add_argument("input", help="Data set to label: user/name.")
    parser.add_argument("output", help="Data set to publish: user/name.")
    parser.add_argument("--labels", required=True, help="Labels, separated by commas.")
    parser.add_argument("--instructions", default="Which label fits the text?", help="Question about each text.")
    parser.add_argument("--text", default="text", help="Text column.")
    parser.add_argument("--human", help="Column with human labels; the card reports the agreement with them.")
    parser.add_argument("--split", help="Split to label (default: all).")
    parser.add_argument("--model", required=True, help="Model, as named by the server.")
    parser.add_argument("--base-url", help="Base URL of an OpenAI-compatible server (default: OpenAI).")
    parser.add_argument("--api-key-env", default="OPENAI_API_KEY", help="Environment variable of the key; '' for none.")
    parser.add_argument("--budget-usd", type=float, help="Budget of all runs together, in US dollars.")
    parser.add_argument("--price", type=float, nargs=2, metavar=("INPUT", "OUTPUT"), help="US dollars per 1M tokens.")
    parser.add_argument("--license", default="unknown", help="License identifier of the published data set.")
    parser.add_argument("--llm-terms", default="unknown", help="Terms of the LLM provider for its outputs, in words.")
    parser.add_argument("--public", action="store_true", help="Create a public repository (default: private).")
    return parser


def _recipe(options: argparse.Namespace) -> dict[str, Any]:
    source = {"path": options.input, "split": options.split}
    task = {
        "kind": "text-classification",
        "text": options.text,
        "instructions": options.instructions,
        "labels": [label.strip() for label in options.labels.split(",")],
        "human": options.human,
    }
    annotator = {
        "client": "openai",
        "model": options.model,
        "base_url": options.base_url,
        "budget_usd": options.budget_usd,
        "price": options.price and dict(zip(("input_usd_per_mtok", "output_usd_per_mtok"), options.price, strict=True)),
    }
    sections = {"source": source, "task": task, "annotator": annotator}
    given = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in sections.items()}
    # A server on this machine needs no key.
    given["annotator"]["api_key_env"] = options.api_key_env or None
    return {"name": options.output.rpartition("/")[2], **given}


if __name__ == "__main__":
    main()
