"""Averages of weights: by hand, from their start on, in and out of the weights' places."""

import pytest
import torch

from nlptl.recipe import Train
from nlptl.train.average import Average, share_of_new


def averaged(settings: Train, values: list[float]) -> tuple[Average, torch.Tensor]:
    weights = torch.zeros(1)
    average = Average.of({"w": weights}, settings)
    assert average is not None
    for place, value in enumerate(values, 1):
        weights.fill_(value)
        average.update(place / len(values))
    return average, weights


def test_swa_is_the_plain_mean_from_its_start_on() -> None:
    """Half of four steps: the weights after the second, third and fourth."""
    average, _ = averaged(Train(average="swa", average_start=0.5), [9.0, 1.0, 2.0, 6.0])
    assert float(average.values["w"]) == pytest.approx(3.0) and average.count == 3


def test_ema_by_hand() -> None:
    """Decays .5 at most, after warming up: min(.5, 2/11) = .1818, then min(.5, 3/12) = .25."""
    average, _ = averaged(Train(average="ema", average_decay=0.5), [4.0, 0.0, 8.0])
    first = 4 * 2 / 11
    assert float(average.values["w"]) == pytest.approx(first * 0.25 + 8 * 0.75)
    assert share_of_new(1000, 0.9) == pytest.approx(0.1)


def test_it_answers_while_it_lasts_and_is_kept_in_the_end() -> None:
    average, weights = averaged(Train(average="swa"), [1.0, 3.0])
    with average.answering():
        assert float(weights) == 2.0
    assert float(weights) == 3.0 and float(average.values["w"]) == 2.0
    average.keep()
    assert float(weights) == 2.0


def test_before_its_start_the_weights_answer() -> None:
    weights = torch.ones(1)
    average = Average({"w": weights}, decay=None, start=0.9)
    average.update(0.5)
    with average.answering():
        assert float(weights) == 1.0
    average.keep()
    assert float(weights) == 1.0
    assert Average.of({"w": weights}, Train()) is None
