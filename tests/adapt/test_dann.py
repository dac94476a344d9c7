"""DANN: the gradient that is turned round, the loss by hand, and features that come to look alike."""

import math

import pytest
import torch
from turned_features import accuracy_on_target, rotated, step_of

from nlptl.adapt._features import domain_loss, reverse_gradient
from nlptl.adapt.dann import Dann


def test_the_gradient_is_turned_round_and_the_value_is_not() -> None:
    features = torch.tensor([1.0, -2.0], requires_grad=True)
    reversed_ = reverse_gradient(features, 0.5)
    assert torch.equal(reversed_, features)
    (reversed_ * torch.tensor([3.0, 4.0])).sum().backward()
    torch.testing.assert_close(features.grad, torch.tensor([-1.5, -2.0]))


def test_the_loss_by_hand() -> None:
    """Each side counts for half, however many rows it has: −ln(1 − σ(0)) and −ln σ(ln 3)."""
    loss = domain_loss(torch.zeros(5), torch.full((2,), math.log(3)))
    assert float(loss) == pytest.approx((math.log(2) - math.log(0.75)) / 2)
    assert float(domain_loss(torch.zeros(3), torch.zeros(4))) == pytest.approx(math.log(2))


def test_the_weight_rises_on_the_reversed_gradient_alone() -> None:
    """At the start nothing reaches the features, and the layers learn all the same."""
    step, layers = step_of(rotated(), progress=0.0), Dann().layers(2, 2)
    step.source.features.requires_grad_(True)
    Dann(weight=0.7).loss(step, layers).backward()
    assert not step.source.features.grad.any()  # type: ignore[union-attr]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in layers.parameters())
    assert Dann(weight=0.7).factor(1.0) == 1.0
    assert Dann(weight=0.7).strength(1.0) == pytest.approx(0.7, rel=1e-3)


def test_it_wins_where_features_turn() -> None:
    """On this draw; on others it may turn the target's classes onto the wrong ones, for it aligns the sides whole."""
    shift = rotated()
    assert accuracy_on_target(shift, Dann(weight=1.0)) > accuracy_on_target(shift) + 0.04
