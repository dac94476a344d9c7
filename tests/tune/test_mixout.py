"""Mixout: the paper's equation, what is under it and for how long, the mean over draws."""

from pathlib import Path

import pytest
import torch
from tiny_bodies import tiny_body

from nlptl.tune._mixout import MixoutLinear, mixing_out, mixout


def test_the_papers_equation_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """p = .5, w₀ = 1, w = 3: one that stays is (3 − .5) / .5 = 5, one put back (1 − .5) / .5 = 1; the mean is 3."""
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.tensor([0.2, 0.7]))
    assert mixout(torch.tensor([3.0, 3.0]), torch.tensor([1.0, 1.0]), 0.5).tolist() == [1.0, 5.0]


def test_towards_zero_it_is_dropout() -> None:
    weights = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    dropped = mixout(weights, torch.zeros_like(weights), 0.25)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], weights[kept] / 0.75)
    assert abs(float(kept.float().mean()) - 0.75) < 0.03


def test_the_mean_over_draws_is_the_weights() -> None:
    torch.manual_seed(0)
    weights, start = torch.randn(5), torch.randn(5)
    mean = torch.stack([mixout(weights, start, 0.3) for _ in range(20000)]).mean(0)
    torch.testing.assert_close(mean, weights, atol=0.03, rtol=0)


def test_what_learns_is_under_it_while_it_lasts_and_names_stay() -> None:
    body = tiny_body("bert", layers=2)
    names = {name for name, _ in body.named_parameters()}
    learning = {name for name in names if "layer.1." in name}
    before = {name: parameter.detach().clone() for name, parameter in body.named_parameters()}
    with mixing_out(body, learning, 0.5):
        mixed = {path for path, module in body.named_modules() if isinstance(module, MixoutLinear)}
        assert len(mixed) == 6 and all("layer.1." in path for path in mixed)
        assert {name for name, _ in body.named_parameters()} == names == set(body.state_dict())
        with torch.no_grad():
            dict(body.named_parameters())["encoder.layer.1.output.dense.weight"].add_(1)
    assert not [module for module in body.modules() if isinstance(module, MixoutLinear)]
    after = dict(body.named_parameters())
    moved = {name for name in names if not torch.equal(after[name], before[name])}
    assert moved == {"encoder.layer.1.output.dense.weight"}


def test_in_training_it_draws_and_else_it_is_the_plain_map() -> None:
    plain = torch.nn.Linear(8, 4)
    mixed = MixoutLinear(plain, 0.5)
    x = torch.randn(3, 8)
    with torch.no_grad():
        plain.weight.add_(1)
    torch.testing.assert_close(mixed.eval()(x), plain(x))
    torch.manual_seed(0)
    first, second = mixed.train()(x), mixed(x)
    torch.manual_seed(0)
    assert torch.equal(mixed(x), first) and not torch.equal(first, second)
    mixed(x).sum().backward()
    assert plain.weight.grad is not None and plain.weight.grad.abs().max() > 0


def test_nothing_is_put_in_where_the_share_is_zero(tiny_encoder: Path) -> None:
    body = tiny_body("bert")
    with mixing_out(body, {name for name, _ in body.named_parameters()}, 0.0):
        assert not [module for module in body.modules() if isinstance(module, MixoutLinear)]
