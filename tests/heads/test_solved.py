"""Choosing a reading and a prior strength by cross-validated loss."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from nlptl.contracts import Head, Task
from nlptl.heads._solved import PRECISIONS, START, solve_head

BINARY = Task("spam", Head(kind="linear"), ("ham", "spam"))


def folds_of(rows: int, parts: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    place = np.arange(rows)
    return [(place[place % parts != part], place[place % parts == part]) for part in range(parts)]


@pytest.fixture
def noisy() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two readings of 150 rows, of which only ``good`` tells the label, far from the origin."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 150)
    good = rng.normal(size=(150, 5)) + 1.5 * labels[:, None] + 40
    return {"bad": rng.normal(size=(150, 5)), "good": good}, labels


def test_it_reads_what_tells_the_label(noisy: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    readings, labels = noisy
    solved = solve_head(BINARY, readings, labels, folds_of(150))
    assert solved.reading == "good"
    assert ((solved.logits(readings["good"])[:, 0] > 0) == labels).mean() > 0.9


def test_weights_are_those_for_raw_vectors_at_the_strength_with_the_lowest_fold_loss(
    noisy: tuple[dict[str, np.ndarray], np.ndarray],
) -> None:
    """Against scikit-learn, strength by strength and fold by fold, on vectors centred and scaled by hand."""
    readings, labels = noisy
    vectors = readings["good"]
    scaled = (vectors - vectors.mean(0)) / np.sqrt(((vectors - vectors.mean(0)) ** 2).sum(1).mean())
    losses = []
    for precision in PRECISIONS:
        total = 0.0
        for teach, held in folds_of(150):
            model = LogisticRegression(C=1 / precision, tol=1e-10, max_iter=10_000).fit(scaled[teach], labels[teach])
            total -= model.predict_log_proba(scaled[held])[np.arange(len(held)), labels[held]].sum()
        losses.append(total / 150)
    assert int(np.argmin(losses)) != START[0]  # the search has somewhere to go
    solved = solve_head(BINARY, {"good": vectors}, labels, folds_of(150))
    assert solved.precision[0] == PRECISIONS[int(np.argmin(losses))]
    assert solved.loss == pytest.approx(min(losses), rel=1e-3)
    reference = LogisticRegression(C=1 / solved.precision[0], tol=1e-10, max_iter=10_000).fit(scaled, labels)
    np.testing.assert_allclose(solved.logits(vectors)[:, 0], reference.decision_function(scaled), atol=1e-3)


def test_words_logits_out_of_fold_come_from_the_fold_that_did_not_see_the_row() -> None:
    """A word a row, labels without rhyme or reason: in sample, words know every label; out of fold, none."""
    rng = np.random.default_rng(1)
    labels, vectors = rng.integers(0, 2, 120), rng.normal(size=(120, 3))
    words = csr_matrix(np.eye(120))
    solved = solve_head(BINARY, {"last": vectors}, labels, folds_of(120), words)
    assert solved.words is not None and solved.words_out_of_fold is not None
    assert (((words @ solved.words)[:, 0] > 0) == labels).all()
    np.testing.assert_array_equal(solved.words_out_of_fold, 0)


def test_vectors_and_words_are_solved_together() -> None:
    """Each tells half of the label; side by side they tell it, with weights that share the work."""
    rng = np.random.default_rng(2)
    half, other = rng.normal(size=400), rng.integers(0, 2, 400)
    labels = (half + 2 * (other - 0.5) + 0.3 * rng.normal(size=400) > 0).astype(np.int64)
    words = csr_matrix(np.eye(2)[other])
    alone = solve_head(BINARY, {"last": half[:, None]}, labels, folds_of(400))
    beside = solve_head(BINARY, {"last": half[:, None]}, labels, folds_of(400), words)
    assert beside.loss < alone.loss / 2
    assert ((beside.logits(half[:, None], words)[:, 0] > 0) == labels).mean() > 0.9


def test_softmax_over_three_labels() -> None:
    task = Task("topic", Head(kind="linear"), ("gas", "love", "movie"))
    labels = np.arange(60) % 3
    vectors = np.eye(3)[labels] + 0.1 * np.random.default_rng(0).normal(size=(60, 3))
    solved = solve_head(task, {"last": vectors}, labels, folds_of(60, parts=4))
    assert (solved.logits(vectors).argmax(1) == labels).all()


def test_multilabel_outputs_are_independent() -> None:
    task = Task("tags", Head(kind="linear", multilabel=True), ("a", "b"))
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(80, 2))
    labels = (vectors > 0).astype(np.float32)
    solved = solve_head(task, {"last": vectors}, labels, folds_of(80))
    assert ((solved.logits(vectors) > 0) == labels).mean() > 0.95
    assert abs(solved.weights[0, 1]) < 0.3 * solved.weights[0, 0]
