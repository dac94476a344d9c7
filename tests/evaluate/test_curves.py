"""A point of the curve: means over draws, intervals over draws and rows, systems on the same resamples."""

import numpy as np
import pytest

from nlptl.evaluate.curves import accuracies

IDS = np.array([f"row {place}" for place in range(50)], dtype=object)


def test_means_and_intervals_are_those_of_draws_and_rows() -> None:
    rng = np.random.default_rng(0)
    right = {"a": [rng.random(50) < 0.8 for _ in range(4)], "sure": [np.ones(50, dtype=bool)] * 4}
    found = accuracies(right, IDS, resamples=400, seed=0)
    assert found["a"]["accuracy"] == pytest.approx(np.mean(right["a"]))
    low, high = found["a"]["ci95"]
    assert low < found["a"]["accuracy"] < high
    assert 0.05 < high - low < 0.3  # two standard errors of 50 rows at .8 are .11 either way, of 200 they are .06
    assert found["sure"]["accuracy"] == 1 and 0.93 < found["sure"]["ci95"][0] < 0.97 < found["sure"]["ci95"][1]


def test_draws_that_differ_widen_the_interval() -> None:
    half = [np.arange(50) < 40] * 4
    apart = [np.arange(50) < count for count in (30, 35, 45, 50)]
    found = accuracies({"same": half, "apart": apart}, IDS, resamples=400, seed=0)
    width = {name: each["ci95"][1] - each["ci95"][0] for name, each in found.items()}
    assert found["same"]["accuracy"] == found["apart"]["accuracy"] == 0.8
    assert width["apart"] > width["same"]
