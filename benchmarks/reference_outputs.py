"""Reference outputs of labels and statistics, and what all parts of benchmarks/reference.py share.

The inputs are fixed in reference.yaml.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import Dataset

from hf_synthlabels import annotate, provenance, statistics, validate
from hf_synthlabels.annotation import Codebook, read_codebook
from hf_synthlabels.clients import Completion, Failure, Request, ScriptedClient
from hf_synthlabels.statistics.agreement.icc import icc_bootstrap
from hf_synthlabels.statistics.comparison.conditions import compare_conditions
from hf_synthlabels.statistics.design.human_sample import DESIGNS
from hf_synthlabels.statistics.estimation.calibration import cross_fit
from hf_synthlabels.statistics.estimation.rogan_gladen import rogan_gladen
from tests.tiny_models import tiny_model

__all__ = [
    "FEW",
    "INPUTS",
    "ROOT",
    "Files",
    "asked",
    "estimates",
    "kinds",
    "numbers",
    "plain",
    "recipes",
    "reports",
    "toy_recipe",
    "toy_rows",
]

Files = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
INPUTS = yaml.safe_load(Path(__file__).with_name("reference.yaml").read_text(encoding="utf-8"))
FEW = statistics.BootstrapConfig(resamples=200)
VOLATILE = re.compile(r"(^|_)(s|seconds|minutes|wh|finished_at|environment|package_version|s_per_row)$")
DATE = "2026-01-01T00:00:00+00:00"


def plain(value: Any, mask: bool = False) -> Any:
    """The value as JSON content with 12 significant digits; times and what names the machine are masked."""
    for method in ("to_dict", "as_dict"):
        if hasattr(value, method):
            return plain(getattr(value, method)())
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item, mask or bool(VOLATILE.search(str(key)))) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item, mask) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if mask and isinstance(value, str | int | float):
        return DATE if isinstance(value, str) else 1.0
    if isinstance(value, float):
        return float(f"{value:.12g}") + 0.0 if math.isfinite(value) else str(value)
    return value if isinstance(value, str | int | bool | None) else str(value)


def toy_rows(count: int) -> list[dict[str, Any]]:
    """Rows whose words tell the label, with the answers of a good, a poor and a sampled annotator."""
    draw, rows, names = random.Random(3), [], ("film", "sport")
    for row in range(count):
        label, other = names[row % 2], names[1 - row % 2]
        words = [*draw.choices(["the", "a", "of", "and", "in", "with"], k=draw.randint(2, 9)), *[label] * 2]
        draw.shuffle(words)
        good = None if row % 11 == 10 else other if row % 7 == 4 else label
        poor, samples = draw.choice(names), [good or other, label, draw.choice(names)]
        text = f"{' '.join(words)} {row}"
        rows.append({"text": text, "label": label, "good": good, "poor": poor, "samples": samples, "p": [0.8, 0.2]})
        rows[-1] |= {"p": [0.8, 0.2] if poor == "film" else [0.3, 0.7], "c": 0.5 + row % 3 / 6}
    return rows


def toy_recipe(**parts: Any) -> dict[str, Any]:
    """A recipe of the rows; its annotator is the column `good` unless the parts say otherwise."""
    task = {"kind": "text-classification", "labels": ["film", "sport"], **parts.pop("task", {"human": "label"})}
    source = {"path": "json", "data_files": {"train": "rows.jsonl"}}
    annotator = {"client": "recorded", "column": "good"}
    output = {"column": "llm", "probabilities": task["kind"] == "text-classification"}
    return {"name": "toy", "source": source, "task": task, "annotator": annotator, "output": output, **parts}


def asked(requests: list[Request]) -> str:
    """Requests as text: every message, and the schema of the answer."""
    parts = []
    for request in requests:
        parts += [f"### {message.role}\n{message.content}" for message in request.messages]
        parts.append(f"### answer\n{json.dumps(request.response_schema, indent=1, sort_keys=True)}")
    return "\n\n".join(parts) + "\n"


def table(rows: Dataset) -> dict[str, Any]:
    """A labeled table: its features, its rows and the record of its labels."""
    return {"features": str(rows.features), "rows": list(rows), "provenance": provenance(rows)}


def scripted(rows: list[Any], recipe: Any, script: list[Any], name: str) -> Files:
    """The prompts and the label table of rows that a script answers."""
    client = ScriptedClient(script)
    # No answer comes from the store of an earlier call.
    with tempfile.TemporaryDirectory() as os.environ["HF_SYNTHLABELS_HOME"]:
        labeled = annotate(Dataset.from_list(rows), recipe, client=client)
    return {f"prompts/{name}.txt": asked(client.requests), f"labels/{name}.json": table(labeled)}


def recipes(_: Path) -> Files:
    """Prompts and labels of all packaged recipes with one variable: scripted, and recorded where the recipe is."""
    files: Files = {}
    for name in sorted(file.stem for file in (ROOT / "configs" / "recipes").glob("*.yaml")):
        recipe = read_codebook(name)
        if isinstance(recipe, Codebook):
            continue
        answer = INPUTS["answers"].get(recipe.task.kind) or next(iter(recipe.task.labels))
        column = recipe.annotator.client.column or "recorded"
        row = {**INPUTS["row"], "label": answer, column: answer}
        files |= scripted([row], name, [answer], name)
        if recipe.annotator.client.kind == "recorded":
            rows = Dataset.from_list([row, {**row, column: "?"}, {**row, column: None}])
            files[f"labels/{name}_recorded.json"] = table(annotate(rows, name))
    return files


def kinds(folder: Path) -> Files:
    """All kinds of labels in both forms of answers, odd answers, strategies, samples and scored labels."""
    files: Files = {}
    odd = [Completion(0, **options) for options in INPUTS["odd"]]
    odd.append(Completion(0, failure=Failure("timeout", "it took too long")))
    for kind, case in INPUTS["kinds"].items():
        rows = [{**case["rows"][number % 2], "id": number} for number in range(2 + len(odd))]
        for row in rows[2:]:
            row["text"] += [str(row["id"])] if isinstance(row["text"], list) else f" {row['id']}"
        rows.append({**rows[0], "text": [] if kind == "token-classification" else ""})
        for form in ("text", "json_schema"):
            annotator = {"client": "openai", "model": "tiny", "response_format": form}
            recipe = toy_recipe(task={"labels": [], **case["task"], "kind": kind}, annotator=annotator)
            files |= scripted(rows, recipe, [*case["answers"], *odd], f"{kind}_{form}")
    for name, case in INPUTS["strategies"].items():
        examples = INPUTS["examples"] if name in ("candidates", "guidelines", "rows_per_call") else []
        annotator = {"client": "openai", "model": "tiny", "examples": examples}
        recipe = toy_recipe(task=case["task"], annotator=annotator)
        files |= scripted([{"text": "a film"}, {"text": "a match"}], recipe, case["answers"], f"strategy_{name}")
    sampled = {"client": "recorded", "column": "samples", "num_samples": 3}
    scored = {"client": "transformers", "model": tiny_model(folder / "llama"), "scoring": True}
    for name, annotator in {"sampled": sampled, "scored": scored}.items():
        files[f"labels/{name}.json"] = table(annotate(Dataset.from_list(toy_rows(12)), toy_recipe(annotator=annotator)))
    # The recipe names the model by its temporary folder, so its hash differs between runs.
    files["labels/scored.json"]["provenance"][0]["recipe_hash"] = "masked"
    return files


def numbers() -> dict[str, Any]:
    """Columns of 240 rows: labels of humans and of an LLM, numbers, groups, clusters, strata and a drawing design."""
    rng = np.random.default_rng(11)
    truth, drawn = rng.integers(0, 3, 240), rng.random(240) < 0.5
    guess, score = np.where(rng.random(240) < 0.75, truth, rng.integers(0, 3, 240)), truth + rng.normal(size=240)

    def known(values: list[Any]) -> list[Any]:
        return [value if known else None for value, known in zip(values, drawn, strict=True)]

    return {
        "label": known([f"c{code}" for code in truth]),
        "llm_label": [None if row % 17 == 16 else f"c{code}" for row, code in enumerate(guess)],
        "llm_label_confidence": (0.5 + 0.5 * rng.random(240)).tolist(),
        "two": known([("no", "yes")[int(code > 0)] for code in truth]),
        "llm_two": [("no", "yes")[int(code > 0)] for code in guess],
        "student": [f"c{code}" for code in np.where(rng.random(240) < 0.6, truth, 0)],
        "score": known(score.tolist()),
        "llm_score": (0.7 * score + 0.3 * rng.normal(size=240)).tolist(),
        "x": rng.normal(size=240).tolist(),
        "group": [("a", "b")[row % 2] for row in range(240)],
        "cluster": [f"k{row // 6}" for row in range(240)],
        "stratum": [f"s{row // 80}" for row in range(240)],
        "probability": known([0.3 if row % 3 else 0.8 for row in range(240)]),
    }


def reports(_: Path) -> Files:
    """Validation reports of every kind and design, with gates, and the plans of a sample."""
    columns, done = numbers(), {}
    for name, options in INPUTS["validations"].items():
        more = {"inclusion_probability": columns["probability"]} if "weighted" in name else {}
        done[name] = validate(Dataset.from_dict({**columns, **more}), resamples=200, **options)
    for kind, pairs in INPUTS["labels"].items():
        places = range(60)
        labels = {
            name: [pairs[row % len(pairs)][at] for row in places] for at, name in enumerate(("label", "llm_label"))
        }
        weights = {"inclusion_probability": [0.3 + 0.2 * (row % 3) for row in places]}
        options = {"kind": kind, "resamples": 200} | ({"gate": "mae<=0.5"} if kind == "text-scale" else {})
        rows = Dataset.from_dict({**labels, "cluster": columns["cluster"][:60]})
        done[kind], done[f"{kind}_clusters"] = validate(rows, **options), validate(rows, clusters="cluster", **options)
        done[f"{kind}_weighted"] = validate(Dataset.from_dict({**labels, **weights}), **options)
    gate = statistics.Gate.parse
    plans = {
        "score": statistics.plan_score(done["text-scale"], gate=gate("mae<=0.8")),
        "gate": statistics.plan_gate(columns["llm_label"], gate("accuracy>=0.7"), accuracy=0.8),
        "width": statistics.plan_sample(columns["llm_label"], 0.1, human=columns["label"]),
    }
    texts = {f"validate/{name}.txt": f"{report.text()}\n" for name, report in done.items()}
    return {f"validate/{name}.json": report for name, report in done.items()} | texts | {"validate/plans.json": plans}


def estimates(_: Path) -> Files:
    """Estimates, samples, the alternative annotator test, calibration and the functions behind them."""
    columns, files, samples = numbers(), {}, {}
    designs = {"plain": columns, "weighted": {**columns, "inclusion_probability": columns["probability"]}}
    for name, ask in INPUTS["conclusions"].items():
        for design, rows in designs.items():
            for clusters in (None, "cluster"):
                concluded = statistics.estimate(Dataset.from_dict(rows), clusters=clusters, **ask)
                path = f"estimate/{name}_{design}{'_clusters' if clusters else ''}"
                files |= {f"{path}.json": concluded, f"{path}.txt": f"{concluded.text()}\n"}
    for design in DESIGNS:
        for allocation in ("proportional", "equal") if design == "stratified" else ("proportional",):
            more = {"design": design, "allocation": allocation, "confidence": columns["llm_label_confidence"]}
            first = statistics.draw_sample(columns["llm_label"], 30, seed=3, **more)
            second = statistics.draw_sample(columns["llm_label"], 20, earlier=first.probabilities, seed=4, **more)
            samples[f"{design}_{allocation}"] = [first, second]
    rng = np.random.default_rng(2)
    truth = rng.integers(1, 6, 90)
    people = np.stack([np.where(rng.random(90) < share, truth, rng.integers(1, 6, 90)) for share in (0.9, 0.8, 0.7)], 1)
    judge = np.where(rng.random(90) < 0.85, truth, rng.integers(1, 6, 90)).astype(float)
    human, guess = np.array(columns["score"], dtype=float), np.array(columns["llm_score"])
    known, cluster = np.isfinite(human), np.array(columns["cluster"])
    verdicts, ratings = np.array(columns["llm_two"]) == "yes", people.astype(float)
    truths = np.array([name == "yes" for name in columns["two"]], dtype=float)[known]
    halves = (human[:120], guess[:120], human[120:], guess[120:])
    files["statistics/samples.json"] = samples
    files["statistics/functions.json"] = {
        "alt_test": [
            statistics.alternative_annotator_test(people, judge, kind=kind, bootstrap=FEW)
            for kind in ("categorical", "graded")
        ],
        "rogan_gladen": rogan_gladen(verdicts.astype(float), truths, verdicts[known].astype(float)),
        "calibration": [
            cross_fit(guess[known], human[known], kind=kind, clusters=clusters)
            for kind in ("affine", "isotonic")
            for clusters in (None, cluster[known])
        ],
        "ppi": [statistics.ppi_mean(human, guess, method=method, bootstrap=FEW) for method in ("student", "bootstrap")],
        "ppi_difference": statistics.ppi_difference(*halves, paired=False, bootstrap=FEW),
        "alpha": [statistics.krippendorff_alpha(ratings, scale) for scale in ("nominal", "ordinal", "interval")],
        "icc": icc_bootstrap(ratings, bootstrap=FEW),
        "arms": compare_conditions(truth - 1, people.T[:2] - 1, people.T[1:] - 1, 5, resamples=200),
        "judge_agreement": statistics.judge_agreement(truth.astype(float), judge, bootstrap=FEW),
    }
    return files
