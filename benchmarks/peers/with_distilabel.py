"""distilabel: `TextClassification` with batches as large as the requests in flight; its cache is on, as always."""

from __future__ import annotations

from typing import Any

from measured import LABELS, SYSTEM, arguments, count_right, measured, text_of


def main() -> None:
    told = arguments()

    from datasets import Dataset
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps.tasks import TextClassification

    rows = Dataset.from_dict({"text": [text_of(number) for number in range(told.rows)]})

    def labelled() -> Any:
        with Pipeline(name="benchmark", cache_dir=told.folder) as pipeline:
            TextClassification(
                llm=OpenAILLM(
                    model="bench-1",
                    base_url=told.base_url,
                    api_key="none",
                    generation_kwargs={"temperature": 0.0, "response_format": {"type": "json_object"}},
                ),
                context=SYSTEM,
                available_labels=list(LABELS),
                use_default_structured_output=False,
                input_batch_size=told.in_flight,
            )
        return pipeline.run(dataset=rows, dataset_batch_size=told.in_flight)["default"]["train"]

    measured(lambda: count_right(labelled()["labels"]))


if __name__ == "__main__":
    main()
