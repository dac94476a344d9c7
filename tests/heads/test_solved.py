"""Choosing a reading and a prior strength by cross-validated loss."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from nlptl.contracts import Head, Task
from nlptl.heads._grid import PRECISIONS, START
from nlptl.heads._solved import PriorMean, fold_loss, solve_head

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


def test_logits_out_of_fold_are_those_of_a_head_that_did_not_see_the_row(
    noisy: tuple[dict[str, np.ndarray], np.ndarray],
) -> None:
    """Against scikit-learn on each fold's teaching rows, at the strength that was chosen."""
    readings, labels = noisy
    vectors = readings["good"]
    scaled = (vectors - vectors.mean(0)) / np.sqrt(((vectors - vectors.mean(0)) ** 2).sum(1).mean())
    solved = solve_head(BINARY, {"good": vectors}, labels, folds_of(150))
    for teach, held in folds_of(150):
        model = LogisticRegression(C=1 / solved.precision[0], tol=1e-10, max_iter=10_000)
        logits = model.fit(scaled[teach], labels[teach]).decision_function(scaled[held])
        np.testing.assert_allclose(solved.out_of_fold[held, 0], logits, rtol=1e-3, atol=1e-3)


def test_words_logits_out_of_fold_come_from_the_fold_that_did_not_see_the_row() -> None:
    """A word a row, labels without rhyme or reason: in sample, words know every label; out of fold, none."""
    rng = np.random.default_rng(1)
    labels, vectors = rng.integers(0, 2, 120), rng.normal(size=(120, 3))
    words = csr_matrix(np.eye(120))
    solved = solve_head(BINARY, {"last": vectors}, labels, folds_of(120), words)
    assert solved.words is not None and solved.words_out_of_fold is not None
    assert (((words @ solved.words)[:, 0] > 0) == labels).all()
    np.testing.assert_array_equal(solved.words_out_of_fold, 0)
    assert np.abs(solved.out_of_fold).max() > 0  # the vectors' part


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


def test_a_row_of_weight_two_is_a_row_that_is_there_twice() -> None:
    rng = np.random.default_rng(3)
    vectors = np.tile(rng.normal(size=(30, 3)), (2, 1))  # so that centre and scale stay those of the repeated rows
    encoded = (vectors[:, 0] + rng.normal(size=60) > 0).astype(np.int64)
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    twice = np.r_[np.arange(60), np.arange(30)]
    repeated = [(np.r_[np.arange(30), np.arange(60, 90)], np.arange(30, 60)),
                (np.arange(30, 60), np.r_[np.arange(30), np.arange(60, 90)])]  # fmt: skip
    weights = np.r_[np.full(30, 2.0), np.ones(30)]
    weighted = solve_head(BINARY, {"last": vectors}, encoded, folds, row_weights=weights)
    there = solve_head(BINARY, {"last": vectors[twice]}, encoded[twice], repeated)
    np.testing.assert_allclose(weighted.logits(vectors), there.logits(vectors), atol=1e-5)
    np.testing.assert_allclose(weighted.loss, there.loss, atol=1e-6)


def test_a_row_of_weight_0_has_logits_out_of_fold_too(noisy: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    readings, labels = noisy
    weights = np.where(np.arange(len(labels)) < len(labels) // 2, 0.0, 1.0)
    head = solve_head(BINARY, readings, labels, folds_of(len(labels)), row_weights=weights)
    assert head.out_of_fold.all()


def made_prior(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, 40) vectors whose label is told by one direction, and that direction as (40, 1)."""
    rng = np.random.default_rng(5)
    labels, toward = np.arange(rows) % 2, np.eye(40)[:, :1]
    return rng.normal(size=(rows, 40)) + 2.0 * (labels[:, None] - 0.5) * toward.T, labels, toward


def test_few_labels_and_a_prior_that_points_right_beat_few_labels() -> None:
    vectors, labels, toward = made_prior(412)
    few = np.arange(12)
    heads = [
        solve_head(BINARY, {"last": vectors[few]}, labels[few], folds_of(12), prior=prior)
        for prior in (None, {"last": PriorMean(toward)})
    ]
    without, told = [((head.logits(vectors[12:])[:, 0] > 0) == labels[12:]).mean() for head in heads]
    assert told > without + 0.05
    assert heads[0].prior_scale == 0 < heads[1].prior_scale


def test_a_prior_that_points_wrong_is_dropped() -> None:
    vectors, labels, toward = made_prior(120)
    plain = solve_head(BINARY, {"last": vectors}, labels, folds_of(120))
    misled = solve_head(BINARY, {"last": vectors}, labels, folds_of(120), prior={"last": PriorMean(-toward)})
    assert misled.prior_scale == 0
    np.testing.assert_allclose(misled.weights, plain.weights)


def test_a_prior_that_knows_its_intercept_is_not_moved_by_a_few_labels_a_class() -> None:
    """A threshold at 1.5, off the middle: as many labels of each class would set it between the classes' few rows."""
    vectors, _, toward = made_prior(812)
    labels = (vectors[:, 0] > 1.5).astype(np.int64)
    few = np.concatenate([np.flatnonzero(labels == label)[:4] for label in (0, 1)])
    folds = [(np.delete(np.arange(8), [k, k + 4]), np.array([k, k + 4])) for k in range(4)]
    anywhere, known = [
        solve_head(BINARY, {"last": vectors[few]}, labels[few], folds, prior={"last": prior})
        for prior in (PriorMean(toward), PriorMean(toward, np.array([-1.5])))
    ]
    right = [((head.logits(vectors)[:, 0] > 0) == labels).mean() for head in (anywhere, known)]
    assert right[1] > right[0] + 0.02, right


def test_the_loss_at_one_precision_is_that_of_the_search(noisy: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    vectors, labels = noisy[0]["good"], noisy[1]
    head = solve_head(BINARY, {"good": vectors}, labels, folds_of(150))
    assert fold_loss(BINARY, vectors, labels, folds_of(150), head.precision[0]) == pytest.approx(head.loss, rel=1e-4)
    assert fold_loss(BINARY, vectors, labels, folds_of(150), PRECISIONS[-1]) > head.loss


def test_a_prior_that_is_ahead_only_where_the_search_begins_is_dropped() -> None:
    """Labels that say little ask for a strong precision. Near where the search begins this prior is ahead (.783 nats
    against .790), and at each one's own best precision it is behind (.565 against .552)."""
    rng = np.random.default_rng(41)
    labels, signal = np.arange(80) % 2, rng.normal(size=(40, 1))
    vectors = rng.normal(size=(80, 40)) + 0.15 * (2 * labels[:, None] - 1) * np.sign(signal.T)
    mean = PriorMean(0.35 * np.sign(signal) + rng.normal(size=(40, 1)))
    plain, told = (solve_head(BINARY, {"last": vectors}, labels, folds_of(80), prior=p) for p in (None, {"last": mean}))
    assert told.prior_scale == 0
    np.testing.assert_allclose(told.weights, plain.weights)
