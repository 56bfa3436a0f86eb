"""`hf-synthlabels demo`: label, validate, train and compare on docstrings of the standard library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, concatenate_datasets

from hf_synthlabels.annotation import Plan, annotate
from hf_synthlabels.annotation.planning.plan import plan_rows
from hf_synthlabels.publishing import write_report
from hf_synthlabels.statistics import Gate, ValidationReport, validate
from hf_synthlabels.studies import StudyReport, StudyRuns, run_study, study_report
from hf_synthlabels.studies.quickstart.demo_files import (
    GATE,
    PROMPT_EXAMPLES,
    DemoAnnotator,
    DemoRows,
    write_recipes,
    write_rows,
    write_study,
)
from hf_synthlabels.studies.quickstart.next_steps import first_steps
from hf_synthlabels.studies.quickstart.small_llm import PARALLEL, serving, small_llm_file
from hf_synthlabels.studies.quickstart.standard_library import AREAS
from hf_synthlabels.studies.tasks.rows import validation_sample
from hf_synthlabels.tables import write_text

SMALL_ROWS = DemoRows(pilot=100, train=200, validation=100, test=100)
"""A small LLM on a CPU labels a few rows per second."""

N_STEPS = 5
Tell = Callable[[str], None]
Confirm = Callable[[str], bool]


@dataclass(slots=True)
class Demo:
    """One run of the demo: its folder, its annotator and what is printed."""

    folder: Path
    annotator: DemoAnnotator
    rows: DemoRows
    tell: Tell
    step: int = 0

    def run(self, confirm: Confirm) -> StudyReport | None:
        """Take all steps; None if the user does not confirm the requests.

        Raises:
            SynthLabelsError: a step failed; earlier results stay in the folder.
        """
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._step("Real text: docstrings of this Python's standard library"):
            parts = write_rows(self.folder, self.rows)
            self._show(parts)
        zero_shot, few_shot = write_recipes(self.folder, self.annotator)
        rest = concatenate_datasets([parts["train"], parts["test"]])
        if self.annotator.model is not None and not self._confirmed(
            [plan_rows(zero_shot, parts["pilot"]), plan_rows(few_shot, rest)], confirm
        ):
            return None
        with self._step(f"First check: {self._who()} labels {self.rows.pilot:,} rows from the label definitions alone"):
            first = self._validate(parts["pilot"], zero_shot)
        recipe = zero_shot
        if first.gate is None or first.gate.verdict != "pass":
            recipe = few_shot
            self.tell(f"     The labels do not pass the gate. Next, the annotator gets examples: {self._examples()}.")
        fresh = validation_sample(parts["train"], "label", list(AREAS), self.rows.validation)
        with self._step(f"Second check, on {len(fresh):,} fresh rows: in neither the first check nor the examples"):
            second = self._validate(fresh, recipe)
        if second.gate is not None and second.gate.verdict != "pass":
            self.tell("     The labels still do not pass. With your own data, stop here; the demo goes on to compare.")
        with self._step("Students: the annotator labels the other rows; each label source trains a small model"):
            self.tell("     The model is a logistic regression on a sentence encoder's vectors.")
            study = write_study(self.folder / "study.yaml", recipe, self.annotator, self.rows)
            runs = run_study(study, self.folder, progress=lambda line: self.tell(f"     {line}"))
        with self._step("Result"):
            result, page = self._report(runs)
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        self.tell(f"\n{minutes} min {seconds} s in all. The report with its figures: {page.resolve()}")
        self.tell("\n".join(["", *first_steps(few_shot)]))
        return result

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        """Announce a step, and tell at its end how long it took."""
        self.step += 1
        self.tell(f"\n{self.step}/{N_STEPS}  {what}")
        began = time.monotonic()
        yield
        self.tell(f"     ({time.monotonic() - began:.0f} s)")

    def _who(self) -> str:
        return "the sentence encoder" if self.annotator.model is None else self.annotator.model

    def _examples(self) -> str:
        """How the rows of the first check serve as examples."""
        rows = f"the {self.rows.pilot:,} rows just checked, with their human labels"
        if self.annotator.model is None:
            return f"{rows}, on which a linear head is trained"
        return f"{PROMPT_EXAMPLES} of {rows}, in its prompt"

    def _tell_lines(self, text: str) -> None:
        for line in text.splitlines():
            self.tell(f"     {line}")

    def _show(self, parts: dict[str, Dataset]) -> None:
        counts = ", ".join(f"{len(rows):,} {part}" for part, rows in parts.items())
        self.tell(
            f"     {sum(map(len, parts.values())):,} rows ({counts}). The label is one of {len(AREAS)} chapters of"
        )
        self.tell("     the library reference; here the reference's own chapters serve as human labels. For example:")
        train = parts["train"]
        names = train.features["label"].names
        for row in train.select([0, len(train) // 2]):
            self.tell(f"       {names[row['label']]}: {row['text'][:80]}")

    def _confirmed(self, plans: list[Plan], confirm: Confirm) -> bool:
        """Print what the LLM will receive, and ask before anything is paid for."""
        missing = [each for each in plans if each.requests > each.stored]
        for each in missing:
            self._tell_lines(str(each))
        paid = any(each.likely_usd is None or each.likely_usd > 0 for each in missing)
        return not paid or confirm("Send these requests?")

    def _validate(self, rows: Dataset, recipe: Path) -> ValidationReport:
        """Annotate rows, validate the labels against the human ones, and print the scores."""
        labeled = annotate(rows, recipe, progress=f"{recipe.stem} labels")
        report = validate(
            labeled, human="label", llm="llm_label", names=list(AREAS), gate=Gate.parse(GATE), confidence=False
        )
        self.tell(f"     Agreement with the human labels of {len(rows):,} rows, with 95% intervals:")
        for score in ("coverage", "accuracy", "macro_f1", "kappa"):
            self.tell(f"       {score.replace('_f1', ' F1'):9} {getattr(report, score)}")
        for human, llm, count in report.confusion.mistakes()[:2]:
            given = "got no label" if llm is None else f"were labeled {llm!r}"
            self.tell(f"       {count} rows of {human!r} {given}")
        self.tell(f"     Gate {report.gate}")
        return report

    def _report(self, runs: StudyRuns) -> tuple[StudyReport, Path]:
        """Print the comparison of the label sources, and write the report."""
        result = study_report(runs)
        self.tell(str(result))
        write_text(self.folder / "report.json", result.to_json())
        return result, write_report(runs, self.folder)[0]


def run_demo(
    folder: Path,
    annotator: DemoAnnotator,
    *,
    tell: Tell,
    rows: DemoRows | None = None,
    confirm: Confirm = lambda _: True,
) -> StudyReport | None:
    """Label docstrings, validate the labels, train students on each label source, and compare them.

    Data, recipes and study file are written to the folder, so that each step can be repeated.

    Args:
        folder: output folder.
        annotator: the model that labels.
        tell: called with each line of output.
        rows: numbers of rows.
        confirm: called with a question before paid requests are sent.

    Returns:
        The comparison; None if the user did not confirm.

    Raises:
        SynthLabelsError: a step failed; earlier results stay in the folder.
    """
    return Demo(folder, annotator, rows or DemoRows(), tell).run(confirm)


def run_small_llm_demo(
    folder: Path, gguf: Path | None, *, tell: Tell, rows: DemoRows = SMALL_ROWS
) -> StudyReport | None:
    """Run the demo with a small instruction model behind the server of llama.cpp.

    Args:
        folder: output folder.
        gguf: another GGUF file instead of the packaged one.
        tell: called with each line of output.
        rows: numbers of rows.

    Raises:
        SynthLabelsError: the model is not installed, or a step failed.
    """
    file = small_llm_file(gguf)
    folder.mkdir(parents=True, exist_ok=True)
    tell(f"The annotator is {file.stem}, behind the server of llama.cpp on this machine.")
    with serving(file, folder / "llama.log") as base_url:
        annotator = DemoAnnotator(file.stem, base_url, max_in_flight=PARALLEL, response_format="json_schema")
        return run_demo(folder, annotator, tell=tell, rows=rows)
