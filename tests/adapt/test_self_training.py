"""Self-training: which answers count, what they cost, the teacher's weights, and a shift that it corrects."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from train_network import make_adaptation, make_network
from turned_features import accuracy_on_target, rotated, step_of

from nlptl.adapt.self_training import SelfTraining, pseudo_label_loss, pseudo_labels


def test_each_class_has_its_own_threshold() -> None:
    """Half of each class's rows: the rarer class keeps its surest, though the other's are all surer."""
    sure = torch.tensor([0.99, 0.98, 0.97, 0.96, 0.4, 0.3])
    labels, counts = pseudo_labels(torch.stack([sure, 1 - sure], 1), share=0.5, confidence=0.0)
    assert labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert counts.tolist() == [True, True, False, False, False, True]


def test_shares_are_rounded_up_and_low_confidence_never_counts() -> None:
    sure = torch.tensor([0.9, 0.8, 0.55])
    both = torch.stack([sure, 1 - sure], 1)
    assert pseudo_labels(both, share=0.34, confidence=0.0)[1].tolist() == [True, True, False]
    assert pseudo_labels(both, share=1.0, confidence=0.6)[1].tolist() == [True, True, False]
    assert not pseudo_labels(both, share=0.0, confidence=0.0)[1].any()


def test_the_loss_is_over_the_rows_that_count() -> None:
    logits = torch.tensor([[0.0, np.log(3.0)], [7.0, 0.0]], requires_grad=True)
    loss = pseudo_label_loss(logits, torch.tensor([0, 1]), torch.tensor([True, False]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(np.log(4))
    assert logits.grad is not None and not logits.grad[1].any()
    three = torch.zeros(3, 2)
    three[2, 1] = float(np.log(3.0))  # of class 0 both rows cost ln 2, of class 1 the one costs ln 4/3
    mean = pseudo_label_loss(three, torch.tensor([0, 0, 1]), torch.ones(3, dtype=torch.bool))
    assert float(mean) == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)
    none = pseudo_label_loss(logits, torch.tensor([0, 1]), torch.tensor([False, False]))
    assert float(none.detach()) == 0 and none.requires_grad


def test_nothing_counts_before_the_warm_up_is_over() -> None:
    logits = np.linspace(-3, 3, 200)
    early, late = (step_of(rotated(), logits=(logits, logits), progress=share) for share in (0.29, 0.31))
    assert float(SelfTraining().loss(early, None)) == 0
    assert float(SelfTraining().loss(late, None)) > 0


def test_the_teacher_follows_the_model(tiny_encoder: Path) -> None:
    """After one step that moved the weights by 1, the teacher has moved by 1 − 0.95; the model stays itself."""
    network = make_network(tiny_encoder)
    adaptation = make_adaptation(network, "self_training")
    first = [average.clone() for average in adaptation.teacher]
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in learning:
            parameter += 1
    kept = [parameter.clone() for parameter in learning]
    adaptation.backward((np.arange(9), np.arange(9)), 0.5, Accelerator(cpu=True))
    for average, before, parameter, after in zip(adaptation.teacher, first, learning, kept, strict=True):
        torch.testing.assert_close(average, before + 0.05)
        assert torch.equal(parameter, after)
        assert average.grad is None


def test_it_wins_where_classes_stay_apart() -> None:
    shift = rotated()
    assert accuracy_on_target(shift, SelfTraining()) > accuracy_on_target(shift) + 0.04
