"""Importance weights: the ratio of two Gaussians, cutting by hand, and a covariate shift that they correct."""

import numpy as np
import pytest

from nlptl.adapt.importance import Importance, density_ratio, effective_rows, flattened, spread_out, with_shares_kept
from nlptl.contracts import Task
from nlptl.heads._solved import solve_head
from nlptl.heads.linear import Linear

RNG = np.random.default_rng


def test_the_ratio_of_two_gaussians() -> None:
    """p_T / p_S of N(1, 1) over N(0, 1) is exp(x − ½), whatever the numbers of rows."""
    rng = RNG(0)
    source, target = rng.normal(size=(3000, 1)), rng.normal(size=(1000, 1)) + 1
    found = density_ratio(source, target, np.arange(3000), seed=0)
    expected = source[:, 0] - 0.5
    assert np.corrcoef(np.log(found), expected)[0, 1] > 0.99
    assert np.log(found).mean() == pytest.approx(expected.mean(), abs=0.1)


def test_flattening_and_cutting_by_hand() -> None:
    assert flattened(np.array([1.0, 4.0]), exponent=0.5, most=10) == pytest.approx([2 / 3, 4 / 3])
    assert flattened(np.array([1.0, 9.0]), exponent=0.0, most=10) == pytest.approx([1, 1])
    cut = flattened(np.array([0.0, 0.0, 0.0, 4.0]), exponent=1.0, most=2.0)  # 4 times the mean, cut at 2
    assert cut == pytest.approx([0, 0, 0, 4])
    assert flattened(np.array([1.0, 1.0, 1.0, 5.0]), exponent=1.0, most=2.0) == pytest.approx([2 / 3.5] * 3 + [8 / 3.5])


def test_few_rows_never_carry_all_weight() -> None:
    """Ratios of 1 and 99: at exponent ½ (9.9 against 1) 1.2 rows of two are left; e = .2 is the first to leave 1.7."""
    ratios = np.array([1.0, 99.0])
    free = spread_out(ratios, exponent=0.5, most=10, least=0)
    assert effective_rows(free) == pytest.approx((1 + 99**0.5) ** 2 / (1 + 99))
    held = spread_out(ratios, exponent=0.5, most=10, least=1.7)
    assert held[1] / held[0] == pytest.approx(99**0.175)
    assert effective_rows(held) >= 1.7 > effective_rows(flattened(ratios, exponent=0.2, most=10))
    assert spread_out(ratios, exponent=0.5, most=10, least=2) == pytest.approx([1, 1])


def test_shares_of_labels_are_kept_by_hand() -> None:
    kept = with_shares_kept(np.array([1.0, 3.0, 0.5, 0.5]), np.array([0, 0, 1, 1]))
    assert kept == pytest.approx([0.5, 1.5, 1, 1])


def test_effective_rows_by_hand() -> None:
    assert effective_rows(np.ones(7)) == pytest.approx(7)
    assert effective_rows(np.array([1.0, 0, 0])) == pytest.approx(1)
    assert effective_rows(np.array([3.0, 1.0])) == pytest.approx(1.6)


def test_it_wins_where_the_target_shows_what_the_source_rarely_does() -> None:
    """A straight rule cannot follow a bent boundary: weighed, it fits the part of it that the target shows."""
    rng = RNG(0)

    def draw(rows: int, centre: float) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(rows, 2)) * [0.7, 1.0] + [centre, 0.0]
        return x, (x[:, 1] > np.abs(x[:, 0]) - 1).astype(np.int64)

    (source, labels), (target, truth) = draw(600, -0.7), draw(600, 0.9)
    task, everyone = Task("bend", Linear(), ("below", "above")), np.arange(600)
    folds = [(everyone[everyone % 5 != part], everyone[everyone % 5 == part]) for part in range(5)]
    weights = Importance(exponent=1.0, effective=0.0).weights(source, target, everyone, seed=0)
    assert 10 < effective_rows(weights) < 300
    right = [
        ((head.logits(target)[:, 0] > 0) == truth).mean()
        for head in (solve_head(task, {"last": source}, labels, folds, None, w) for w in (None, weights))
    ]
    assert right[1] > right[0] + 0.05
