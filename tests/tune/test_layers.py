"""Pretrained weights that learn: which, at what rate, from when on, in every family."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_bodies import FAMILIES, tiny_body

from nlptl.contracts import Rate
from nlptl.errors import ModelError
from nlptl.tune import Full, Gradual, Lora, TopLayers
from nlptl.tune._rates import rate
from nlptl.tune._targets import layer_of_parameters


def holding(body: Any) -> Any:
    return SimpleNamespace(body=body, rates={})


def learning(body: Any) -> set[str]:
    return {name for name, parameter in body.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", FAMILIES)
def test_all_of_a_body_learns(family: str) -> None:
    backbone = Full().apply(holding(tiny_body(family)))
    assert learning(backbone.body) == {name for name, _ in backbone.body.named_parameters()} == set(backbone.rates)
    assert set(backbone.rates.values()) == {Rate(5e-5)}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_top_layer_learns_and_nothing_below(family: str) -> None:
    body = tiny_body(family, layers=3)
    before = {name: parameter.clone() for name, parameter in body.named_parameters()}
    backbone = TopLayers(layers=1, lr=0.1).apply(holding(body))
    ids = torch.tensor([[1, 7, 8, 2]])
    states = lambda: body(input_ids=ids, output_hidden_states=True).hidden_states  # noqa: E731
    first = states()
    torch.optim.SGD([p for p in body.parameters() if p.requires_grad], lr=0.1).step()
    first[-1].pow(3).sum().backward()
    torch.optim.SGD([p for p in body.parameters() if p.requires_grad], lr=0.1).step()
    moved = {name for name, parameter in body.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved and moved <= set(backbone.rates) == learning(body)
    if family != "albert":  # whose one layer is all layers
        assert all(torch.equal(a, b) for a, b in zip(first[:-1], states()[:-1], strict=True))
    assert not any("embed" in name for name in moved)


def test_layers_are_told_from_embeddings() -> None:
    layers = layer_of_parameters(tiny_body("bert", layers=3))
    assert {layer for name, layer in layers.items() if name.startswith("embeddings")} == {0}
    assert {layers[f"encoder.layer.{n}.output.dense.weight"] for n in range(3)} == {1, 2, 3}
    assert layer_of_parameters(tiny_body("modernbert"))["final_norm.weight"] == 2


def test_rates_fall_and_starts_rise_from_the_top() -> None:
    """Four layers, a half each, the last at .6 of the run."""
    rates = [rate(below, lr=8.0, learning=4, decay=0.5, until=0.6) for below in range(4)]
    assert [r.lr for r in rates] == [8.0, 4.0, 2.0, 1.0]
    assert [round(r.start, 6) for r in rates] == [0.0, 0.2, 0.4, 0.6]
    assert rate(0, lr=1.0, learning=1, decay=0.5, until=0.6) == Rate(1.0)


def test_gradual_covers_embeddings_last() -> None:
    backbone = Gradual(until=0.5).apply(holding(tiny_body("bert", layers=3)))
    assert backbone.rates["embeddings.word_embeddings.weight"].start == 0.5
    assert backbone.rates["encoder.layer.2.output.dense.weight"] == Rate(5e-5)


def test_what_learns_already_is_not_tuned_again() -> None:
    backbone = Lora(rank=2).apply(holding(tiny_body("bert")))
    with pytest.raises(ModelError, match="learns already"):
        Full().apply(backbone)
    with pytest.raises(ModelError, match=r"tune\.layers is 3, but BertModel has 2 layers.*set it to at most 2"):
        TopLayers(layers=3).apply(holding(tiny_body("bert")))
