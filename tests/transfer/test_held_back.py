import numpy as np
import pytest

from nlptl.transfer.held_back import classes_of, hold_back

ROWS = np.arange(300)
LETTERS = np.where(ROWS < 60, 2, ROWS % 2)
"""Sixty newsletters, which are copies of one template, and 240 rows of two other labels."""
TEMPLATE = np.where(ROWS < 60, 0, ROWS)


def test_rows_without_copies_are_the_first_of_the_order() -> None:
    order = np.random.default_rng(0).permutation(ROWS)
    assert set(np.flatnonzero(hold_back(ROWS, order, [ROWS % 2], 30))) == set(order[:30])


def test_a_template_that_is_all_of_its_label_stays_with_those_that_teach() -> None:
    held = hold_back(TEMPLATE, np.random.default_rng(0).permutation(ROWS), [LETTERS], 30)
    assert held.sum() == 30 and not held[:60].any()
    assert set(LETTERS[~held]) == {0, 1, 2}


def test_whole_groups_are_held_back_while_they_fit() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 4])
    held = hold_back(groups, np.arange(8), [np.tile([0, 1], 4)], 3)
    assert held.tolist() == [True] * 3 + [False] * 5
    held = hold_back(groups, np.arange(8), [np.tile([0, 1], 4)], 2)
    assert held.tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_the_smallest_group_is_held_back_where_each_is_too_large() -> None:
    groups = np.repeat([0, 1, 2], [4, 2, 3])
    held = hold_back(groups, np.arange(9), [np.array([0, 1] * 4 + [0])], 1)
    assert np.flatnonzero(held).tolist() == [4, 5]


@pytest.mark.parametrize("order", [np.arange(2), np.arange(0)])
def test_nothing_is_held_back_where_none_can_be_spared(order: np.ndarray) -> None:
    assert not hold_back(np.arange(2), order, [np.array([0, 1])], 1).any()


def test_each_label_of_several_is_spared_and_each_absence_of_one() -> None:
    marks = np.array([[1, 0], [0, 0], [0, 1], [0, 1], [np.nan, np.nan]], dtype=np.float32)
    classes = classes_of({"spam": np.array([0, 0, 1, 1, -1]), "marks": marks}, np.arange(5))
    assert [of.tolist() for of in classes] == [[0, 0, 1, 1, -1], [1, 0, 0, 0, -1], [0, 0, 1, 1, -1]]
    held = hold_back(np.arange(5), np.arange(5), classes, 5)
    assert np.flatnonzero(held).tolist() == [1, 2, 4]
