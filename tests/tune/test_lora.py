"""LoRA on every family: what is adapted, what learns, in which precision, from which start."""

import math
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from pydantic import ValidationError
from tiny_bodies import FAMILIES, hidden_states, holding, tiny_body

from nlptl.errors import ModelError
from nlptl.tune import Lora


def adapted(body: Any) -> list[tuple[str, LoraLayer]]:
    return [(name, module) for name, module in body.named_modules() if isinstance(module, LoraLayer)]


def learning(body: Any) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in body.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", FAMILIES)
def test_training_starts_from_the_pretrained_body(family: str) -> None:
    body = tiny_body(family)
    before = hidden_states(body)
    after = hidden_states(Lora(targets="all").apply(holding(body)).body)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_name_the_same_parts_in_every_family(family: str) -> None:
    found = {
        targets: {name for name, _ in adapted(Lora(targets=targets).apply(holding(tiny_body(family))).body)}
        for targets in ("attention", "mlp", "all")
    }
    copies = 1 if family == "albert" else 2  # albert's layers share one set of weights
    assert len(found["attention"]) == copies * (2 if family == "modernbert" else 4)  # modernbert's Wqkv is one matrix
    assert len(found["mlp"]) == copies * 2
    assert found["attention"] | found["mlp"] == found["all"]
    assert not found["attention"] & found["mlp"]
    assert not any("pooler" in name or "embedding" in name for name in found["all"])


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_float32_adapter_learns_on_a_bfloat16_body(family: str, dora: bool) -> None:
    body = tiny_body(family).to(torch.bfloat16)
    tuned = Lora(rank=2, dora=dora, targets="all").apply(holding(body)).body
    with torch.no_grad():
        for name, parameter in learning(tuned).items():
            if "lora_B" in name:  # at zero, no gradient would reach A
                parameter.normal_(std=0.1)
    hidden_states(tuned).float().pow(3).sum().backward()
    assert all(".lora_" in name for name in learning(tuned))
    for name, parameter in learning(tuned).items():
        assert parameter.dtype == torch.float32, name
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all() and parameter.grad.any(), name
    frozen = [parameter for name, parameter in tuned.named_parameters() if ".lora_" not in name]
    assert all(parameter.dtype == torch.bfloat16 and parameter.grad is None for parameter in frozen)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        (Lora(rank=4), 2.0),
        (Lora(rank=32), 2.0),
        (Lora(rank=4, alpha=3.0), 0.75),
        (Lora(rank=4, rslora=True), 16 / math.sqrt(4)),
        (Lora(rank=4, rslora=True, alpha=3.0), 3 / math.sqrt(4)),
    ],
)
def test_the_difference_is_scaled_as_the_papers_say(settings: Lora, scale: float) -> None:
    _, layer = adapted(settings.apply(holding(tiny_body("bert"))).body)[0]
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    x = torch.randn(5, 32)
    expected = x @ (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).T * scale
    torch.testing.assert_close(layer(x) - layer.get_base_layer()(x), expected, rtol=1e-4, atol=1e-4)


def test_dora_learns_a_magnitude_for_each_row() -> None:
    _, layer = adapted(Lora(dora=True).apply(holding(tiny_body("bert"))).body)[0]
    magnitude = layer.lora_magnitude_vector["default"].weight
    torch.testing.assert_close(magnitude, layer.get_base_layer().weight.norm(dim=1))
    assert magnitude.requires_grad


@pytest.mark.parametrize(("layers", "expected"), [("all", {0, 1, 2}), (1, {2}), (3, {0, 1, 2}), ((2, 0, 2), {0, 2})])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "albert"])
def test_only_the_layers_asked_for_are_adapted(family: str, layers: Any, expected: set[int]) -> None:
    body = Lora(layers=layers).apply(holding(tiny_body(family, layers=3))).body
    assert {int(part) for name, _ in adapted(body) for part in name.split(".") if part.isdigit()} == expected


def test_dropout_is_on_the_adapters_input_alone() -> None:
    _, layer = adapted(Lora(dropout=0.3).apply(holding(tiny_body("bert"))).body)[0]
    assert layer.lora_dropout["default"].p == 0.3


@pytest.mark.parametrize("layers", [3, (0, 2)])
def test_a_layer_beyond_the_depth_is_refused(layers: Any) -> None:
    with pytest.raises(ModelError, match="2 layers, numbered 0 to 1"):
        Lora(layers=layers).apply(holding(tiny_body("bert")))


def test_layers_that_share_their_weights_cannot_be_chosen_apart() -> None:
    with pytest.raises(ModelError, match=r"tune.layers is 1.*share their weights"):
        Lora(layers=1).apply(holding(tiny_body("albert")))


def test_an_unknown_family_is_refused_with_its_linear_layers_named() -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(2))

    with pytest.raises(ModelError, match=r"Odd is laid out like none of bert.*linear layers are blocks\.\*\..*frozen"):
        Lora().apply(holding(Odd()))


def test_a_second_adapter_on_top_of_the_first_is_refused() -> None:
    backbone = Lora().apply(holding(tiny_body("bert")))
    with pytest.raises(ModelError, match="already has an adapter"):
        Lora().apply(backbone)


@pytest.mark.parametrize(
    "wrong", [{"layers": 0}, {"layers": []}, {"layers": [-1]}, {"rank": 0}, {"dropout": 1.0}, {"r": 8}]
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Lora.model_validate(wrong)


def test_the_same_seed_draws_the_same_adapter() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(learning(Lora().apply(holding(tiny_body("bert"))).body))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
