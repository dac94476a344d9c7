"""Contrasts: the loss by hand, draws without lists of pairs, and what a recipe may not ask of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_bodies import FAMILIES, tiny_body

import nlptl
from nlptl.encoder.backbone import Backbone
from nlptl.recipe import Encoder
from nlptl.recipe.rules_contrast import READ
from nlptl.tune._contrast import balanced_rows, contrastive_losses, has_pairs
from nlptl.tune._targets import layer_of_parameters
from nlptl.tune.contrastive import Contrastive


def test_the_loss_is_that_of_the_paper_by_hand() -> None:
    """Rows at 0°, 60°, 90°; the first two of one class. Cosines: ½, 0 and cos 30°."""
    vectors = torch.tensor([[2.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 3.0]], dtype=torch.float64)
    losses = contrastive_losses(vectors, torch.tensor([0, 0, 1]), temperature=0.5)
    first = -np.log(np.exp(1.0) / (np.exp(1.0) + np.exp(0.0)))
    second = -np.log(np.exp(1.0) / (np.exp(1.0) + np.exp(3**0.5)))
    np.testing.assert_allclose(losses.numpy(), [first, second, 0.0], rtol=1e-12)


def test_several_positives_are_averaged_and_the_gradient_pulls_them_together() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0, 0, 0, 1, 1, 2])
    losses = contrastive_losses(vectors, classes, temperature=0.2)
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).detach().numpy()
    for row in range(6):
        others = [other for other in range(6) if other != row]
        total = np.log(sum(np.exp(unit[row] @ unit[other] / 0.2) for other in others))
        same = [other for other in others if classes[other] == classes[row]]
        wanted = -np.mean([unit[row] @ unit[other] / 0.2 - total for other in same]) if same else 0.0
        assert losses[row].item() == pytest.approx(wanted)
    losses.mean().backward()
    with torch.no_grad():
        moved = contrastive_losses(vectors - 0.05 * vectors.grad, classes, temperature=0.2)
    assert torch.isfinite(vectors.grad).all() and moved.mean() < losses.mean()


def test_a_draw_is_balanced_and_prefers_hard_rows() -> None:
    classes = np.array([0] * 50 + [1] * 5 + [-1] * 20)
    hardness = np.ones(75)
    hardness[:3] = 1000.0
    counts = np.zeros(75)
    rng = np.random.default_rng(0)
    for _ in range(100):
        rows = balanced_rows(classes, 4, hardness, rng)
        assert np.bincount(classes[rows]).tolist() == [4, 4]
        assert len(set(rows)) == 8
        counts[rows] += 1
    assert counts[55:].sum() == 0
    assert counts[:3].min() > 90 > counts[3:50].max()


def test_a_class_smaller_than_its_share_gives_all_it_has() -> None:
    rows = balanced_rows(np.array([0, 0, 0, 1]), 2, np.ones(4), np.random.default_rng(1))
    assert np.bincount(np.array([0, 0, 0, 1])[rows]).tolist() == [2, 1]


def test_pairs_need_two_rows_of_a_class_and_another_class() -> None:
    assert has_pairs(np.array([0, 0, 1]))
    assert not has_pairs(np.array([0, 1, 2, -1, -1]))
    assert not has_pairs(np.array([0, 0, -1]))


@pytest.mark.parametrize(("body", "layers"), [("full", "all"), ("full", 1), ("lora", "all"), ("lora", 1)])
def test_what_learns_is_what_was_asked_for(tiny_encoder: Path, body: str, layers: str | int) -> None:
    loaded = Backbone.load(Encoder(model=str(tiny_encoder), max_length=24))
    backbone = Contrastive(body=body, layers=layers).apply(loaded)
    backbone.freeze("float32")
    learning = {name for name, parameter in backbone.body.named_parameters() if parameter.requires_grad}
    assert learning and all((".lora_" in name) == (body == "lora") for name in learning)
    assert any("layer.0." in name for name in learning) == (layers == "all")


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_of_every_family_learn_and_its_embeddings_do_not(family: str) -> None:
    body = tiny_body(family)
    backbone = Contrastive().apply(SimpleNamespace(body=body, rates={}))
    layers = layer_of_parameters(body)
    assert set(backbone.rates) == {name for name, layer in layers.items() if layer > 0}
    assert any(layer == 0 for layer in layers.values())


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"heads": {"spam": {"kind": "mlp"}}}, "heads.spam.kind: 'mlp' cannot be solved anew"),
        ({"heads": {"spam": {"kind": "linear", "multilabel": True}}}, "heads.spam.multilabel: contrasts are between"),
        ({"encoder": {"lexical": "tfidf"}}, "encoder.lexical: tfidf and contrastive cannot be asked together"),
        ({"encoder": {"pool": "mix"}}, "encoder.pool: mix is learned by the loop"),
        ({"train": {"validation": 0.1}}, "train.validation: holds rows back"),
        ({"adapt": [{"kind": "coral"}]}, "adapt.0: coral joins the loop"),
        ({"augment": [{"kind": "cutoff"}]}, "augment.0: cutoff changes the loop's batches"),
        ({"augment": [{"kind": "mixup"}]}, "augment.0: mixup changes the loop's batches"),
        ({"balance": {"kind": "pcgrad"}}, "balance.kind: pcgrad joins the loop"),
    ],
)
def test_what_contrasts_cannot_serve_is_refused(sections: dict[str, object], problem: str) -> None:
    settings = {"data": {"kind": "csv", "path": "x.csv"}, "heads": {"spam": {"kind": "linear"}}} | sections
    with pytest.raises(nlptl.RecipeError) as refused:
        nlptl.Recipe(tune={"kind": "contrastive"}, **settings)
    assert problem in str(refused.value)


def contrasting(**sections: object) -> nlptl.Recipe:
    settings = {"data": {"kind": "csv", "path": "x.csv"}, "heads": {"spam": {"kind": "linear"}}}
    return nlptl.Recipe(**settings | {"tune": {"kind": "contrastive"}} | sections)


def test_every_setting_of_the_loop_is_refused_where_only_contrasts_teach() -> None:
    """All at once, by name; what the rungs beside them, or a rival from scratch, go by is not."""
    other: dict[str, object] = {
        "epochs": 3, "max_steps": 5, "batch_tokens": 64, "batch_rows": 8, "accumulate": 2, "sampler": "uniform",
        "sampler_temperature": 3.0, "optimizer": "adam", "lr": 0.1, "head_lr": 0.1, "weight_decay": 0.1, "l2_sp": 0.1,
        "label_smoothing": 0.1, "class_weights": "balanced", "focal_gamma": 1.0, "r_drop": 1.0, "mixout": 0.5,
        "average": "ema", "average_decay": 0.5, "average_start": 0.5, "warmup": 0.5, "decay": "cosine", "clip": None,
        "validation_rows": "last", "select": "snd", "patience": 2, "checkpoint_steps": 7,
    }  # fmt: skip
    assert {*other, *READ} == set(nlptl.recipe.Train.model_fields)
    with pytest.raises(nlptl.RecipeError) as refused:
        contrasting(train=other)
    told = [line.split(": ") for line in refused.value.problems]
    assert {place for place, *_ in told} == {f"train.{name}" for name in other}
    assert sum("which contrasts do without" in line for line in refused.value.problems) == len(other)
    assert contrasting(train={"precision": "float32", "dropout": False, "reuse": False, "epochs": 1, "lr": 1e-3})
    assert contrasting(train={"epochs": 3}, evaluate={"scratch": True})
    assert contrasting(train={"epochs": 3, "validation": 0.2}, tune={"kind": "auto", "rungs": ["contrastive", "lora"]})
