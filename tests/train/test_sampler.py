"""How often rows are met: by hand-sized numbers, and over draws."""

import numpy as np
import pytest

from nlptl.recipe import Train
from nlptl.train.sampler import Sampler, copies, draw, exponent, task_shares


@pytest.mark.parametrize(
    ("power", "shares"), [(1.0, [0.9, 0.1]), (0.5, [0.75, 0.25]), (0.0, [0.5, 0.5])], ids=["rows", "root", "uniform"]
)
def test_shares_of_900_and_100_rows(power: float, shares: list[float]) -> None:
    np.testing.assert_allclose(task_shares(np.array([900, 100]), power), shares)


def test_a_task_without_rows_has_no_share() -> None:
    np.testing.assert_allclose(task_shares(np.array([5, 0, 5]), 0.0), [0.5, 0, 0.5])


def test_annealed_goes_from_proportional_to_a_fifth() -> None:
    assert [round(exponent("annealed", 2.0, epoch, 5), 2) for epoch in range(5)] == [1.0, 0.8, 0.6, 0.4, 0.2]
    assert exponent("temperature", 4.0, 0, 5) == 0.25


def test_copies_of_rows_with_one_task_and_with_both() -> None:
    apart = np.array([[True, False]] * 3 + [[False, True]])
    np.testing.assert_allclose(copies(apart, np.array([0.5, 0.5])), [2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_allclose(copies(np.ones((4, 2), dtype=bool), np.array([0.5, 0.5])), 1)


def test_draws_are_within_one_of_what_is_wanted_and_right_on_average() -> None:
    wanted = np.array([0.25, 2.5, 1.0, 0.25])
    drawn = np.stack([np.bincount(draw(wanted, np.random.default_rng(s)), minlength=4) for s in range(4000)])
    assert (np.abs(drawn - wanted) < 1).all() and (drawn.sum(axis=1) == 4).all()
    np.testing.assert_allclose(drawn.mean(axis=0), wanted, atol=0.03)


def test_an_epoch_of_a_uniform_sampler_meets_tasks_as_often() -> None:
    labelled = np.zeros((1000, 2), dtype=bool)
    labelled[:900, 0], labelled[900:, 1] = True, True
    sampler = Sampler(labelled, Train(sampler="uniform"))
    rows = sampler.draw(0, 3, seed=0)
    assert len(rows) == 1000 and abs(int((rows >= 900).sum()) - 500) <= 1
    assert not np.array_equal(rows, sampler.draw(1, 3, seed=0))
    np.testing.assert_array_equal(rows, sampler.draw(0, 3, seed=0))
