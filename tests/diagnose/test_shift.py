"""The measures of shift, by hand-sized numbers, and the verdict on made domains whose shift is known."""

import builtins
from typing import Any

import numpy as np
import pytest
from made_shift import domains

from nlptl.contracts.diagnose import View
from nlptl.diagnose import ConceptShift, CovariateShift, LabelShift, Mmd, Otdd, ProxyA, Shift
from nlptl.diagnose._kernel import gaussian, mmd_squared, p_value, permuted
from nlptl.diagnose._source_head import SourceHead
from nlptl.diagnose.concept_shift import SPREADS, bayes_factor, directions, fit_intercepts, lack_of_fit
from nlptl.diagnose.label_shift import bbse
from nlptl.diagnose.mmd import mmd, unbiased
from nlptl.diagnose.otdd import otdd
from nlptl.diagnose.proxy_a import proxy_a_distance
from nlptl.errors import DataError


def view(shifts: tuple[str, ...], seed: int = 0, rows: int = 150, labels: int = 50) -> View:
    rng = np.random.default_rng(seed)
    sources, target = domains(shifts, rng)
    (x, y), (u, v) = sources.draw(2 * rows, rng), target.draw(rows, rng)
    shown = np.where(np.arange(rows) < labels, v, -1)
    domain = np.repeat(["a", "b"], [2 * rows, rows])
    return View(features=np.r_[x, u], labels=np.r_[y, shown], domain=domain, target="b")


def test_mmd_by_hand() -> None:
    # Two rows a side; kernel 1 within a side, 0 across: (2 · 1/4) + (2 · 1/4) once the diagonal is gone.
    kernel = np.kron(np.eye(2), np.ones((2, 2)))
    members = np.array([[0.0, 0.0, 1.0, 1.0]])
    assert mmd_squared(kernel, members, np.zeros(4, int)) == pytest.approx([1.0])
    # A stratum that one side lacks is left out.
    assert mmd_squared(kernel, members, np.array([0, 0, 1, 1])) == pytest.approx([0.0])


def test_the_unbiased_mmd_is_equation_3_by_hand_and_by_loops() -> None:
    kernel = np.kron(np.eye(2), np.ones((2, 2)))
    assert unbiased(kernel, np.array([[0.0, 0.0, 1.0, 1.0]])) == pytest.approx([2.0])  # 2 · 1/2 a side, 0 across
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(8, 3))
    kernel = gaussian(np.r_[x, y])
    one, two, across = kernel[:5, :5], kernel[5:, 5:], kernel[:5, 5:]
    expected = (one.sum() - 5) / 20 + (two.sum() - 8) / 56 - 2 * across.mean()
    assert unbiased(kernel, np.repeat([[0.0, 1.0]], [5, 8], axis=1)) == pytest.approx([expected])
    alike = [mmd(rng.normal(size=(12, 5)), rng.normal(size=(6, 5)), permutations=1)[0] for _ in range(300)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / 300**0.5  # 0 in expectation where there is no difference


def test_permutations_keep_to_their_strata() -> None:
    here, strata = np.array([True, False, False, True]), np.array([0, 0, 1, 1])
    members = permuted(here, strata, draws=50, rng=np.random.default_rng(0))
    assert (members[0] == here).all()
    assert (members[:, :2].sum(1) == 1).all() and (members[:, 2:].sum(1) == 1).all()
    assert len(np.unique(members, axis=0)) == 4


def test_the_mmd_test_is_calibrated_and_has_power() -> None:
    rng = np.random.default_rng(0)
    alike = [mmd(*rng.normal(size=(2, 40, 5)), permutations=99, seed=s)[1] for s in range(60)]
    assert np.mean(np.array(alike) <= 0.1) < 0.22  # 6 of 60 expected; 13 or fewer in 99.5 %
    assert mmd(rng.normal(size=(40, 5)), rng.normal(size=(40, 5)) + 0.8)[1] == pytest.approx(0.001)


def test_what_cannot_be_tested_is_refused_and_not_sure() -> None:
    with pytest.raises(DataError, match="5 of the sources and 1 of the target"):
        mmd(np.eye(5), np.ones((1, 5)))
    with pytest.raises(DataError, match="not a number"):
        p_value(np.array([np.nan, 1.0, 2.0]))


def test_sources_of_one_row_a_label_are_looked_at() -> None:
    features = np.random.default_rng(0).normal(size=(22, 6))
    labels, domain = np.r_[0, 1, 0, 1, np.full(18, -1)], np.repeat(["a", "b"], [2, 20])
    found = Shift(draws=99).measure(View(features=features, labels=labels, domain=domain, target="b"))
    assert found["p"]["concept"] is not None and all(p is None or 0 < p <= 1 for p in found["p"].values())


def test_the_kernel_by_hand() -> None:
    # Squared distances 1, 4, 9 of three points on a line: their median is 4.
    kernel = gaussian(np.array([[0.0], [1.0], [3.0]]))
    assert kernel[[0, 1, 0], [1, 2, 2]] == pytest.approx(np.exp([-0.25, -1.0, -2.25]))


def test_proxy_a_goes_from_nought_to_two() -> None:
    rng = np.random.default_rng(0)
    rows, here = rng.normal(size=(60, 4)), np.arange(60) % 3 == 0
    distance, error = proxy_a_distance(rows, here)
    assert error > 0.35 and distance == pytest.approx(2 * (1 - 2 * error))
    assert proxy_a_distance(rows + 20 * here[:, None], here) == (2.0, 0.0)


def test_bbse_by_hand() -> None:
    # A classifier right in 90 % of label 0 and 80 % of label 1; q(answer 1) = .1 · .4 + .8 · .6 = .52
    answers = np.eye(2)[[0] * 9 + [1] + [0] * 2 + [1] * 8]
    labels = np.array([0] * 10 + [1] * 10)
    target = np.array([[0.48, 0.52]])
    assert bbse(answers, labels, target) == pytest.approx([0.4, 0.6])


def test_otdd_by_hand() -> None:
    pytest.importorskip("ot")
    features, labels = np.array([[0.0], [0.0], [4.0], [4.0]]), np.array([0, 0, 1, 1])
    # Every row moves by 3, and so does the mean of its label: 9 + 9.
    assert otdd(features, labels, features + 3, labels) == pytest.approx(np.sqrt(18))
    assert otdd(features, labels, features, 7 - labels) == pytest.approx(0)  # names of labels do not matter
    # Labels mixed on the other side: rows stay, their labels' Gaussians are 2 away in mean and 2 in spread.
    assert otdd(features, labels, features, np.array([0, 1, 0, 1])) == pytest.approx(np.sqrt(8))


def test_otdd_without_its_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without_ot(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "ot":
            raise ImportError(name)
        return plain(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_ot)
    assert "nlptl[ot]" in Otdd().measure(view(()))["skipped"]


def test_the_kinds_agree_with_their_functions() -> None:
    seen = view(("covariate",))
    assert Mmd(permutations=99).measure(seen)["p"] == pytest.approx(0.01)
    assert ProxyA().measure(view(()))["score"] < 0.2 < ProxyA().measure(seen)["score"] <= 2
    assert CovariateShift(permutations=99).measure(seen)["p"] == pytest.approx(0.01)
    shares = LabelShift(permutations=99).measure(view(("label",), rows=300))
    assert shares["p"] <= 0.03
    assert shares["target"][1] == pytest.approx(0.65, abs=0.15) and shares["sources"][1] < 0.5
    assert ConceptShift(draws=199).measure(view(("concept",), labels=150))["p"] <= 0.05
    calm = [ConceptShift(draws=199, seed=s).measure(view((), seed=s, rows=200))["p"] for s in range(6)]
    assert sum(p <= 0.05 for p in calm) <= 1
    pytest.importorskip("ot")
    assert Otdd(rows=40).measure(seen)["score"] > Otdd(rows=40).measure(view(()))["score"]


def test_intercepts_are_those_of_largest_likelihood() -> None:
    rng = np.random.default_rng(0)
    logits, answers = rng.normal(size=(1, 400, 3)), np.eye(3)[rng.choice(3, size=(2, 400), p=[0.7, 0.2, 0.1])]
    delta = fit_intercepts(logits, answers, ridge=0.0, steps=100)
    shares = np.exp(logits + delta) / np.exp(logits + delta).sum(-1, keepdims=True)
    assert shares.mean(1) == pytest.approx(answers.mean(1), abs=1e-6)


def test_the_bayes_factor_is_that_of_the_dense_formula() -> None:
    rng = np.random.default_rng(0)
    base, shares = rng.normal(size=(12, 3)), rng.dirichlet(np.ones(2), size=(1, 12))
    answers = np.eye(2)[rng.integers(0, 2, size=(4, 12))]
    weights, kernel = (shares[0, :, 0] * shares[0, :, 1]), base @ base.T
    by_hand = []
    for one in answers:
        residual = one[:, 0] - shares[0, :, 0]
        factors = []
        for s in SPREADS:
            inner = (
                np.eye(12) + s * kernel * weights
            )  # (K⁻¹/s² + W)⁻¹ = (I + s² K W)⁻¹ s² K, which needs no inverse of K
            gain = residual @ np.linalg.solve(inner, s * kernel @ residual)
            factors.append(gain / 2 - np.linalg.slogdet(inner)[1] / 2)
        by_hand.append(np.log(np.mean(np.exp(factors))))
    assert bayes_factor(answers, np.repeat(shares, 4, 0), [base[None]]) == pytest.approx(np.array(by_hand))


def test_directions_hold_no_constant() -> None:
    features = np.random.default_rng(0).normal(size=(40, 5)) + 3
    for base in directions(features):
        assert base.sum(axis=0) == pytest.approx(0, abs=1e-8)
        assert (base**2).sum(axis=1).mean() <= 1 + 1e-9


def test_what_a_linear_head_has_wrong_everywhere_is_no_shift() -> None:
    # Labels by the sign of a product, of which a linear head knows nothing.
    rng = np.random.default_rng(0)
    x, u = 2 * rng.normal(size=(400, 2)), 2 * rng.normal(size=(60, 2))
    labels = np.r_[(x[:, 0] * x[:, 1] > 0).astype(int), np.full(60, -1)]
    seen = View(features=np.r_[x, u], labels=labels, domain=np.repeat(["a", "b"], [400, 60]), target="b")
    head = SourceHead.of(seen, seed=0)
    basis = np.concatenate(directions(head.features), axis=1)
    moved, spread = lack_of_fit(head, basis, np.arange(400, 460))
    right = (head.logits[:, 0] + moved[:, 0] > 0) == (u[:, 0] * u[:, 1] > 0)
    assert right.mean() > 0.85 and ((head.logits[:, 0] > 0) == (u[:, 0] * u[:, 1] > 0)).mean() < 0.7
    assert spread.shape == (1, 60, 60) and np.linalg.eigvalsh(spread[0]).min() > -1e-8


@pytest.mark.parametrize("made", ["covariate", "label", "concept"])
def test_shifts_are_told_apart(made: str) -> None:
    # benchmarks/shift_warnings.py holds the rates over 200 draws; here six of eight draws must name it alone.
    verdicts = [Shift(draws=199, seed=s).measure(view((made,), seed=s, rows=200, labels=160)) for s in range(8)]
    assert sum(verdict["found"] == [made] for verdict in verdicts) >= 6, [v["p"] for v in verdicts]
    named = next(verdict for verdict in verdicts if verdict["found"] == [made])
    assert made in named["words"]


def test_no_shift_is_called_none() -> None:
    verdicts = [Shift(draws=199, seed=s).measure(view((), seed=s)) for s in range(8)]
    assert sum(bool(verdict["found"]) for verdict in verdicts) <= 1
    calm = next(verdict for verdict in verdicts if not verdict["found"])
    assert calm["words"].startswith("b: no sign of shift")


def test_without_target_labels_concept_shift_cannot_be_known() -> None:
    verdict = Shift(draws=99).measure(view(("concept",), labels=0))
    assert verdict["p"]["concept"] is None and "concept" not in verdict["found"]
    assert "Concept shift cannot be known" in verdict["words"]
    assert "cannot be known" in ConceptShift().measure(view(("concept",), labels=0))["unknown"]


def test_label_shares_beside_other_texts_need_labels_drawn_at_random() -> None:
    blind = Shift(draws=199).measure(view(("covariate",), labels=0))
    assert blind["found"] == ["covariate"] and blind["p"]["label"] is None
    by_class = Shift(draws=199, fair_labels=False).measure(view(("covariate",)))
    assert by_class["p"]["label"] is None and by_class["p"]["concept"] is not None


def test_a_comparison_needs_two_sides() -> None:
    with pytest.raises(DataError, match="0 of 2 rows are of target 'c'"):
        Mmd().measure(View(features=np.eye(2), domain=np.array(["a", "b"]), target="c"))
