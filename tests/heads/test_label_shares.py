"""Label shares under label shift, held to closed forms."""

import numpy as np
import pytest

from nlptl.contracts import Task
from nlptl.heads import Linear
from nlptl.heads._label_shares import em_shares, moved, taught_shares
from nlptl.heads._solved import LinearWeights


def test_one_step_by_hand() -> None:
    posteriors = np.array([[0.8, 0.2], [0.4, 0.6]])
    # From equal shares: nothing is reweighted, so that the first step is the mean (.6, .4).
    assert em_shares(posteriors, np.array([0.5, 0.5]), max_iterations=1) == pytest.approx([0.6, 0.4])
    # The second: (.8·.6/.56 + .4·.6/.48) / 2 = .678571…
    assert em_shares(posteriors, np.array([0.5, 0.5]), max_iterations=2)[0] == pytest.approx((0.48 / 0.56 + 0.5) / 2)


def test_the_shares_of_a_made_shift_are_found_and_the_head_that_expects_them_is_the_best_one() -> None:
    # Two Gaussians at ±1: the posterior's logit is 2x + log odds.
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.9).astype(np.int64)
    x = rng.normal(size=20_000) + np.where(labels, 1.0, -1.0)
    task = Task("spam", Linear(), ("ham", "spam"))
    taught = np.array([0.7, 0.3])
    overconfident = 3.0
    head = LinearWeights("last", np.array([[2.0]]) * overconfident, np.log([0.3 / 0.7]) * overconfident, None)
    posteriors = task.probabilities(head.logits(x[:, None]) / overconfident)
    shares = em_shares(posteriors, taught)
    assert shares[1] == pytest.approx(0.9, abs=0.01)
    best = moved(task, head, taught, shares, overconfident)
    assert best.bias / overconfident == pytest.approx(np.log([9.0]), abs=0.15)

    def accuracy(of: LinearWeights) -> float:
        return float(((of.logits(x[:, None])[:, 0] > 0) == labels).mean())

    assert accuracy(best) > accuracy(head) + 0.05


def test_several_labels_move_each_its_own_intercept() -> None:
    task = Task("topic", Linear(), ("a", "b", "c"))
    head = LinearWeights("last", np.zeros((1, 3)), np.zeros(3), None)
    after = moved(task, head, np.array([0.25, 0.25, 0.5]), np.array([0.5, 0.25, 0.25]), 1.0)
    assert task.probabilities(after.logits(np.zeros((1, 1))))[0] == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_shares_of_labelled_rows_leave_no_label_without_any() -> None:
    task = Task("topic", Linear(), ("a", "b", "c"))
    assert taught_shares(task, np.array([0, 0, 0, 1])) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
