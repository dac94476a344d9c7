"""Temperature scaling finds by how much logits were stretched."""

import numpy as np
import pytest

from nlptl.contracts import Task
from nlptl.heads import Linear
from nlptl.heads._temperature import fit_temperature


@pytest.mark.parametrize("labels", [("ham", "spam"), ("a", "b", "c")])
@pytest.mark.parametrize("stretched", [0.5, 1.0, 4.0])
def test_the_stretch_is_found(labels: tuple[str, ...], stretched: float) -> None:
    rng = np.random.default_rng(0)
    task = Task("task", Linear(), labels)
    logits = rng.normal(size=(20_000, task.outputs)) * 2
    shares = task.probabilities(logits)
    encoded = (rng.random((20_000, 1)) > shares.cumsum(1)[:, :-1]).sum(1)
    assert fit_temperature(task, logits * stretched, encoded) == pytest.approx(stretched, rel=0.05)


def test_the_temperature_by_hand() -> None:
    """All rows have the logit 3 and 8 of 10 are right: 1 / (1 + exp(-3 / T)) = .8, so that T = 3 / log(.8 / .2)."""
    task, encoded = Task("spam", Linear(), ("ham", "spam")), np.array([1] * 8 + [0] * 2)
    assert fit_temperature(task, np.full((10, 1), 3.0), encoded) == pytest.approx(3 / np.log(4), rel=1e-4)


def test_ten_rows_that_are_all_right_are_no_ground_for_certainty() -> None:
    """Without a prior T shrinks until the loss is 0. With one it stays where the two slopes meet:
    10 · 3 / T · (1 - p) = -log T, p = 1 / (1 + exp(-3 / T))."""
    task, encoded = Task("spam", Linear(), ("ham", "spam")), np.ones(10, dtype=int)
    logits = np.full((10, 1), 3.0)
    assert fit_temperature(task, logits, encoded) < 0.15  # where the loss is as good as 0
    found = fit_temperature(task, logits, encoded, prior=1.0)
    shares = 1 / (1 + np.exp(-3 / found))
    assert 10 * 3 / found * (1 - shares) == pytest.approx(-np.log(found), rel=1e-3)
    assert 0.5 < found < 1
