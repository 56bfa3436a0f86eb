"""Reference outputs of the whole package, to prove that a refactoring keeps its behaviour.

    python -m benchmarks.reference write DIR              # before the change
    python -m benchmarks.reference compare DIR            # after it; exit status 1 on any difference
    python -m benchmarks.reference compare DIR --only estimates studies

It needs no network and no key, and takes about two minutes on one core. Statistics have 12 significant digits and must
be identical; trained weights may differ by 1e-6. Times, dates and folders are masked. reference.yaml has the inputs.
"""

from __future__ import annotations

import os

# All are read when numpy, torch and datasets are first imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import argparse
import difflib
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import yaml
from datasets import ClassLabel, Dataset, Features, Value

from benchmarks.perturbations import Source, perturbed_rows
from benchmarks.reference_outputs import (
    FEW,
    INPUTS,
    ROOT,
    Files,
    asked,
    estimates,
    kinds,
    numbers,
    plain,
    recipes,
    reports,
    toy_recipe,
    toy_rows,
)
from hf_synthlabels import cards, judging, studies, validate
from hf_synthlabels.clients import Completion, Request, ScriptedClient
from hf_synthlabels.publishing import read_report, render_page
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.training import StudentConfig, train_student
from tests.tiny_models import tiny_model

__all__ = ["main"]


def judges(_: Path) -> Files:
    """Prompts and judgments of every packaged rubric, one of them pairwise, and a jury by every rule."""
    files: Files = {}
    answers = [f"It rains{'!' * (row % 4)} in Oslo{' today' * (row % 3)}." for row in range(12)] + ["", None]
    inputs = ["What is the weather?"] * len(answers)
    replies = [*INPUTS["replies"], Completion(0, text="No.", refusal=True)]

    def reply(request: Request) -> str | Completion:
        script = INPUTS["verdicts"] if pairwise else replies
        return script[(len(request.messages[-1].content) + request.sample) % len(script)]

    for name in sorted(file.stem for file in (ROOT / "configs" / "rubrics").glob("*.toml")):
        rubric = judging.read_rubric(name)
        pairwise = rubric.protocol == "pairwise"
        references = None if rubric.reference == "never" else [["It rains."]] * len(answers)
        for form in ("text", "json"):
            client = ScriptedClient(reply)
            judge = judging.Judge(rubric, client, judging.Extraction(num_samples=2), as_json=form == "json")
            rows = [answers, answers[::-1], references, inputs] if pairwise else [answers, references, inputs]
            files[f"judging/{name}_{form}.json"] = judging.judge_pairs(judge, *rows) if pairwise else judge.judge(*rows)
            files[f"prompts/rubric_{name}_{form}.txt"] = asked(client.requests[:2])
    five = judging.read_rubric("score_1_5")
    for rule in ("mean", "median", "majority", "weighted"):
        members = {
            f"j{place}": judging.Judge(five, ScriptedClient([f"score: {row * place % 6}" for row in range(12)]))
            for place in (1, 2, 3)
        }
        weights = {"j1": 0.5, "j2": 0.3, "j3": 0.2} if rule == "weighted" else None
        files[f"judging/jury_{rule}.json"] = judging.Jury(members, rule, weights).judge(answers)
    return files


def audits(_: Path) -> Files:
    """Audits within tasks, across tasks and across formats, biases and jury weights."""
    rng = np.random.default_rng(7)
    human = np.round(rng.random(120) * 8) / 8
    noisy = [np.round(np.clip(human + noise * rng.normal(size=120), 0, 1) * 4) / 4 for noise in (0.2, 0.6)]
    score, poor = (column.tolist() for column in noisy)
    scores = [None if row % 19 == 18 else value for row, value in enumerate(score)]
    places: dict[str, Any] = {
        "items": [f"i{row // 4}" for row in range(120)],
        "lengths": [20.0 + 7 * row % 31 for row in range(120)],
    }
    tasks, options = [f"t{row // 40}" for row in range(120)], judging.AuditOptions(FEW)
    more = {"systems": [row % 4 for row in range(120)], "baselines": {"poor": poor}, "options": options}
    rows = perturbed_rows([Source(f"q{row}", ("good", "bad")[row % 2]) for row in range(20)], "classification")
    exact = [float(row.prediction == row.reference) for row in rows]
    right = [0.9 * row.right + len(row.prediction) % 5 / 50 for row in rows]
    formats = {
        "items": [row.item for row in rows],
        "formats": [row.form for row in rows],
        "baselines": {"exact": exact},
    }
    truths = [float(row.right) for row in rows]
    found = {
        "audit": judging.audit_metric(scores, human.tolist(), tasks, **places, **more),
        "audit_formats": judging.audit_metric(right, truths, ["one"] * len(rows), **formats, options=options),
        "bias": judging.judge_bias(score, human.tolist(), tasks=tasks, **places),
        "jury_weights": judging.measured_weights({"good": score, "poor": poor}, human.tolist()),
        "perturbed": rows,
        "bleu": judging.bleu_accuracy(["a red house", "blue", None], [["the red house"]] * 3),
    }
    return {f"judging/{name}.json": value for name, value in found.items()} | {
        "pages/audit.html": render_page(report_page(found["audit"]))
    }


def compared(folder: Path) -> Files:
    """Studies of label sources, annotators, strategies and several sizes, with the page of each report."""
    student = {**INPUTS["student"], "model": tiny_model(folder)}
    rows = [{**row, "part": "train" if at < 80 else "test"} for at, row in enumerate(toy_rows(120))]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "toy.yaml").write_text(yaml.safe_dump(toy_recipe(output={"column": "llm"})))
    for name in ("study", "strategy_study"):
        INPUTS[name]["students"]["tiny"] |= student
    runs = {
        name: studies.run_study(studies.Study.from_dict(content, folder=folder), folder / name)
        for name, content in ((name, INPUTS[name]) for name in ("study", "annotators", "strategy_study", "sweep"))
    }
    done = {
        "validation": validate(Dataset.from_dict(numbers()), gate="accuracy>=0.7", resamples=200).to_json(),
        **{name: (folder / name / "runs.json").read_text() for name in runs},
    }
    report = studies.study_report(runs["study"])
    files: Files = {
        "studies/study_report.json": json.loads(report.to_json()),
        "studies/study_report.txt": f"{report}\n",
        "studies/recommendation.json": studies.recommend(runs["sweep"]),
    }
    for name, content in done.items():
        # Read back from masked content, so that pages show no time and no machine.
        values = plain(json.loads(content))
        read = read_report(json.dumps(values))
        files |= {f"studies/{name}.json": values, f"pages/{name}.html": render_page(report_page(read))}
        files[f"studies/{name}.txt"] = f"{studies.summary_table(runs[name]) if name in runs else read}\n"
    return files


def trained(folder: Path) -> Files:
    """Every trained weight after ten steps, and the loss of each step, of whole models and of adapters."""
    names = ["film", "sport"]
    rows = Dataset.from_list([{"text": row["text"], "label": row["label"], "p": row["p"]} for row in toy_rows(96)])
    rows = rows.cast_column("label", ClassLabel(names=names))
    files: Files = {}
    for name, more in INPUTS["training"].items():
        options = {**INPUTS["student"], "model": tiny_model(folder), "output_dir": str(folder / name), **more}
        config = StudentConfig(**options, max_steps=10, logging_steps=1)
        student = train_student(config, rows, names=names)
        named = student.trainer.model.named_parameters()
        files[f"weights/{name}.json"] = {
            "losses": [entry["loss"] for entry in student.trainer.state.log_history if "loss" in entry],
            "probabilities": student.predict(rows.select(range(20))).probabilities,
            "weights": {key: value.detach().flatten().tolist() for key, value in named if value.requires_grad},
        }
    return files


def published(_: Path) -> Files:
    """The cards of a data set and of a student, from recorded facts."""
    study = studies.StudyReport.from_json((ROOT / "docs/results/conference_titles/report.json").read_text())
    terms: dict[str, Any] = {"license": "cc-by-4.0", "llm_terms": "the provider allows it"}
    common: dict[str, Any] = {"repo": "user/titles", "records": (INPUTS["record"],)}
    labels = ClassLabel(names=["c0", "c1", "c2"])
    facts = cards.DatasetFacts(
        **common,
        features=Features({"text": Value("string"), "llm_label": labels}),
        splits=(cards.SplitFacts("train", 240, 4000, {"llm_label": {"labelled": 226, "failed": 14}}),),
        validations=(validate(Dataset.from_dict(numbers()), gate="accuracy>=0.5", resamples=200),),
        prompt="You are an annotator.",
        human_rows="120 rows, drawn at random",
        card=cards.CardFields(**terms, language=("en",)),
    )
    model = cards.ModelFacts(
        **common,
        names=study.comparisons[0].names,
        card=cards.CardFields(
            **terms,
            base_model="example/encoder",
            base_revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            label_source="llm",
            dataset="user/titles",
        ),
        options=study.comparisons[0].options,
        study=study,
    )
    return {
        "cards/dataset.md": cards.dataset_card(facts),
        "cards/model.md": cards.model_card(model),
    }


PARTS: dict[str, Callable[[Path], Files]] = {
    "recipes": recipes,
    "kinds": kinds,
    "reports": reports,
    "estimates": estimates,
    "judges": judges,
    "audits": audits,
    "studies": compared,
    "training": trained,
    "cards": published,
}


def texts_of(part: str) -> dict[str, str]:
    """The files of one part as texts, computed in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["HF_SYNTHLABELS_HOME"] = f"{name}/home"
        texts = {}
        for path, content in PARTS[part](Path(name)).items():
            if not isinstance(content, str):
                content = json.dumps(plain(content), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            texts[path] = content.replace(name, "FOLDER")
        return texts


def same(path: str, before: str, after: str) -> bool:
    """Whether two contents agree: weights, losses and probabilities within 1e-6, all else exactly."""
    if before == after or not before or not path.startswith("weights/"):
        return before == after
    left, right = ({**content.pop("weights"), **content} for content in (json.loads(before), json.loads(after)))
    return left.keys() == right.keys() and all(
        len(left[key]) == len(right[key]) and np.allclose(left[key], right[key], rtol=0, atol=1e-6) for key in left
    )


def differences(folder: Path, texts: dict[str, str], shown: int) -> int:
    """Print how the texts differ from those in the folder, and count the files that differ."""
    count = 0
    for path, after in sorted(texts.items()):
        before = (folder / path).read_text(encoding="utf-8") if (folder / path).is_file() else ""
        if not same(path, before, after):
            lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, n=1, lineterm=""))
            print("\n".join(line[:300] for line in lines[:shown]), f"\n{path}: {len(lines)} lines of difference\n")
            count += 1
    return count


def main() -> int:
    """Write the reference outputs, or compare them with the current ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to compute")
    parser.add_argument("--lines", type=int, default=30, help="lines shown of the differences of each file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    current: dict[str, str] = {}
    for part in options.only:
        began = time.monotonic()
        try:
            texts = texts_of(part)
        except Exception as error:
            if options.action == "write":
                raise
            # The other parts are still compared.
            texts = {f"{part} failed": f"{type(error).__name__}: {error}\n"}
        print(f"{part}: {len(texts)} files, {time.monotonic() - began:.0f} s", file=sys.stderr)
        current |= texts
    if options.action == "compare":
        written = [str(path.relative_to(options.folder)) for path in options.folder.rglob("*") if path.is_file()]
        if options.only == list(PARTS):
            current = dict.fromkeys(written, "") | current
        count = differences(options.folder, current, options.lines)
        print(f"{count} of {len(current)} files differ")
        return int(count > 0)
    for path, text in current.items():
        (options.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (options.folder / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
