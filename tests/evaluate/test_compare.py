import numpy as np
import pytest

from nlptl.evaluate.compare import holm, mcnemar


def rights(both: int, only_a: int, only_b: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.array([True] * (both + only_a) + [False] * (only_b + none))
    b = np.array([True] * both + [False] * only_a + [True] * only_b + [False] * none)
    return a, b


def test_exact_mcnemar_by_hand() -> None:
    # 1 against 9 of 10 coins: 2 · (1 + 10) / 1024
    test = mcnemar(*rights(50, 9, 1, 5))
    assert (test.only_a, test.only_b) == (9, 1)
    assert test.p == pytest.approx(22 / 1024)


@pytest.mark.parametrize("agree", [rights(5, 0, 0, 5), rights(5, 3, 3, 5)])
def test_nothing_that_tells_two_systems_apart_has_p_1(agree: tuple[np.ndarray, np.ndarray]) -> None:
    assert mcnemar(*agree).p == pytest.approx(1.0)


def test_a_row_scored_under_several_seeds_has_one_vote() -> None:
    a, b = rights(0, 8, 0, 0)
    assert mcnemar(np.tile(a, 5), np.tile(b, 5), np.tile(np.arange(8), 5)).p == pytest.approx(2 / 2**8)
    # A row that A wins twice and B once votes for A; one each does not vote.
    test = mcnemar(np.array([1, 1, 0, 1, 0], bool), np.array([0, 0, 1, 0, 1], bool), np.array([0, 0, 0, 1, 1]))
    assert (test.only_a, test.only_b) == (1, 0)


def test_holm_by_hand_in_the_order_given() -> None:
    assert holm([0.03, 0.01, 0.04, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_with_weights_by_hand() -> None:
    # p / w: .1, .025: the second goes first, .02 · 1 / .8; then .02 · .2 / .2, which may not be below it.
    assert holm([0.02, 0.02], [0.2, 0.8]) == pytest.approx([0.025, 0.025])
    assert holm([0.03, 0.01, 0.04, 0.5], [2, 2, 2, 2]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
