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
