"""Batch norm in the mlp head: torch's own numbers, one row, none, and where it stands."""

import torch
from torch import nn

from nlptl.heads import Mlp
from nlptl.heads._batch_norm import BatchNorm


def both(width: int = 4) -> tuple[BatchNorm, nn.BatchNorm1d]:
    torch.manual_seed(0)
    ours, theirs = BatchNorm(width), nn.BatchNorm1d(width)
    with torch.no_grad():
        ours.weight.normal_(), ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def test_it_is_torchs_in_training_and_after() -> None:
    ours, theirs = both()
    for _ in range(3):
        x = 3 * torch.randn(7, 4, dtype=torch.float32) + 1
        mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        first, second = ours(mine), theirs(other)
        torch.testing.assert_close(first, second)
        first.pow(3).sum().backward(), second.pow(3).sum().backward()
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_one_row_is_answered_by_what_ran_before_and_changes_nothing() -> None:
    ours, _ = both()
    ours(torch.randn(6, 4))
    before = ours.running_mean.clone(), ours.running_var.clone()
    row = torch.randn(1, 4)
    torch.testing.assert_close(ours(row), ours.eval()(row))
    assert torch.equal(ours.running_mean, before[0]) and torch.equal(ours.running_var, before[1])
    assert ours.train()(row[:0]).shape == (0, 4)


def test_it_stands_between_the_map_and_its_relu() -> None:
    net = Mlp(hidden=(5, 3), batch_norm=True, dropout=0.1).build(8, 2)
    assert [type(layer) for layer in net] == [
        nn.Linear, BatchNorm, nn.ReLU, nn.Dropout, nn.Linear, BatchNorm, nn.ReLU, nn.Dropout, nn.Linear,
    ]  # fmt: skip
    assert net[0].bias is None and net[-1].bias is not None  # the norm takes the mean off, and a bias with it
    assert not [layer for layer in Mlp().build(8, 2) if isinstance(layer, BatchNorm)]
