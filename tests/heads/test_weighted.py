"""Heads of several groups of rows at once are those solved one by one."""

import numpy as np
from scipy.sparse import random as random_sparse

from nlptl.contracts import Task
from nlptl.heads import Linear
from nlptl.heads._solved import PriorMean, solve_head
from nlptl.heads._weighted import solve_weighted


def test_each_head_is_that_of_its_own_rows() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(90, 4)) + 3
    words = random_sparse(90, 12, density=0.3, format="csr", random_state=0)
    encoded = (vectors[:, 0] + words.toarray()[:, 0] + rng.normal(size=90) > 3.2).astype(np.int64)
    task = Task("spam", Linear(), ("ham", "spam"))
    folds = [(np.arange(45), np.arange(45, 90)), (np.arange(45, 90), np.arange(45))]
    like = solve_head(task, {"last": vectors}, encoded, folds, words)
    weights = np.ones((2, 90))
    weights[1, 60:] = 0

    whole, part = solve_weighted(task, like, vectors, encoded, words, weights)
    assert (whole.reading, part.reading) == ("last", "last")
    np.testing.assert_allclose(whole.logits(vectors, words), like.logits(vectors, words), atol=1e-4)
    assert np.abs(part.logits(vectors, words) - like.logits(vectors, words)).max() > 0.05

    hidden = np.where(np.arange(90) < 60, encoded, -1)
    [again] = solve_weighted(task, like, vectors, hidden, words, weights[1:])
    np.testing.assert_allclose(again.logits(vectors, words), part.logits(vectors, words), atol=1e-4)


def test_the_prior_mean_of_the_turns_head_is_that_of_every_group() -> None:
    """Eight labels, as many of each, of a rare class: what places the head is its prior."""
    rng = np.random.default_rng(5)
    toward = np.eye(40)[:, :1]
    vectors = rng.normal(size=(400, 40)) + 2.0
    labels = (vectors[:, 0] > 3.5).astype(np.int64)
    few = np.concatenate([np.flatnonzero(labels == label)[:4] for label in (0, 1)])
    folds = [(np.delete(np.arange(8), [k, k + 4]), np.array([k, k + 4])) for k in range(4)]
    task = Task("spam", Linear(), ("ham", "spam"))
    like = solve_head(
        task, {"last": vectors[few]}, labels[few], folds, prior={"last": PriorMean(toward, np.array([-3.5]))}
    )
    [again] = solve_weighted(task, like, vectors[few], labels[few], None, np.ones((1, 8)))
    np.testing.assert_allclose(again.logits(vectors), like.logits(vectors), atol=1e-3)
    assert like.prior is not None and like.prior_scale > 0
    assert ((again.logits(vectors)[:, 0] > 0) == labels).mean() > 0.9
