"""Heads of several groups of rows at once are those solved one by one."""

import numpy as np
from scipy.sparse import random as random_sparse

from nlptl.contracts import Task
from nlptl.heads import Linear
from nlptl.heads._solved import solve_head
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
