"""The card of a student model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard

from hf_synthlabels.cards import passages
from hf_synthlabels.cards.card_data import ModelFacts, StudyResult
from hf_synthlabels.cards.markdown import Markdown, code, rendered, table
from hf_synthlabels.cards.metadata import CARD_TEMPLATE, model_metadata

SOURCES = {
    "human": "human labels",
    "llm": "LLM labels",
    "validation": "the human labels of the validation rows",
}

TASK_TEXTS = {
    "text-classification": "The model assigns one of {n} labels to a text",
    "text-pair": "The model assigns one of {n} labels to a pair of texts",
    "multi-label": "The model assigns any number of {n} labels to a text",
    "text-scale": "The model rates a text with a number{scale}",
    "token-classification": "The model finds entities of {n} classes in a text",
    "question-answering": "The model answers a question with a span of its context",
    "text-generation": "The model generates a text",
}

MODEL_CLASSES = {"token-classification": "AutoPeftModelForTokenClassification"}
PIPELINES = {
    "text-classification": "text-classification",
    "text-pair": "text-classification",
    "token-classification": "token-classification",
}
"""Kinds whose labels the pipelines of transformers return unchanged."""


def model_card(facts: ModelFacts) -> str:
    """Render the README.md of a student model from recorded facts."""
    limitations = [] if facts.validation is None else passages.limitations(facts.validation)
    if not limitations and facts.study is not None:
        limitations = _low_scores(facts.study, facts.card.label_source)
    body = rendered(
        "model.md",
        facts=facts,
        passages=passages,
        title=facts.repo.rpartition("/")[2],
        task=_task(facts),
        heads=None if facts.heads is None else _heads(facts.heads),
        has_classes=_has_classes(facts),
        label_source=_label_source(facts),
        use=_use(facts),
        training=_training(facts),
        measured=bool(facts.validation or facts.study or facts.evaluation),
        metrics=_metrics(facts.metrics or {}),
        evaluation=[_evaluation(held_out) for held_out in facts.evaluation],
        study=None if facts.study is None else Markdown(_study_passage(facts.study)),
        limitations=limitations,
    )
    return str(ModelCard.from_template(model_metadata(facts), template_str=CARD_TEMPLATE, body=body))


def _has_classes(facts: ModelFacts) -> bool:
    """Return whether the outputs of the model are classes of one label."""
    without = ("text-scale", "question-answering", "text-generation")
    return bool(facts.names) and facts.heads is None and facts.kind not in without


def _task(facts: ModelFacts) -> str:
    if facts.heads is not None:
        return f"The model assigns labels of {len(facts.heads):,} variables to a text, with one head per variable"
    return TASK_TEXTS[facts.kind].format(n=f"{_n_classes(facts):,}", scale=_scale(facts.scale))


def _heads(heads: Mapping[str, Mapping[str, Any]]) -> Markdown:
    """Return the table of the heads; their outputs follow each other."""
    rows, start = [], 0
    for variable, head in heads.items():
        stop = start + len(head["names"])
        names = Markdown(", ".join(str(code(name)) for name in head["names"]))
        human = Markdown("none") if head.get("human") is None else code(head["human"])
        rows.append((code(variable), head["kind"], f"{start} to {stop - 1}", names, human))
        start = stop
    return table(("variable", "task", "outputs", "labels in order", "human labels"), rows)


def _study_passage(study: StudyResult) -> str:
    return rendered(
        "study.md",
        comparisons=[(comparison, passages.study_table(comparison)) for comparison in study.comparisons],
        references=[(entry["what"], f"{entry['value']:g}", entry["source"]) for entry in study.references],
    )


def _label_source(facts: ModelFacts) -> Markdown | str | None:
    if facts.heads is not None:
        return Markdown(f"the labels in columns {', '.join(str(code(name)) for name in facts.heads)}")
    if facts.card.label_source is None:
        return None
    return SOURCES.get(facts.card.label_source) or Markdown(f"the labels in column {code(facts.card.label_source)}")


def _n_classes(facts: ModelFacts) -> int:
    """Return the number of classes; the tags B- and I- of an entity count as one, and O does not count."""
    if facts.kind != "token-classification":
        return len(facts.names)
    return len({name.split("-", 1)[-1] for name in facts.names if name != "O"})


def _scale(scale: tuple[float, ...]) -> str:
    if not scale:
        return ""
    low, high, step = (*scale, 1.0)[:3]
    return f" from {low:g} to {high:g}" + (f" in steps of {step:g}" if step else "")


def _use(facts: ModelFacts) -> str:
    task = PIPELINES.get(facts.kind) if facts.heads is None else None
    if facts.adapter and task is not None:
        loader = MODEL_CLASSES.get(facts.kind, "AutoPeftModelForSequenceClassification")
        return (
            f"from peft import {loader}\n"
            "from transformers import AutoTokenizer\n\n"
            f'name = "{facts.repo}"\n'
            f"model = {loader}.from_pretrained(name, num_labels={len(facts.names)})\n"
            "tokenizer = AutoTokenizer.from_pretrained(name)\n"
            'logits = model(**tokenizer("a text", return_tensors="pt")).logits'
        )
    if task is None:
        # Pipelines do not support thresholds, scales and answer spans.
        columns = {
            "question-answering": '"question": ["a question"], "context": ["a text with its answer"]',
            "text-pair": '"text": ["one text"], "other": ["another"]',
        }
        rows = columns.get(facts.kind, '"text": ["a text"]')
        return (
            "from datasets import Dataset\n"
            "from hf_synthlabels.training import Student\n\n"
            f'student = Student.from_pretrained("{facts.repo}")\n'
            "# student.json lists the columns in `text_columns`.\n"
            f"rows = Dataset.from_dict({{{rows}}})\n" + _print_labels(facts)
        )
    example = '{"text": "one text", "text_pair": "another"}' if facts.kind == "text-pair" else '"a text"'
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("{task}", model="{facts.repo}")\n'
        f"print(classify({example}))"
    )


def _print_labels(facts: ModelFacts) -> str:
    if facts.heads is None:
        return "print(student.predict(rows).labels)"
    return (
        "for variable, prediction in student.predict_variables(rows).items():\n"
        "    print(variable, prediction.labels, prediction.confidence)"
    )


def _training(facts: ModelFacts) -> list[tuple[object, object]]:
    base: object = "not recorded" if facts.card.base_model is None else code(facts.card.base_model)
    if facts.card.base_revision is not None:
        base = Markdown(f"{base}, revision {code(facts.card.base_revision)}")
    data: object = "not published" if facts.card.dataset is None else code(facts.card.dataset)
    if facts.card.dataset is not None and facts.card.dataset_revision is not None:
        data = Markdown(f"{data}, revision {code(facts.card.dataset_revision)}")
    rows: list[tuple[object, object]] = [
        ("base model", base),
        ("label source", _label_source(facts) or "not recorded"),
        ("training dataset", data),
        *_options(facts.options or {}),
    ]
    return rows + ([] if facts.study is None else _environment(facts.study.environment))


def _options(options: Mapping[str, Any]) -> list[tuple[object, object]]:
    return [(code(key), code(str(value))) for key, value in options.items()]


def _environment(environment: Mapping[str, Any]) -> list[tuple[object, object]]:
    versions = ", ".join(f"{name} {version}" for name, version in environment.get("versions", {}).items())
    rows: list[tuple[object, object]] = [
        ("machine", f"{environment.get('machine', 'not recorded')}, Python {environment.get('python', '?')}")
    ]
    rows += [("versions", versions)] if versions else []
    return [*rows, ("finished", str(environment.get("finished_at", "not recorded")))]


def _evaluation(held_out: Mapping[str, Any]) -> Markdown:
    """Return the held-out scores against one label column."""
    title = "Agreement with the LLM labels" if held_out["llm"] else "Scores against the labels"
    rows = [
        (code(name), f"{score['estimate']:.3f} [{score['low']:.3f}, {score['high']:.3f}]", f"{score['n']:,}")
        for name, score in held_out["scores"].items()
    ]
    heading = f"{title} in {code(held_out['column'])}, on {held_out['rows']:,} held-out rows, with 95% intervals:"
    return Markdown(f"{heading}\n\n{table(('score', 'estimate', 'n'), rows, right=(1, 2))}")


def _metrics(metrics: Mapping[str, float]) -> Markdown | None:
    rows = [(code(name), f"{value:,.6g}") for name, value in metrics.items()]
    return table(("measure", "value"), rows, right=(1,)) if rows else None


def _low_scores(study: StudyResult, source: str | None) -> list[Markdown]:
    """Return the classes with the lowest F1 of the students of one label source."""
    lines = []
    for comparison in study.comparisons:
        for arm in (arm for arm in comparison.arms if arm.source == source):
            for each in sorted(arm.classes, key=lambda scores: scores.f1)[:3]:
                lines.append(
                    Markdown(
                        f"The student trained on {arm.description} has F1 {each.f1:.3f} on {code(each.name)} "
                        f"({each.support:,} test rows; precision {each.precision:.3f}, recall {each.recall:.3f}; "
                        f"means over {len(comparison.seeds)} seeds)."
                    )
                )
    return lines
