"""The card of a student, and the card of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_synthlabels.cards import passages
from hf_synthlabels.cards.card_data import ModelFacts, StudyResult
from hf_synthlabels.cards.markdown import Markdown, code, rendered, table
from hf_synthlabels.cards.metadata import model_metadata

SOURCES = {
    "human": "human labels",
    "llm": "labels that an LLM made",
    "validation": "a few human labels alone",
}


SAYS = {
    "text-classification": "It chooses one of {n} labels",
    "text-pair": "It chooses one of {n} labels for a pair of texts",
    "multi-label": "It chooses any number of {n} labels",
    "text-scale": "It gives a number{scale}",
    "token-classification": "It finds entities of {n} kinds in a text",
    "question-answering": "It answers a question with a span of its context",
    "text-generation": "It writes a text",
}

MODEL_CLASSES = {"token-classification": "AutoPeftModelForTokenClassification"}
PIPELINES = {
    "text-classification": "text-classification",
    "text-pair": "text-classification",
    "token-classification": "token-classification",
}
"""Kinds whose labels the pipelines of transformers give as they are."""


def model_card(facts: ModelFacts) -> str:
    """The README.md of a student: metadata and text, of recorded facts alone; equal facts, equal text.

    Raises:
        ConfigError: a language is no code.
    """
    weak = [] if facts.validation is None else passages.limits(facts.validation)
    if not weak and facts.study is not None:
        weak = _weak_arm(facts.study, facts.label_source)
    body = rendered(
        "model.md",
        title=facts.repo.rpartition("/")[2],
        summary=facts.summary,
        names=facts.names,
        says=SAYS[facts.kind].format(n=f"{_kinds(facts):,}", scale=_scale(facts.scale)),
        listed=bool(facts.names) and facts.kind not in ("text-scale", "question-answering", "text-generation"),
        source_words=_source(facts),
        use=_use(facts),
        made_from=_made_from(facts),
        records=facts.records,
        validation=facts.validation,
        metrics=_metrics(facts.metrics or {}),
        evaluation=[_evaluation(held_out) for held_out in facts.evaluation],
        study=None if facts.study is None else Markdown(_study_passage(facts.study)),
        weak=weak,
        licenses=facts.licenses,
        **_passages(),
    )
    return f"---\n{model_metadata(facts).to_yaml()}\n---\n\n{body}"


def study_card(study: StudyResult) -> str:
    """A study as Markdown, with every number of its summary; equal studies, equal text."""
    return rendered(
        "report.md",
        study=study,
        body=Markdown(_study_passage(study)),
        made_from=_options(study.student) + _environment(study.environment),
        weak=[*passages.limits(study.train_agreement), *_weak_arm(study, "llm")],
        **_passages(),
    )


def _passages() -> dict[str, Any]:
    return {
        "made": passages.made_table,
        "head": passages.score_heads,
        "agreement": passages.agreement_table,
        "classes": passages.class_table,
        "confusion": passages.confusion_table,
    }


def _study_passage(study: StudyResult) -> str:
    return rendered(
        "study.md",
        study=study,
        scores=passages.study_table(study),
        references=[(entry["what"], f"{entry['value']:g}", entry["source"]) for entry in study.references],
    )


def _source(facts: ModelFacts) -> Markdown | str | None:
    if facts.label_source is None:
        return None
    return SOURCES.get(facts.label_source) or Markdown(f"the labels in column {code(facts.label_source)}")


def _kinds(facts: ModelFacts) -> int:
    """How many labels there are; of entities the tags B- and I- are one, and O is none."""
    if facts.kind != "token-classification":
        return len(facts.names)
    return len({name.split("-", 1)[-1] for name in facts.names if name != "O"})


def _scale(scale: tuple[float, ...]) -> str:
    if not scale:
        return ""
    low, high, step = (*scale, 1.0)[:3]
    return f" from {low:g} to {high:g}" + (f" in steps of {step:g}" if step else "")


def _use(facts: ModelFacts) -> str:
    task = PIPELINES.get(facts.kind)
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
        # The pipelines know nothing of thresholds, scales and answers.
        columns = {
            "question-answering": '"question": ["a question"], "context": ["a text with its answer"]',
            "text-pair": '"text": ["one text"], "other": ["another"]',
        }
        rows = columns.get(facts.kind, '"text": ["a text"]')
        return (
            "from datasets import Dataset\n"
            "from hf_synthlabels.training import Student\n\n"
            f'student = Student.from_pretrained("{facts.repo}")\n'
            "# The columns are those of `text_columns` in student.json.\n"
            f"rows = Dataset.from_dict({{{rows}}})\n"
            "print(student.predict(rows).labels)"
        )
    given = '{"text": "one text", "text_pair": "another"}' if facts.pair else '"a text"'
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("{task}", model="{facts.repo}")\n'
        f"print(classify({given}))"
    )


def _made_from(facts: ModelFacts) -> list[tuple[object, object]]:
    base: object = "not recorded" if facts.base_model is None else code(facts.base_model)
    if facts.base_revision is not None:
        base = Markdown(f"{base}, revision {code(facts.base_revision)}")
    energy = "not measured" if facts.energy_kwh is None else f"{facts.energy_kwh:.4g} kWh"
    data: object = "not published" if facts.dataset is None else code(facts.dataset)
    if facts.dataset is not None and facts.dataset_revision is not None:
        data = Markdown(f"{data}, revision {code(facts.dataset_revision)}")
    rows: list[tuple[object, object]] = [
        ("base model", base),
        ("label source", _source(facts) or "not recorded"),
        ("training rows", data),
        *_options(facts.options or {}),
        ("energy of the training", energy),
    ]
    # Seconds and machine of the study that it comes from.
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
    """The scores against one column of labels."""
    of = "Agreement with the LLM labels" if held_out["llm"] else "Against the labels"
    rows = [
        (code(name), f"{score['estimate']:.3f} [{score['low']:.3f}, {score['high']:.3f}]", f"{score['n']:,}")
        for name, score in held_out["scores"].items()
    ]
    title = f"{of} in {code(held_out['column'])}, on {held_out['rows']:,} held-out rows, with 95% intervals:"
    return Markdown(f"{title}\n\n{table(('score', 'estimate', 'n'), rows, right=(1, 2))}")


def _metrics(metrics: Mapping[str, float]) -> Markdown | None:
    rows = [(code(name), f"{value:,.6g}") for name, value in metrics.items()]
    return table(("measure", "value"), rows, right=(1,)) if rows else None


def _weak_arm(study: StudyResult, source: str | None) -> list[Markdown]:
    """The labels that the students of one source find least often."""
    found = []
    for arm in study.arms:
        if arm.source == source:
            for each in sorted(arm.classes, key=lambda one: one.f1)[:3]:
                found.append(
                    Markdown(
                        f"The student of {arm.description} reaches F1 {each.f1:.3f} on {code(each.name)} "
                        f"({each.support:,} test rows; precision {each.precision:.3f}, recall {each.recall:.3f}; "
                        f"means over {len(study.seeds)} seeds)."
                    )
                )
    return found
