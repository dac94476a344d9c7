"""MCC: the confusion by hand, beside the authors' steps in NumPy, and a shift that it corrects."""

import numpy as np
import pytest
import torch
from turned_features import accuracy_on_target, rotated

from nlptl.adapt.mcc import Mcc, mcc_loss


def test_no_confusion_and_all_of_it() -> None:
    assert float(mcc_loss(torch.tensor([[50.0, 0], [0, 50.0]]), 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(mcc_loss(torch.zeros(3, 4), 1.0)) == pytest.approx(3 / 4)


def test_it_is_the_papers_equations_in_numpy() -> None:
    rng = np.random.default_rng(0)
    logits, temperature = rng.normal(size=(7, 3)) * 3, 2.5
    answers = np.exp(logits / temperature)
    answers /= answers.sum(1, keepdims=True)
    weights = 1 + np.exp((answers * np.log(answers)).sum(1))
    weights *= 7 / weights.sum()
    confusion = np.array(
        [[sum(weights[i] * answers[i, j] * answers[i, k] for i in range(7)) for k in range(3)] for j in range(3)]
    )
    confusion /= confusion.sum(1, keepdims=True)
    expected = sum(confusion[j, k] for j in range(3) for k in range(3) if j != k) / 3
    assert float(mcc_loss(torch.from_numpy(logits), temperature)) == pytest.approx(expected, rel=1e-9)


def test_it_wins_where_classes_stay_apart() -> None:
    shift = rotated()
    assert accuracy_on_target(shift, Mcc()) > accuracy_on_target(shift) + 0.04
