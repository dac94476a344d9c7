"""A head over vectors that its own labels shaped: the strength is that of rows held out of both."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nlptl.contracts import Task
from nlptl.heads import Linear
from nlptl.heads._crossfit import Body, choose_crossfit, solve_chosen
from nlptl.heads._grid import PRECISIONS
from nlptl.heads._solve import row_losses
from nlptl.heads._solved import PriorMean, solve_head

TASK = Task("t", Linear(), ("a", "b"))
ROWS = 40


def rows(signal: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    classes = np.arange(ROWS) % 2
    vectors = rng.normal(size=(ROWS, 6))
    vectors[:, 0] += signal * (2 * classes - 1)
    return vectors, classes


FOLDS = [(np.arange(20, 40), np.arange(20)), (np.arange(20), np.arange(20, 40))]


def test_vectors_that_no_label_taught_get_the_precision_of_plain_folds() -> None:
    vectors, classes = rows(1.0)
    choice = choose_crossfit(TASK, [Body(vectors)] * 2, classes, FOLDS)
    plain = solve_head(TASK, {"last": vectors}, classes, FOLDS)
    assert abs(PRECISIONS.index(choice.precision) - PRECISIONS.index(plain.precision[0])) <= 1
    assert choice.losses.shape == (ROWS,)


def test_a_body_that_only_remembers_is_seen_through() -> None:
    """Its vectors part the rows that taught it, and say nothing of those held out."""
    rng = np.random.default_rng(1)
    classes = np.arange(ROWS) % 2
    bodies = []
    for teach, _ in FOLDS:
        vectors = rng.normal(size=(ROWS, 6))
        vectors[teach, 0] = 10.0 * (2 * classes[teach] - 1)
        bodies.append(Body(vectors))
    honest = choose_crossfit(TASK, bodies, classes, FOLDS)
    together = rng.normal(size=(ROWS, 6))
    together[:, 0] = 10.0 * (2 * classes - 1)
    fooled = solve_head(TASK, {"last": together}, classes, FOLDS)
    assert fooled.loss < 0.05
    assert honest.losses.mean() > 0.6 and honest.precision > 1 > fooled.precision[0]


def test_the_head_is_the_chosen_one_divided_by_its_temperature() -> None:
    vectors, classes = rows(1.0)
    choice = choose_crossfit(TASK, [Body(vectors)] * 2, classes, FOLDS)
    head = solve_chosen(TASK, "last", Body(vectors), classes, np.arange(ROWS), choice)
    logits = torch.from_numpy(head.logits(vectors))
    targets = torch.from_numpy(TASK.targets(classes))
    assert float(row_losses(logits, targets, "sigmoid").mean()) < choice.losses.mean()
    hotter = replace(choice, temperature=2 * choice.temperature)
    warmer = solve_chosen(TASK, "last", Body(vectors), classes, np.arange(ROWS), hotter)
    np.testing.assert_allclose(2 * warmer.logits(vectors), head.logits(vectors), rtol=1e-9)


def test_a_prior_that_is_right_is_used() -> None:
    vectors, classes = rows(0.7)
    toward = np.zeros((6, 1))
    toward[0] = 1.0
    few = [(np.array([0, 1, 20, 21]), np.arange(22, 40)), (np.array([22, 23]), np.arange(20))]
    with_names = choose_crossfit(TASK, [Body(vectors, PriorMean(toward))] * 2, classes, few)
    without = choose_crossfit(TASK, [Body(vectors)] * 2, classes, few)
    assert with_names.prior_scale > 0
    assert with_names.losses.mean() < without.losses.mean()


@pytest.mark.parametrize("rows_that_teach", [np.arange(10), np.arange(30)])
def test_only_the_rows_named_teach_the_head(rows_that_teach: np.ndarray) -> None:
    vectors, classes = rows(1.0)
    choice = choose_crossfit(TASK, [Body(vectors)] * 2, classes, FOLDS)
    head = solve_chosen(TASK, "last", Body(vectors), classes, rows_that_teach, choice)
    turned = classes.copy()
    turned[rows_that_teach[-1] + 1 :] = 1 - turned[rows_that_teach[-1] + 1 :]
    again = solve_chosen(TASK, "last", Body(vectors), turned, rows_that_teach, choice)
    np.testing.assert_allclose(head.weights, again.weights, atol=1e-9)
