"""What frozen lower layers say is computed once, and whoever goes on from it says what the whole body says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_bodies import tiny_body
from torch import nn
from train_network import TASKS, make_examples

from nlptl.encoder._lower import FAMILIES, frozen_layers, size_of, with_lower
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.loop import train
from nlptl.tune import Full, Lora, TopLayers

READINGS = ("last", "cls", "layers", "layer.0", "layer.1", "layer.3")
TEXTS = ["the meeting report", "win cash " * 12, "gas", "love movie the water " * 3]


def backbone_of(family: str, encoder: Path, layers: int = 3, **settings: Any) -> Backbone:
    """The tiny encoder's tokenizer around a body of another family."""
    whole = Backbone.load(Encoder(model=str(encoder), max_length=32, **settings))
    body = tiny_body(family, layers=layers)
    body.resize_token_embeddings(len(whole.tokenizer), mean_resizing=False)
    return Backbone(body, whole.tokenizer, whole.settings, whole.located, whole.pooling, whole.prompt)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tune", [TopLayers(layers=1), Lora(rank=2, layers=2)], ids=lambda tune: tune.kind)
def test_going_on_from_the_lower_layers_gives_every_reading_and_gradient(
    family: str, tune: Any, tiny_encoder: Path
) -> None:
    backbone = tune.apply(backbone_of(family, tiny_encoder)).freeze("float32")
    assert frozen_layers(backbone.body) == (2 if tune.kind == "top_layers" else 1)
    plain = tokenize(backbone, TEXTS)
    kept = with_lower(backbone, plain, READINGS)
    assert kept.lower is not None and kept.lower.bytes == size_of(backbone, plain, READINGS)
    backbone.train()  # its dropout is 0.1 where the layers learn, so the draws are made alike
    found, gradients = [], []
    for tokens in (plain, kept):
        torch.manual_seed(0)
        backbone.zero_grad()
        readings = backbone(tokens.batch(np.array([2, 0, 1])), READINGS)
        sum(vectors.pow(2).sum() for vectors in readings.values()).backward()
        found.append(readings)
        gradients.append([p.grad.clone() for p in backbone.parameters() if p.grad is not None])
    for name in READINGS:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=0, atol=1e-6)
    assert gradients[0] and float(torch.cat([g.flatten() for g in gradients[0]]).abs().max()) > 1e-3
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_long_texts_in_several_sequences_are_kept_too(tiny_encoder: Path) -> None:
    backbone = TopLayers(layers=1).apply(backbone_of("bert", tiny_encoder, long="chunks")).freeze("float32")
    plain = tokenize(backbone, ["win cash " * 40, "gas"])
    kept = with_lower(backbone, plain, ("last",))
    assert len(plain.offsets) > 3
    for rows in (np.array([0, 1]), np.array([1]), np.array([1, 0])):
        one, other = (backbone(tokens.batch(rows), ("last",))["last"] for tokens in (plain, kept))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_the_body_is_as_it_was_afterwards(tiny_encoder: Path) -> None:
    backbone = TopLayers(layers=1).apply(backbone_of("bert", tiny_encoder)).freeze("float32")
    tokens = tokenize(backbone, TEXTS)
    backbone.eval()
    before = backbone(tokens.batch(np.arange(4)), ("last",))["last"]
    kept = with_lower(backbone, tokens, ("last",))
    backbone(kept.batch(np.arange(4)), ("last",))
    after = backbone(tokens.batch(np.arange(4)), ("last",))["last"]
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", ["deberta-v2", "mpnet", "albert", "modernbert", "electra"])
def test_other_families_are_left_alone(family: str, tiny_encoder: Path) -> None:
    tune = Full() if family == "albert" else TopLayers(layers=1)
    assert frozen_layers(tune.apply(backbone_of(family, tiny_encoder)).body) == 0


def test_nothing_is_kept_where_the_lowest_layer_learns_or_nothing_does(tiny_encoder: Path) -> None:
    assert frozen_layers(Lora(rank=2).apply(backbone_of("bert", tiny_encoder)).freeze("float32").body) == 0
    assert frozen_layers(Full().apply(backbone_of("bert", tiny_encoder)).freeze("float32").body) == 0
    assert frozen_layers(backbone_of("bert", tiny_encoder).freeze("float32").body) == 0


def test_frozen_lower_layers_have_no_dropout_in_training(tiny_encoder: Path) -> None:
    backbone = TopLayers(layers=1).apply(backbone_of("bert", tiny_encoder)).freeze("float32")
    backbone.train()
    on = {name for name, module in backbone.body.named_modules() if isinstance(module, nn.Dropout) and module.training}
    assert on and all(name.startswith("encoder.layer.2.") for name in on)


@pytest.mark.parametrize("tune", [TopLayers(layers=1, lr=1e-3), Lora(rank=2, layers=1)], ids=lambda tune: tune.kind)
def test_twenty_steps_are_the_same_whether_reused_or_not(tune: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    """Dropout stays on where the layers learn; the draws are seeded by step."""
    weights, losses = [], []
    for reused in (False, True):
        torch.manual_seed(0)
        backbone = tune.apply(Backbone.load(Encoder(model=str(tiny_encoder), max_length=32))).freeze("float32")
        heads = {name: TaskHead(task, "layers", nn.Linear(32, task.outputs)) for name, task in TASKS.items()}
        network = Network(backbone, heads)
        start = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
        examples = make_examples(network)
        if reused:
            assert examples.tokens is not None
            vars(examples)["tokens"] = with_lower(backbone, examples.tokens, network.readings)
        settings = Train(epochs=10, batch_tokens=320, lr=1e-2, max_steps=20)
        logged, _ = train(
            network, examples, validation=examples, settings=settings, seed=0, folder=tmp_path / str(reused),
            fingerprint="", resume=False, accelerator=Accelerator(cpu=True), log=lambda entry: None,
            progress=lambda done, total: None,
        )  # fmt: skip
        assert len(logged) == 20
        losses.append([entry["loss"] for entry in logged] + [entry.get("validation_loss", 0.0) for entry in logged])
        weights.append({name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad})
    np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=1e-4)
    assert max(float((one - start[name]).abs().max()) for name, one in weights[0].items()) > 1e-2
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], rtol=0, atol=1e-4)
