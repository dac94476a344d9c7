"""What the loop has against overfitting: resumed to the same bits, averages judged and kept, batches of few rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from logged_training import Interrupted, run
from train_network import make_examples, make_network

from nlptl.encoder.backbone import Backbone
from nlptl.model import Network
from nlptl.recipe import Encoder, Train
from nlptl.train.loop import held_out_losses, moving
from nlptl.tune import TopLayers
from nlptl.tune._mixout import mixing_out

SETTINGS: dict[str, Any] = {"epochs": 3, "batch_tokens": 128, "lr": 1e-2, "checkpoint_steps": 4}
WAYS: dict[str, dict[str, Any]] = {
    "batch_norm": {},
    "ema": {"average": "ema"},
    "swa": {"average": "swa", "average_start": 0.5},
    "cutoff": {},
    "mixup": {},
    "mixout": {"mixout": 0.5},
}


def made(encoder: Path, way: str) -> Network:
    """The network for ``way``; mixout needs weights of the body that learn."""
    network = make_network(encoder, batch_norm=way == "batch_norm")
    if way != "mixout":
        return network
    backbone = TopLayers(layers=1, lr=1e-2).apply(Backbone.load(Encoder(model=str(encoder), max_length=32)))
    return Network(backbone.freeze("float32"), dict(network.heads))


def trained(network: Network, way: str, folder: Path, **how: Any) -> list[dict[str, Any]]:
    settings = Train(**SETTINGS, **WAYS[way])
    augment = way if way in ("cutoff", "mixup") else None
    with mixing_out(network.backbone.body, network.backbone.rates, settings.mixout):
        return run(network, make_examples(network), folder, settings=settings, augment=augment, **how)


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_off_run_resumes_to_the_same_bits(tiny_encoder: Path, tmp_path: Path, way: str) -> None:
    whole, broken, resumed = (made(tiny_encoder, way) for _ in range(3))
    before = {name: found.detach().clone() for name, found in moving(whole)}
    history = trained(whole, way, tmp_path / "a")
    with pytest.raises(Interrupted):
        trained(broken, way, tmp_path / "b", stop_after=10)
    assert trained(resumed, way, tmp_path / "b", resume=True) == history
    after = dict(moving(resumed))
    for name, found in moving(whole):
        assert torch.equal(found, after[name]), name
        assert not torch.equal(found, before[name]), name
    assert ("heads.kind.net.1.running_mean" in after) == (way == "batch_norm")


@pytest.mark.parametrize("way", ["cutoff", "mixup", "mixout"])
def test_it_changes_what_is_learned(tiny_encoder: Path, tmp_path: Path, way: str) -> None:
    network, plain = made(tiny_encoder, way), made(tiny_encoder, way)
    losses = [entry["loss"] for entry in trained(network, way, tmp_path / "a")]
    without = [entry["loss"] for entry in run(plain, make_examples(plain), tmp_path / "b", settings=Train(**SETTINGS))]
    assert losses[0] != without[0] and all(np.isfinite(losses))


def test_the_average_is_judged_and_kept(tiny_encoder: Path, tmp_path: Path) -> None:
    network = make_network(tiny_encoder)
    examples = make_examples(network)
    settings = Train(**SETTINGS | {"lr": 0.1}, average="swa", decay="constant")
    logged = run(network, examples, tmp_path, settings=settings, validation=examples)
    losses = [entry["validation_loss"] for entry in logged if "validation_loss" in entry]
    kept = sum(held_out_losses(network, examples, settings, Accelerator(cpu=True)).values())
    assert kept == pytest.approx(min(losses), rel=1e-6)


def test_the_average_is_that_of_the_steps_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    """Three steps: what a run of one, of two and of three steps ends with, averaged."""
    ends = []
    for stop in (1, 2, None):
        network = make_network(tiny_encoder)
        settings = Train(epochs=1, batch_rows=20, lr=1e-2, checkpoint_steps=1000)
        try:
            run(network, make_examples(network), tmp_path / str(stop), settings=settings, stop_after=stop)
        except Interrupted:
            assert stop is not None
        ends.append({name: found.detach().clone() for name, found in moving(network)})
    network = make_network(tiny_encoder)
    run(network, make_examples(network), tmp_path / "swa", settings=settings.model_copy(update={"average": "swa"}))
    for name, found in moving(network):
        expected = torch.stack([end[name] for end in ends]).mean(0)
        torch.testing.assert_close(found.detach(), expected, atol=1e-6, rtol=1e-5)


def test_a_batch_of_one_row_does_not_break_batch_norm(tiny_encoder: Path, tmp_path: Path) -> None:
    network = make_network(tiny_encoder, batch_norm=True)
    logged = run(network, make_examples(network, rows=9), tmp_path, settings=Train(batch_rows=8, lr=1e-3))
    assert len(logged) == 2 and all(np.isfinite(entry["loss"]) for entry in logged)
