"""Per-domain deviations: users made to agree pool, users made to differ part, and the solve against SciPy's."""

import numpy as np
import pytest
import torch
from made_users import folds_of, users
from scipy.optimize import minimize

from nlptl.heads import _domains
from nlptl.heads._domains import GroupedRows, Spread, choose_spread, deviate, deviate_out_of_fold
from nlptl.heads._scaling import Scaling
from nlptl.heads._solve import Link, row_losses


def loss(rows: GroupedRows, logits: np.ndarray) -> float:
    return float(row_losses(torch.from_numpy(logits), torch.from_numpy(rows.targets), rows.link).mean())


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_users_who_agree_are_pooled_and_unharmed(link: Link) -> None:
    rows = users(20 if link == "softmax" else 40, link=link)
    spread, gain = choose_spread(rows)
    assert spread.weights <= 0.4 and spread.intercept <= 0.2
    assert gain < 2
    assert loss(rows, deviate_out_of_fold(rows, spread, folds_of(rows))) < loss(rows, rows.offsets) + 2e-3


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_users_whose_weights_differ_part(link: Link) -> None:
    rows = users(20 if link == "softmax" else 40, tau=4.0, link=link)
    spread, gain = choose_spread(rows)
    assert 2 < spread.weights < 8  # the truth is 4
    assert gain > 50
    assert loss(rows, deviate_out_of_fold(rows, spread, folds_of(rows))) < loss(rows, rows.offsets) - 0.05


def test_users_whose_label_shares_differ_get_another_intercept_and_the_same_weights() -> None:
    rows = users(sigma=2.0)
    spread, gain = choose_spread(rows)
    assert 1 < spread.intercept < 4  # the truth is 2
    assert spread.weights < 0.5
    assert gain > 50
    found = deviate(rows, spread)
    assert found.bias.std() > 5 * np.abs(found.weights).mean()


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dual_rows", [0, 512], ids=["primal", "dual"])
def test_deviations_minimise_the_written_objective(link: Link, dual_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_domains, "DUAL_ROWS", dual_rows)
    rows, spread = users(count=3, rows=20, width=4, tau=2.0, sigma=1.0, link=link), Spread(1.5, 0.5)
    found = deviate(rows, spread)
    for user, members in enumerate(rows.members):
        vectors, targets, offsets = (each[members] for each in (rows.vectors, rows.targets, rows.offsets))
        outputs = targets.shape[1]

        def objective(flat: np.ndarray, v=vectors, t=targets, o=offsets, k=outputs) -> float:
            weights, bias = flat[:-k].reshape(-1, k), flat[-k:]
            losses = row_losses(torch.from_numpy(v @ weights + bias + o), torch.from_numpy(t), link)
            return float(losses.sum()) + (weights**2).sum() / 2 / 1.5**2 + (bias**2).sum() / 2 / 0.5**2

        best = minimize(objective, np.zeros(5 * outputs), method="BFGS", options={"gtol": 1e-7}).x
        np.testing.assert_allclose(found.weights[user].ravel(), best[:-outputs], atol=1e-4)
        np.testing.assert_allclose(found.bias[user], best[-outputs:], atol=1e-4)


@pytest.mark.parametrize("spread", [Spread(1.5, 0.5), Spread(0.0, 0.5), Spread(1.5, 0.0), Spread(0.0, 0.0)])
def test_a_large_domain_is_solved_to_the_same_answer(spread: Spread, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = users(count=4, tau=2.0)
    dual, dual_folds = deviate(rows, spread), deviate_out_of_fold(rows, spread, folds_of(rows))
    monkeypatch.setattr(_domains, "DUAL_ROWS", 61)  # two of the four are larger
    primal = deviate(rows, spread)
    np.testing.assert_allclose(primal.weights, dual.weights, atol=1e-5)
    np.testing.assert_allclose(primal.bias, dual.bias, atol=1e-5)
    np.testing.assert_allclose(deviate_out_of_fold(rows, spread, folds_of(rows)), dual_folds, atol=1e-5)


def test_a_domain_depends_on_no_other_once_the_spread_is_known() -> None:
    """Which is what lets a user be added later, from his own labels alone."""
    rows, spread = users(count=7, tau=2.0), Spread(2.0, 1.0)
    together = deviate(rows, spread)
    for user, members in enumerate(rows.members):
        alone = deviate(GroupedRows(*(each[members] for each in (rows.vectors, rows.targets, rows.offsets)),
                                    [np.arange(len(members))], rows.link), spread)  # fmt: skip
        np.testing.assert_allclose(alone.weights[0], together.weights[user], atol=1e-8)
        np.testing.assert_allclose(alone.bias[0], together.bias[user], atol=1e-8)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_out_of_fold_a_row_is_answered_without_its_label(link: Link) -> None:
    """Each fold's rows against a solve from which they were left out by hand; rows of no fold keep their offset."""
    rows, spread = users(count=3, rows=20, tau=2.0, link=link), Spread(2.0, 1.0)
    folds = folds_of(rows)[:4]
    logits = deviate_out_of_fold(rows, spread, folds)
    for teach, held in folds:
        without = GroupedRows(
            rows.vectors, rows.targets, rows.offsets, [np.intersect1d(m, teach) for m in rows.members], rows.link
        )
        found = deviate(without, spread)
        for user, members in enumerate(rows.members):
            here = np.intersect1d(members, held)
            expected = rows.offsets[here] + rows.vectors[here] @ found.weights[user] + found.bias[user]
            np.testing.assert_allclose(logits[here], expected, atol=1e-6)
    never = np.arange(len(rows.vectors)) % 5 == 4
    np.testing.assert_array_equal(logits[never], rows.offsets[never])


def test_more_domains_than_are_looked_at_agree_with_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = users(tau=4.0)
    monkeypatch.setattr(_domains, "EVIDENCE_DOMAINS", 10)
    monkeypatch.setattr(_domains, "DUAL_ROWS", 30)
    assert 2 <= choose_spread(rows)[0].weights <= 8


def test_scaled_vectors_have_unit_length_and_their_weights_serve_raw_ones() -> None:
    rng = np.random.default_rng(0)
    vectors = 7 * rng.normal(size=(50, 3)) + 40
    scaling = Scaling.of(vectors)
    scaled = scaling(vectors)
    assert (scaled**2).sum(1).mean() == pytest.approx(1)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    weights, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4))
    raw_weights, raw_bias = scaling.raw(weights, bias)
    for each in range(2):
        np.testing.assert_allclose(vectors @ raw_weights[each] + raw_bias[each], scaled @ weights[each] + bias[each])
    assert Scaling.of(np.ones((4, 2))).scale == 1
