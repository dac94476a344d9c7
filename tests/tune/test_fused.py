"""LoRA in one step: PEFT's own numbers and gradients, and PEFT's own way wherever something is unusual."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import nn

from nlptl.tune import _fused
from nlptl.tune._fused import FusedLinear


def pair(**settings: Any) -> tuple[Linear, FusedLinear]:
    """PEFT's layer and ours around the same frozen map, with the same adapter, whose B is not zero."""
    torch.manual_seed(0)
    base = nn.Linear(6, 4).requires_grad_(False)
    config = LoraConfig(r=2, lora_alpha=5, **settings)
    layers = tuple(kind(base, "default", config=config, r=2, lora_alpha=5) for kind in (Linear, FusedLinear))
    for name, parameter in layers[0].named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter)
    layers[1].load_state_dict(layers[0].state_dict())
    return layers[0], layers[1]


def told(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The answer, and the gradients of what learns and of ``x``."""
    torch.manual_seed(1)
    found = layer(x)
    learning = [p for p in layer.parameters() if p.requires_grad]
    return [found, *torch.autograd.grad(found.square().sum(), [*learning, x])]


def test_numbers_and_gradients_are_those_of_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, fused = pair()
    x = torch.randn(2, 3, 6, requires_grad=True)
    expected = told(plain, x)
    monkeypatch.setattr(Linear, "forward", None)  # ours does without
    torch.testing.assert_close(told(fused, x), expected)


def test_an_adapter_in_float32_learns_beside_weights_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, fused = pair()
    x = torch.randn(2, 3, 6).bfloat16().requires_grad_()
    for layer in (plain, fused):
        layer.base_layer.bfloat16()
    expected = told(plain, x)  # by PEFT: the adapter's products in float32
    monkeypatch.setattr(Linear, "forward", None)
    given = told(fused, x)
    assert [each.dtype for each in given] == [each.dtype for each in expected]
    for ours, theirs in zip(given, expected, strict=True):
        assert float((ours - theirs).detach().norm() / theirs.detach().norm()) < 0.01  # 1 part in 256: bfloat16


def test_gradients_of_gradients_are_refused_and_not_wrong() -> None:
    _, fused = pair()
    x = torch.randn(3, 6, requires_grad=True)
    [first] = torch.autograd.grad(fused(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def disabled(layer: Linear) -> None:
    layer.enable_adapters(False)


def merged(layer: Linear) -> None:
    layer.merge()


def base_learns(layer: Linear) -> None:
    layer.base_layer.requires_grad_(True)


def nothing(layer: Linear) -> None:
    pass


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"lora_dropout": 0.5}, nothing), ({"use_dora": True}, nothing), ({"lora_bias": True}, nothing),
        ({}, disabled), ({}, merged), ({}, base_learns),
    ],
)  # fmt: skip
def test_what_is_unusual_goes_pefts_own_way(
    settings: dict[str, Any], change: Callable[[Linear], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fused = pair(**settings)
    change(plain)
    expected = plain(torch.ones(2, 6))
    if change is merged:  # the map is theirs in common, and merged already
        plain.unmerge()
    change(fused)
    monkeypatch.setattr(_fused, "_LowRank", None)
    torch.manual_seed(1)
    given = fused(torch.ones(2, 6))
    if not settings.get("lora_dropout"):
        torch.testing.assert_close(given, expected)


def test_nothing_is_kept_where_no_gradient_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, fused = pair()
    monkeypatch.setattr(_fused, "_LowRank", None)
    with torch.no_grad():
        torch.testing.assert_close(fused(torch.ones(2, 6)), plain(torch.ones(2, 6)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(fused(torch.ones(2, 6)), plain(torch.ones(2, 6)))
