"""Information maximisation: by hand, as mutual information, and a shift that it corrects."""

import math

import numpy as np
import pytest
import torch
from turned_features import accuracy_on_target, rotated

from nlptl.adapt.entropy import Entropy, information_loss


def test_by_hand() -> None:
    """Sure and varied: 0 − ln 2. Unsure: ln 2 − ln 2. Sure and all alike: 0 − 0."""
    assert float(information_loss(torch.eye(2), 1.0)) == pytest.approx(-math.log(2))
    assert float(information_loss(torch.full((3, 2), 0.5), 1.0)) == pytest.approx(0)
    assert float(information_loss(torch.tensor([[1.0, 0]] * 3), 1.0)) == pytest.approx(0)
    assert float(information_loss(torch.full((3, 2), 0.5), 0.25)) == pytest.approx(0.75 * math.log(2))


def test_it_is_the_mutual_information_of_row_and_answer() -> None:
    from scipy.stats import entropy

    shares = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    expected = np.mean([entropy(row, shares.mean(0)) for row in shares])  # the mean Kullback-Leibler divergence
    assert float(information_loss(torch.from_numpy(shares), 1.0)) == pytest.approx(-expected, rel=1e-9)


def test_it_wins_where_classes_stay_apart() -> None:
    shift = rotated()
    assert accuracy_on_target(shift, Entropy()) > accuracy_on_target(shift) + 0.04
