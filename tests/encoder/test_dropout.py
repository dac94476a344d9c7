"""Dropout: what is dropped, what the rest becomes, and that the same seed draws the same."""

import pytest
import torch
from torch import nn

from nlptl.encoder._dropout import Dropout, put_in


def test_the_share_and_the_scale_by_hand() -> None:
    """p = 1/4: of 4 × 10⁵ ones a quarter is 0 (deviation 0.0007), the rest 4/3."""
    torch.manual_seed(0)
    dropped = Dropout(0.25)(torch.ones(1000, 400))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 4 / 3]))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.004)
    assert (dropped == 0).float().mean(0).max() < 0.35  # no column is always dropped
    assert (dropped == 0).float().mean(0).min() > 0.15


def test_gradients_go_through_what_was_kept() -> None:
    torch.manual_seed(0)
    x = torch.ones(10, 7, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())


def test_the_same_seed_draws_the_same() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(Dropout(0.5)(torch.ones(3, 5)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("p", "training", "expected"), [(0.0, True, 1.0), (0.5, False, 1.0), (1.0, True, 0.0)])
def test_none_and_all(p: float, training: bool, expected: float) -> None:
    assert Dropout(p).train(training)(torch.ones(4)).tolist() == [expected] * 4


def test_half_precision_stays_half() -> None:
    assert Dropout(0.5)(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_it_is_put_in_at_any_depth() -> None:
    body = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout(0.2)))
    put_in(body)
    [found] = [module for module in body.modules() if isinstance(module, nn.Dropout)]
    assert type(found) is Dropout and found.p == 0.2
