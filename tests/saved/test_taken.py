"""Going on from an earlier run: what is taken is in the encoder, and the new model needs the old run no more."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_mail import mail
from made_model import made, task
from safetensors.torch import load_file, save_file

import nlptl
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.store import FeatureStore, encode
from nlptl.errors import ModelError, RecipeError
from nlptl.heads import Mlp
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder
from nlptl.saved import Model
from nlptl.saved.taken import load_backbone, taken_heads
from nlptl.tune import Full, Lora

TEXTS = ["win a cash prize", "the meeting is on monday", "gas", "you can win the report of the people"]


def vectors(backbone: Backbone) -> Any:
    return encode(backbone, TEXTS, readings=["last"], store=None)["last"]


def taking(folder: Path, *take: str, **settings: Any) -> Encoder:
    return Encoder(model=str(folder), max_length=24, **({"take": take} if take else {}), **settings)


@pytest.mark.parametrize("tune", [Lora(rank=2), Lora(rank=2, dora=True), Full()], ids=["lora", "dora", "full"])
def test_what_learned_becomes_the_encoders_own_weights(tune: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    parent = made(tiny_encoder, tune)
    parent.save(tmp_path / "b")
    plain, taken = Backbone.load(taking(tiny_encoder)), load_backbone(taking(tmp_path / "b"))
    assert np.abs(vectors(plain) - vectors(parent.network.backbone)).max() > 1e-2
    np.testing.assert_allclose(vectors(taken), vectors(parent.network.backbone), atol=1e-5)
    assert not hasattr(taken.body, "peft_config") and not taken.rates
    assert FeatureStore.of(taken).folder != FeatureStore.of(plain).folder
    assert taken.base_identity != plain.base_identity
    Lora(rank=2).apply(taken)  # a new one may be put on


def test_the_new_model_keeps_what_it_inherited(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder, Full()).save(tmp_path / "a")
    second = load_backbone(taking(tmp_path / "a"))
    Lora(rank=2).apply(second)
    with torch.no_grad():
        for name, parameter in second.body.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    child = Model(Network(second.freeze("float32"), {"spam": TaskHead.fresh(task("x", "y"), "last", second.width)}))
    child.save(tmp_path / "b")
    third = load_backbone(taking(tmp_path / "b"))  # a chain of three: from a model that inherited itself
    np.testing.assert_allclose(vectors(third), vectors(second), atol=1e-5)
    [of_b] = third.inherited.parents
    assert [parent["path"] for parent in of_b["parents"]] == [str(tmp_path / "a")]
    wanted = child.predict(TEXTS)["spam.x"].tolist()
    shutil.rmtree(tmp_path / "a")
    moved = (tmp_path / "b").rename(tmp_path / "elsewhere")
    code = f"import nlptl\nprint(nlptl.load({str(moved)!r}).predict({TEXTS!r})['spam.x'].tolist())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == pytest.approx(wanted, abs=1e-5)
    assert json.loads((moved / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] != str(
        tiny_encoder
    )
    with pytest.raises(ModelError, match="Export it to merged"):
        nlptl.load(moved).export(tmp_path / "out", to="adapter")
    inherited = load_file(moved / "inherited.safetensors")
    save_file({name: tensor + 1e-3 for name, tensor in inherited.items()}, moved / "inherited.safetensors")
    with pytest.raises(ModelError, match="trained on other weights"):
        nlptl.load(moved)


def test_another_base_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_encoder, tmp_path / "base")
    made(base, Lora(rank=2)).save(tmp_path / "b")
    weights = load_file(base / "model.safetensors")
    save_file({name: tensor * 1.01 for name, tensor in weights.items()}, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="trained on other weights"):
        load_backbone(taking(tmp_path / "b"))


def test_what_is_not_there_is_not_taken(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder).save(tmp_path / "frozen")
    made(tiny_encoder, Full()).save(tmp_path / "full")
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "recipe.yaml").write_text("name: stopped")
    for settings, words in [
        (taking(tiny_encoder, "heads"), "is no run or model folder"),
        (taking(tmp_path / "stopped"), "has left no model yet"),
        (taking(tmp_path / "frozen"), "its body was frozen"),
        (taking(tmp_path / "full", "adapter"), "has no adapter"),
    ]:
        with pytest.raises(ModelError, match=words):
            load_backbone(settings)
    plain = Backbone.load(taking(tiny_encoder))
    only_heads = load_backbone(taking(tmp_path / "frozen", "heads"))
    assert only_heads.base_identity == plain.base_identity and only_heads.inherited.parents


def test_heads_come_in_the_order_of_our_labels(tiny_encoder: Path, tmp_path: Path) -> None:
    parent = made(tiny_encoder, labels=("a", "b", "c"))
    parent.save(tmp_path / "b")
    settings = taking(tmp_path / "b", "heads")
    net = parent.network.task_heads["spam"].net
    [found] = taken_heads(settings, {"spam": task("c", "a", "b")}, ("last",)).values()
    np.testing.assert_allclose(found.weights, net.weight.numpy().T[:, [2, 0, 1]])
    np.testing.assert_allclose(found.bias, net.bias.numpy()[[2, 0, 1]])
    assert taken_heads(taking(tmp_path / "b"), {"spam": task("a", "z")}, ("last",)) == {}  # not asked for
    made(tiny_encoder).save(tmp_path / "two")
    turned = taken_heads(taking(tmp_path / "two", "heads"), {"spam": task("spam", "ham")}, ("last",))["spam"]
    same = taken_heads(taking(tmp_path / "two", "heads"), {"spam": task("ham", "spam")}, ("last",))["spam"]
    np.testing.assert_array_equal(turned.weights, -same.weights)


@pytest.mark.parametrize(
    ("ours", "readings", "words"),
    [
        ({"spam": task("ham", "offer")}, ("last",), "whose labels are ham, spam"),
        ({"spam": task("ham", "spam")}, ("layers",), "encoder.pool: the head of spam"),
        ({"spam": nlptl.contracts.Task("spam", Mlp(), ("ham", "spam"))}, ("last",), "only a linear head"),
        ({"spam": task("ham", "spam", prior="label_names")}, ("last",), "are both the prior"),
        ({"topic": task("ham", "spam")}, ("last",), "has none of the tasks topic"),
    ],
)
def test_a_head_that_does_not_fit_is_told_of(
    ours: Any, readings: tuple[str, ...], words: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    made(tiny_encoder).save(tmp_path / "b")
    with pytest.raises(RecipeError, match=words):
        taken_heads(taking(tmp_path / "b", "heads"), ours, readings)


def test_a_run_goes_on_from_a_run(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(rows=30).to_parquet(tmp_path / "mail.parquet")
    settings: dict[str, Any] = {
        "name": "first",
        "data": {"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user"},
        "encoder": {"model": str(tiny_encoder), "max_length": 24, "pool": "last"},
        "tune": {"kind": "lora", "rank": 2},
        "heads": {"spam": {"kind": "linear", "column": "label"}},
        "train": {"max_steps": 3, "lr": 0.05},
        "evaluate": {"bootstrap": 100},
    }
    nlptl.fit(nlptl.Recipe(**settings), out=tmp_path / "first")
    second = settings | {
        "name": "second",
        "encoder": settings["encoder"] | {"model": str(tmp_path / "first"), "take": ["body", "adapter", "heads"]},
    }
    run = nlptl.fit(nlptl.Recipe(**second), out=tmp_path / "second")
    lock, first = (json.loads((tmp_path / name / "lock.json").read_text()) for name in ("second", "first"))
    [parent] = lock["parents"]
    assert (parent["recipe"], parent["take"]) == ("first", ["body", "adapter", "heads"])
    assert parent["base"] == parent["lock"]["encoder"] == first["encoder"] != lock["encoder"]
    assert run.results["chosen"][0]["scale of prior"] >= 0
    assert "goes on from the run `first`" in (tmp_path / "second" / "model" / "README.md").read_text()
    wanted = run.predict(TEXTS, domain="ann")
    shutil.rmtree(tmp_path / "first")
    np.testing.assert_allclose(
        nlptl.load(tmp_path / "second").predict(TEXTS)["spam.ham"], wanted["spam.ham"], atol=1e-6
    )


def test_few_labels_lean_on_the_head_that_was_taken() -> None:
    from nlptl.heads._solved import PriorMean, solve_head

    rng = np.random.default_rng(0)
    truth, rows = rng.normal(size=(20, 1)), rng.normal(size=(460, 20))
    labels = (rows @ truth > 0)[:, 0].astype(np.int64)
    folds = [(np.arange(60)[np.arange(60) % 3 != k], np.arange(60)[np.arange(60) % 3 == k]) for k in range(3)]
    binary = task("a", "b")
    alone = solve_head(binary, {"last": rows[:60]}, labels[:60], folds)
    earlier = solve_head(binary, {"last": rows[:60]}, labels[:60], folds, prior={"last": PriorMean(truth)})
    unread = solve_head(binary, {"last": rows[:60]}, labels[:60], folds, prior={"layers": PriorMean(truth)})
    right = [float(np.mean((head.logits(rows[60:])[:, 0] > 0) == labels[60:])) for head in (alone, earlier)]
    assert earlier.prior_scale > 0 and right[1] > right[0] + 0.02
    assert unread.prior_scale == 0 and unread.loss == alone.loss
