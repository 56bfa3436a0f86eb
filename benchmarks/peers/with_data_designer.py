"""data-designer: one structured column over a seed data set, with its limits lifted and its port closed."""

from __future__ import annotations

from typing import Any

from measured import LABELS, SYSTEM, arguments, count_right, measured, text_of

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": list(LABELS)}},
    "required": ["label"],
}


def main() -> None:
    told = arguments()

    import pandas
    from data_designer.config import (
        ChatCompletionInferenceParams,
        DataDesignerConfigBuilder,
        DataFrameSeedSource,
        LLMStructuredColumnConfig,
        ModelConfig,
        ModelProvider,
        RunConfig,
    )
    from data_designer.interface import DataDesigner

    rows = pandas.DataFrame({"text": [text_of(number) for number in range(told.rows)]})
    provider = ModelProvider(name="here", endpoint=told.base_url, provider_type="openai", api_key="none")
    model = ModelConfig(
        alias="labeler",
        model="bench-1",
        provider="here",
        inference_parameters=ChatCompletionInferenceParams(temperature=0.0, max_parallel_requests=told.in_flight),
        skip_health_check=True,
    )

    def labelled() -> Any:
        builder = DataDesignerConfigBuilder(model_configs=[model])
        builder.with_seed_dataset(DataFrameSeedSource(df=rows))
        column = LLMStructuredColumnConfig(
            name="answer",
            model_alias="labeler",
            system_prompt=SYSTEM,
            prompt="<text>\n{{ text }}\n</text>",
            output_format=SCHEMA,
        )
        builder.add_column(column)
        designer = DataDesigner(artifact_path=told.folder, model_providers=[provider])
        designer.set_run_config(RunConfig(otel_metrics_port=None))
        return designer.create(builder, num_records=told.rows).load_dataset()

    measured(lambda: count_right(answer["label"] for answer in labelled().sort_values("text")["answer"]))


if __name__ == "__main__":
    main()
