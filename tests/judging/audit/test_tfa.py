"""Whether the format moves the score."""

from __future__ import annotations

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.rows import AuditRows, Resamples, draw_clusters
from hf_synthlabels.judging.audit.tfa import TFA, tfa
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.icc import icc, variance_components

Table = list[list[float | None]]


def read(
    table: Table, human: list[float], *, items: list[str] | None = None, resamples: int = 30
) -> tuple[AuditRows, Resamples]:
    """Rows of one task from a table of answers x formats f0, f1, ..."""
    names = items or [f"item {place}" for place in range(len(table))]
    cells = [
        (score, human[row], names[row], f"f{column}")
        for row, line in enumerate(table)
        for column, score in enumerate(line)
    ]
    scores, truth, of, formats = (list(column) for column in zip(*cells, strict=True))
    rows = AuditRows.from_columns(scores, truth, ["t"] * len(cells), items=of, formats=formats)
    return rows, draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=resamples))


def found(table: Table, human: list[float], **options: object) -> TFA:
    return tfa(*read(table, human), **options)  # type: ignore[arg-type]


def test_icc_and_shares_are_those_of_the_statistics_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    table = np.clip(rng.random((12, 1)) * 0.6 + 0.1 * np.arange(4) + 0.1 * rng.standard_normal((12, 4)), 0, 1).round(3)
    rows, resamples = read(table.tolist(), list(rng.random(12).round(3)))
    out = tfa(rows, resamples)
    for draw in range(31):
        sample = np.repeat(table, resamples.weights[draw].astype(int), axis=0)
        assert out.overall["tfa_icc"][draw] == pytest.approx(icc(sample, "A,1"), abs=1e-9)
        assert out.overall["tfa_icc_consistency"][draw] == pytest.approx(icc(sample, "C,1"), abs=1e-9)
        shares = variance_components(sample).shares
        for name, key in (("item", "item"), ("format", "rater"), ("residual", "residual")):
            assert out.overall[f"tfa_{name}_share"][draw] == pytest.approx(shares[key], abs=1e-9)


def test_flips_by_hand() -> None:
    # Verdicts from .5: yes yes no: of three pairs of formats two differ. no no no: none. yes yes yes: none.
    out = found([[0.9, 0.5, 0.4], [0.1, 0.2, 0.3], [0.6, 0.7, 0.8]], [1, 0, 1]).overall
    assert out["tfa_flip"][0] == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert out["tfa_flip_any"][0] == pytest.approx(1 / 3)
    # From .65 the verdicts of the last are no yes yes as well, of the first yes no no.
    strict = found([[0.9, 0.5, 0.4], [0.1, 0.2, 0.3], [0.6, 0.7, 0.8]], [1, 0, 1], threshold=0.65).overall
    assert strict["tfa_flip"][0] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)


def test_auc_holds_right_answers_in_any_format_against_wrong_ones_in_the_house_format() -> None:
    # Right: .9 .5 | .8 .2; wrong, in the reference format f0: .5 and .1.
    # Against .5: .9 wins, .5 ties, .8 wins, .2 loses; against .1 all four win: (1 + .5 + 1 + 0 + 4) / 8.
    table: Table = [[0.9, 0.5], [0.8, 0.2], [0.5, 1.0], [0.1, 1.0]]
    out = found(table, [1, 1, 0, 0])
    assert out.overall["tfa_auc"][0] == pytest.approx(6.5 / 8)
    # Against the wrong ones in f1, which are 1.0, all lose.
    assert out.overall["tfa_auc_all"][0] == pytest.approx(6.5 / 16)
    assert out.formats["f0"].auc[0] == 1
    assert out.formats["f1"].auc[0] == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert out.formats["f1"].mean_right[0] == pytest.approx(0.35)
    assert out.formats["f1"].mean_wrong[0] == 1
    # With f1 as the house all wrong answers have 1.0.
    assert found(table, [1, 1, 0, 0], reference_format="f1").overall["tfa_auc"][0] == 0


def test_exact_match_fails_by_construction() -> None:
    # Right answers match in the first format only; wrong ones never: AUC = 1/k + (1 - 1/k) / 2.
    table: Table = [[1.0, 0.0, 0.0] for _ in range(4)]
    table += [[0.0, 0.0, 0.0] for _ in range(4)]
    out = found(table, [1.0] * 4 + [0.0] * 4).overall
    assert out["tfa_auc"][0] == pytest.approx(1 / 3 + 2 / 3 / 2)
    assert out["tfa_flip_any"][0] == 0.5


def test_an_answer_without_a_score_in_some_format_is_left_out_and_counted() -> None:
    table: Table = [[0.9, 0.8], [0.2, 0.1], [0.5, None]]
    out = found(table, [1, 0, 1])
    assert (out.tasks["t"].units, out.tasks["t"].dropped) == (2, 1)
    assert out.overall["tfa_icc"][0] == pytest.approx(icc(np.array([[0.9, 0.8], [0.2, 0.1]])))
    # In the AUC the score that there is counts: .9 .8 .5 against .2.
    assert out.overall["tfa_auc"][0] == 1


def test_graded_human_scores_give_the_range_of_agreement_and_no_auc() -> None:
    # In f0 scores follow humans (rho 1), in f1 they go the other way (rho -1).
    out = found([[0.1, 0.9], [0.4, 0.5], [0.8, 0.2]], [0.2, 0.5, 0.9]).overall
    assert np.isnan(out["tfa_auc"][0])
    assert out["tfa_spearman_range"][0] == pytest.approx(2)


def test_scores_of_one_cell_are_averaged_and_counted() -> None:
    rows, resamples = read([[0.9, 0.8], [0.7, 0.6], [0.1, 0.2]], [1, 1, 0], items=["q", "q", "q"])
    out = tfa(rows, resamples)
    # Two answers to q with the same human score can not be told apart: f0 .8, f1 .7.
    assert out.merged == 2
    assert out.tasks["t"].icc[0] == pytest.approx(icc(np.array([[0.8, 0.7], [0.1, 0.2]])))


def test_what_is_wrong_is_named() -> None:
    rows, resamples = read([[0.1, 0.2]], [1])
    with pytest.raises(ConfigError, match="`reference_format` is 'json': give one of the formats, f0, f1"):
        tfa(rows, resamples, reference_format="json")
    bare = AuditRows.from_columns([0.1], [1], ["t"])
    with pytest.raises(DataError, match="`formats` is missing"):
        tfa(bare, resamples)
