"""Each domain's own τ, against solving every fold at every τ one after another."""

import numpy as np
import pytest
import torch
from made_users import folds_of, users

from nlptl.heads import _domains
from nlptl.heads._domains import GroupedRows, Spread, deviate
from nlptl.heads._domains_each import choose_taus
from nlptl.heads._solve import Link, row_losses

TAUS = [0.0, 0.5, 2.0, 8.0]


def held_out_losses(rows: GroupedRows, folds: list[tuple[np.ndarray, np.ndarray]], sigma: float) -> np.ndarray:
    """(domains, τ), each fold solved without its rows."""
    losses = np.zeros((len(rows.members), len(TAUS)))
    for teach, held in folds:
        inside = [np.intersect1d(members, teach) for members in rows.members]
        for place, tau in enumerate(TAUS):
            found = deviate(
                GroupedRows(rows.vectors, rows.targets, rows.offsets, inside, rows.link), Spread(tau, sigma)
            )
            for user, members in enumerate(rows.members):
                here = np.intersect1d(members, held)
                logits = rows.offsets[here] + rows.vectors[here] @ found.weights[user] + found.bias[user]
                lost = row_losses(torch.from_numpy(logits), torch.from_numpy(rows.targets[here]), rows.link)
                losses[user, place] += float(lost.sum())
    return losses


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dual_rows", [30, 512], ids=["primal", "dual"])
def test_each_domain_gets_what_its_own_folds_prefer(
    link: Link, dual_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = users(count=6, rows=40, tau=3.0, sigma=1.0, link=link)
    losses = held_out_losses(rows, folds_of(rows), 0.7)
    assert len(set(losses.argmin(1))) > 1  # they do not all prefer the same
    monkeypatch.setattr(_domains, "DUAL_ROWS", dual_rows)
    found = choose_taus(rows, folds_of(rows), taus=TAUS, sigma=0.7)
    np.testing.assert_array_equal(found, np.array(TAUS)[losses.argmin(1)])


def test_the_order_of_the_grid_does_not_matter() -> None:
    rows = users(count=6, rows=40, tau=3.0)
    forth = choose_taus(rows, folds_of(rows), taus=TAUS, sigma=0.5)
    np.testing.assert_array_equal(choose_taus(rows, folds_of(rows), taus=TAUS[::-1], sigma=0.5), forth)


def test_a_domain_that_no_fold_teaches_stays_closest() -> None:
    rows = users(count=3, rows=10, tau=3.0)
    folds = [(np.setdiff1d(teach, rows.members[1]), held) for teach, held in folds_of(rows)]
    assert choose_taus(rows, folds, taus=TAUS, sigma=0.5)[1] == 0.0


def test_domains_differ_in_their_tau_where_they_are_given_one() -> None:
    rows, taus = users(count=3, tau=2.0), np.array([0.3, 1.0, 4.0])
    together = deviate(rows, Spread(9.0, 0.5), taus)
    for user, tau in enumerate(taus):
        np.testing.assert_allclose(deviate(rows, Spread(tau, 0.5)).weights[user], together.weights[user], atol=1e-8)
