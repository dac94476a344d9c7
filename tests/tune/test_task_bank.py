"""Shared and own adapters of tasks: each row goes through both, as two stock PEFT adapters active together do."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from peft import PeftModel
from tiny_bodies import tiny_body
from train_network import TASKS, make_examples, make_task_network
from transformers import AutoModel

import nlptl
from nlptl.encoder._inherited import Inherited
from nlptl.encoder._lower import frozen_layers, with_lower
from nlptl.encoder.backbone import Backbone
from nlptl.errors import ModelError
from nlptl.fitting.tasks import shelf_of
from nlptl.model import Network
from nlptl.model.task_network import TaskNetwork
from nlptl.recipe import Encoder, Train
from nlptl.saved.bank import open_shelf
from nlptl.train.loop import held_out_losses, train
from nlptl.tune._adapter import WEIGHTS
from nlptl.tune._shelf import adapter_id
from nlptl.tune._task_bank import SHARED, TaskShelf


def filled(encoder: Path) -> TaskNetwork:
    """Every B drawn too, so that each adapter does something."""
    network = make_task_network(encoder)
    torch.manual_seed(1)
    for name, parameter in network.backbone.named_parameters():
        if "lora" in name and name.endswith("B"):
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def test_each_task_answers_as_its_two_adapters_together_in_plain_peft(tiny_encoder: Path, tmp_path: Path) -> None:
    network = filled(tiny_encoder).eval()
    examples = make_examples(network)
    batch = examples.batch(np.arange(12), torch.device("cpu"))
    found = network.last_layers(batch)
    TaskShelf(network.bank, "base").copy(tmp_path)
    for task in TASKS:
        body = PeftModel.from_pretrained(
            AutoModel.from_pretrained(tiny_encoder, add_pooling_layer=False), str(tmp_path / SHARED), adapter_name="one"
        )
        body.load_adapter(str(tmp_path / adapter_id(task)), adapter_name="two")
        body.base_model.set_adapter(["one", "two"])
        network.backbone.body, kept = body.eval(), network.backbone.body
        vectors = network.backbone(batch.tokens, ("last",))["last"]
        network.backbone.body = kept
        rows = batch.labelled[task]
        assert int(rows.sum()) > 0 and (task == "kind" or int(rows.sum()) < 12)
        torch.testing.assert_close(found[task][0][rows], vectors[rows], rtol=0, atol=1e-4)
        torch.testing.assert_close(found[task][1][rows], network.task_heads[task].net(vectors)[rows], rtol=0, atol=1e-4)
        assert not found[task][0][~rows].any()


def test_a_task_teaches_its_own_adapter_and_the_shared_one_only(tiny_encoder: Path) -> None:
    network = filled(tiny_encoder)
    network.train()
    batch = make_examples(network).batch(np.arange(12), torch.device("cpu"))
    network(batch)["topic"].sum().backward()
    for layer in network.bank.layers.values():
        assert layer.lora_A.grad is not None and not layer.lora_A.grad[0].any() and layer.lora_A.grad[1].any()
        shared: Any = layer
        assert shared.lora_shared_A.grad.any() and shared.lora_shared_B.grad.any()


def test_rows_of_several_tasks_in_one_batch_lose_what_each_task_alone_loses(tiny_encoder: Path) -> None:
    network = filled(tiny_encoder).eval()
    examples = make_examples(network)
    together = network(examples.batch(np.arange(30), torch.device("cpu")))
    for task in TASKS:
        single = [loss.item() for row in range(30) for loss in
                  network(examples.batch(np.array([row]), torch.device("cpu")))[task]]  # fmt: skip
        np.testing.assert_allclose(together[task].detach().numpy(), single, atol=1e-5)
    accelerator = Accelerator(cpu=True)
    expected = {task: losses.mean().item() for task, losses in
                network(examples.batch(np.arange(60), torch.device("cpu"))).items()}  # fmt: skip
    assert held_out_losses(network, examples, Train(batch_tokens=64), accelerator) == pytest.approx(expected, abs=1e-5)


def test_a_process_without_a_row_loses_nothing_and_has_gradients_of_zero(tiny_encoder: Path) -> None:
    network = filled(tiny_encoder).train()
    losses = network(make_examples(network).batch(np.array([0]), torch.device("cpu")).emptied())
    assert {task: len(of_task) for task, of_task in losses.items()} == dict.fromkeys(TASKS, 0)
    torch.stack([of_task.sum() for of_task in losses.values()]).sum().backward()
    for parameter in (*network.bank.own_parameters(), *network.heads.parameters()):
        assert parameter.grad is not None and not parameter.grad.any()


def test_batch_norm_counts_the_rows_of_its_own_task_alone(tiny_encoder: Path) -> None:
    network = make_task_network(tiny_encoder, batch_norm=True).train()
    examples, rows, device = make_examples(network), np.arange(12), torch.device("cpu")
    of_topic = examples.labels["topic"][rows] >= 0
    together = network(examples.batch(rows, device))["topic"]
    alone = network(examples.batch(rows[of_topic], device))["topic"]
    assert 1 < len(alone) < len(rows)
    torch.testing.assert_close(together, alone)
    assert len(network.eval()(examples.batch(rows[~of_topic], device))["topic"]) == 0


def test_training_moves_every_adapter_and_a_balance_sees_what_is_shared(tiny_encoder: Path, tmp_path: Path) -> None:
    network = make_task_network(tiny_encoder)
    apart = {id(p) for p in network.own_parameters()}
    assert {name for name, p in network.backbone.named_parameters() if p.requires_grad and id(p) not in apart} == {
        name for name, _ in network.backbone.named_parameters() if ".lora_shared_" in name
    }
    logged, _ = train(
        network, make_examples(network), validation=None, settings=Train(epochs=4, batch_tokens=192, lr=1e-2), seed=0,
        folder=tmp_path, fingerprint="", resume=False, accelerator=Accelerator(cpu=True), log=lambda entry: None,
        progress=lambda done, total: None, balance=nlptl.balance.Pcgrad(),
    )  # fmt: skip
    assert "conflicts" in logged[0]
    for layer in network.bank.layers.values():
        assert all(part.abs().max().item() > 1e-3 for part in (*layer.lora_B, layer.lora_shared_B))


def test_rows_go_on_from_kept_lower_layers_for_each_task(tiny_encoder: Path) -> None:
    network = make_task_network(tiny_encoder, layers=1)
    examples = make_examples(network)
    assert examples.tokens is not None and frozen_layers(network.backbone.body) == 1
    kept = replace(examples, tokens=with_lower(network.backbone, examples.tokens, network.readings))
    rows, device = np.array([5, 3, 40, 1]), torch.device("cpu")
    plain, resumed = (network(some.batch(rows, device)) for some in (examples, kept))
    for task, losses in plain.items():
        assert len(losses)
        torch.testing.assert_close(resumed[task], losses, rtol=0, atol=1e-6)


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path)},
        "encoder": {"model": str(model), "max_length": 24},
        "tune": {"kind": "lora", "rank": 2, "per": "task"},
        "heads": {"spam": {"kind": "linear", "column": "label"}, "who": {"kind": "linear", "column": "who"}},
        "train": {"epochs": 6, "batch_tokens": 256, "lr": 3e-2, "precision": "float32"},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**{name: {**section, **sections.get(name, {})} for name, section in settings.items()},
                        **{name: value for name, value in sections.items() if name not in settings})  # fmt: skip


def test_a_recipe_trains_saves_loads_and_answers_by_each_tasks_own(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": [f"{'win cash' if n % 2 else 'meeting report'} {'gas' if n % 3 else 'love'}"
                                  for n in range(60)],
                         "label": ["spam" if n % 2 else "ham" for n in range(60)],
                         "who": [None if n % 5 == 0 else "a" if n % 3 else "b" for n in range(60)]})  # fmt: skip
    rows["text"] += [" the" * (n % 7) + f" word {n}" for n in range(60)]
    rows.to_parquet(tmp_path / "rows.parquet")
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "rows.parquet"), out=tmp_path / "run")
    assert isinstance(run.models["all"].shelf, TaskShelf)
    served = nlptl.load(run.folder)
    texts = list(rows.text)
    ours, theirs = run.predict(texts), served.predict(texts, domain="anyone")
    np.testing.assert_allclose(ours["spam.spam"], theirs["spam.spam"], atol=1e-6)
    np.testing.assert_allclose(ours["who.a"], theirs["who.a"], atol=1e-6)
    assert (theirs["spam"] == rows.label).mean() > 0.8
    adapters = run.folder / "model" / "adapters"
    assert {path.parent.name for path in adapters.glob(f"*/{WEIGHTS}")} == {
        SHARED,
        adapter_id("spam"),
        adapter_id("who"),
    }
    again = nlptl.load(served.save(tmp_path / "copy")).predict(texts)
    np.testing.assert_allclose(again["who.a"], theirs["who.a"], atol=1e-6)
    with pytest.raises(ModelError, match="each task of this model has an adapter of its own"):
        served.export(tmp_path / "onnx", to="merged")
    (adapters / SHARED / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        nlptl.load(run.folder)


def test_an_adapter_of_another_encoder_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    network = filled(tiny_encoder)
    TaskShelf(network.bank, "base").copy(tmp_path)
    with pytest.raises(ModelError, match="does not fit this encoder"):
        TaskShelf.open(tiny_body("bert", layers=3), network.bank.config, tmp_path, "base")


def test_adapters_of_an_inherited_body_name_no_encoder_that_peft_would_take(tiny_encoder: Path, tmp_path: Path) -> None:
    network = filled(tiny_encoder)
    network.backbone.inherited = Inherited({}, ())
    shelf = shelf_of(network)
    assert shelf is not None and shelf.base_name == f"{tiny_encoder} with inherited.safetensors"
    shelf.copy(tmp_path)
    told = json.loads((tmp_path / adapter_id("topic") / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == shelf.base_name
    backbone = Backbone.load(Encoder(model=str(tiny_encoder), max_length=32))
    backbone.inherited = network.backbone.inherited
    again = open_shelf(Network(backbone, network.task_heads), tmp_path, 1)
    assert isinstance(again, TaskShelf) and again.base_name == shelf.base_name


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"heads": {"spam": None}}, "tune.per.*heads names one"),
        ({"tune": {"dora": True}}, "tune.dora.*stacks plain LoRA"),
        ({"adapt": [{"kind": "entropy"}]}, "adapt.0.*entropy adapts one body"),
        ({"train": {"select": "snd"}}, "train.select.*unlabelled rows"),
    ],
)
def test_what_tasks_cannot_have_apart_is_refused(sections: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    described = recipe(Path("default"), path).model_dump(exclude_unset=True)
    for name, section in sections.items():
        if isinstance(section, dict):
            described[name] = {k: v for k, v in ({**described[name], **section}).items() if v is not None}
        else:
            described[name] = section
    with pytest.raises(nlptl.RecipeError, match=re.compile(said, re.S)):
        nlptl.Recipe(**described)
