"""Adapters trained side by side have the losses and the weights of each trained alone, as a stock PEFT adapter."""

import gc
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from train_network import TASKS, make_examples

from nlptl.contracts import Ints
from nlptl.encoder.backbone import Backbone
from nlptl.errors import RunError
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.lanes import clip_lanes, plan_lanes, step_lanes, train_lanes
from nlptl.train.loop import train
from nlptl.tune import Lora
from nlptl.tune._adapter import load_adapter
from nlptl.tune._bank import Bank
from nlptl.tune._shelf import adapter_id, put_away

SETTINGS = Train(epochs=3, batch_tokens=80, lr=2e-2, head_lr=1e-2, weight_decay=0.1, clip=0.5, accumulate=2)


def body(encoder: Path) -> Backbone:
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=32))
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return backbone


def starts() -> dict[str, torch.nn.Linear]:
    torch.manual_seed(0)
    return {name: torch.nn.Linear(32, task.outputs) for name, task in TASKS.items()}


def stacked(encoder: Path, lanes: int = 3) -> tuple[Network, Bank]:
    backbone = body(encoder)
    bank = Lora(rank=2, together=lanes).stack(backbone)
    heads = {name: TaskHead(TASKS[name], "last", bank.own_head(name, start)) for name, start in starts().items()}
    for slot in range(1, bank.slots):
        bank.draw(slot, torch.Generator().manual_seed(slot))
    return Network(backbone.freeze("float32"), heads), bank


def part(examples: Examples, rows: Ints) -> Examples:
    """Some of the rows, as if there were no others; their tokens are those of all, found by position."""
    texts = examples.tokens
    assert texts is not None

    class Chosen:
        def batch(self, places: Ints, device: Any, *, multiple: int) -> Any:
            return texts.batch(rows[places], device, multiple=multiple)

    labels = {name: values[rows] for name, values in examples.labels.items()}
    ids = [examples.ids[row] for row in rows]
    return Examples(ids, examples.tasks, labels, examples.lengths[rows], tokens=Chosen())  # type: ignore[arg-type]


def side_by_side(network: Network, bank: Bank, examples: Examples, lanes: Ints, **settings: Any) -> list[Any]:
    logged: list[Any] = []
    train_lanes(
        network, bank, examples, lanes, settings=SETTINGS.model_copy(update=settings), seed=3,
        accelerator=Accelerator(cpu=True), log=logged.append, progress=lambda done, total: None,
    )  # fmt: skip
    return logged


LANES = np.array([1, 3, 2, 1, 3, 3] * 10)
"""Of 60 rows: 20, 10 and 30 in lanes 1, 2 and 3, which so have unlike numbers of steps."""


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_lanes_train_as_stock_peft_adapters_do_one_after_another(
    tiny_encoder: Path, tmp_path: Path, optimizer: Any
) -> None:
    network, bank = stacked(tiny_encoder)
    examples = make_examples(network)
    settings = SETTINGS.model_copy(update={"optimizer": optimizer})
    drawn = {lane: bank.adapter(lane) for lane in (1, 2, 3)}
    alone: dict[int, Network] = {}
    losses: dict[int, list[float]] = {}
    for lane in (1, 2, 3):
        put_away(bank, lane, str(lane), tmp_path, "base")
        backbone = body(tiny_encoder)
        backbone.body = load_adapter(backbone.body, tmp_path / adapter_id(str(lane)))
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(".lora_" in name)
        alone[lane] = Network(backbone, {name: TaskHead(TASKS[name], "last", head) for name, head in starts().items()})
        logged: list[Any] = []
        train(
            alone[lane], part(examples, np.flatnonzero(lane == LANES)), validation=None, settings=settings, seed=3,
            folder=tmp_path / f"checkpoints{lane}", fingerprint="", resume=False, accelerator=Accelerator(cpu=True),
            log=logged.append, progress=lambda done, total: None,
        )  # fmt: skip
        losses[lane] = [entry["loss"] for entry in logged]
    together = side_by_side(network, bank, examples, LANES, optimizer=optimizer)

    assert len({len(steps) for steps in losses.values()}) == 3
    for lane, expected in losses.items():
        found = [entry["losses"][lane] for entry in together if lane in entry["losses"]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        put_away(bank, lane, str(lane), tmp_path, "base")
        trained = {name.replace(".default", ""): p for name, p in alone[lane].backbone.body.named_parameters()}
        moved = 0.0
        for name, tensor in bank.adapter(lane).items():
            torch.testing.assert_close(tensor, trained[name].detach(), rtol=0, atol=1e-4)
            moved = max(moved, float((tensor - drawn[lane][name]).abs().max()))
        assert moved > 1e-2
        for name, tensor in bank.head_state(lane).items():
            task, _, kind = name.rpartition(".")
            torch.testing.assert_close(tensor, getattr(alone[lane].task_heads[task].net, kind), rtol=0, atol=1e-4)


def test_of_a_wave_the_accelerator_holds_nothing_and_of_others_what_it_held(tiny_encoder: Path) -> None:
    """Not Adam's moments either, which Adam alone holds; a training that failed leaves as little."""
    accelerator, made = Accelerator(cpu=True), []
    other = torch.nn.Linear(1, 1)
    theirs = accelerator.prepare(other, torch.optim.SGD(other.parameters()))
    network, bank = stacked(tiny_encoder)
    examples = make_examples(network)

    class Watched(torch.optim.AdamW):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(weakref.ref(self))

    def log(entry: dict[str, Any]) -> None:
        if len(made) == 2:
            raise RunError("as if a loss were no number")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "AdamW", Watched)
        for failed in (False, True):
            with pytest.raises(RunError) if failed else nullcontext():
                train_lanes(
                    network, bank, examples, LANES, settings=SETTINGS, seed=3, accelerator=accelerator, log=log,
                    progress=lambda done, total: None,
                )  # fmt: skip
    gc.collect()
    assert [optimizer() for optimizer in made] == [None, None]
    assert (accelerator._models, accelerator._optimizers) == ([theirs[0]], [theirs[1]])


def test_nobodys_slot_stays_the_pretrained_body_with_the_shared_heads(tiny_encoder: Path) -> None:
    network, bank = stacked(tiny_encoder)
    before = bank.adapter(0) | bank.head_state(0)
    side_by_side(network, bank, make_examples(network), LANES)
    after = bank.adapter(0) | bank.head_state(0)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not network.training


def test_a_lane_does_not_depend_on_who_else_trains(tiny_encoder: Path) -> None:
    """Lane 2 beside lanes 1 and 3, and beside nobody."""
    found = []
    for lanes in (LANES, np.where(LANES == 2, 2, 0)):
        network, bank = stacked(tiny_encoder)
        examples = make_examples(network)
        kept = np.flatnonzero(lanes)
        side_by_side(network, bank, part(examples, kept), lanes[kept])
        found.append(bank.adapter(2) | bank.head_state(2))
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=0, atol=1e-4)


def test_the_plan_gives_each_lane_its_rows_once_an_epoch() -> None:
    lengths = np.random.default_rng(0).integers(3, 30, 60)
    steps = plan_lanes(lengths, LANES, SETTINGS, seed=1)
    for lane, size in ((1, 20), (2, 10), (3, 30)):
        own = [step for step in steps if lane in step.rows]
        rows = np.concatenate([step.rows[lane] for step in own])
        assert len(rows) == SETTINGS.epochs * size and set(rows) == set(np.flatnonzero(lane == LANES))
        assert own[-1].progress[lane] == pytest.approx(1 - 0.5 / len(own)) and own == steps[: len(own)]


def test_each_lane_is_clipped_by_its_own_norm() -> None:
    first, second = (torch.nn.Parameter(torch.zeros(3, *shape)) for shape in ((2,), (1, 2)))
    first.grad = torch.tensor([[3.0, 0.0], [0.3, 0.0], [0.0, 0.0]])
    second.grad = torch.tensor([[[0.0, 4.0]], [[0.4, 0.0]], [[0.0, 0.0]]])
    assert clip_lanes([first, second], 1.0) == pytest.approx(5.0)
    torch.testing.assert_close(first.grad, torch.tensor([[0.6, 0.0], [0.3, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(second.grad, torch.tensor([[[0.0, 0.8]], [[0.4, 0.0]], [[0.0, 0.0]]]))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_rate_a_lane_is_the_optimizers_own_rate(kind: Any) -> None:
    """Three steps with two rates, beside two optimizers of one rate each."""
    rates = (0.01, 0.3)
    stacked = torch.nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
    alone = [torch.nn.Parameter(row.detach().clone()) for row in stacked]
    optimizer = kind([stacked], weight_decay=0.1, fused=True)
    theirs = [kind([each], lr=rate, weight_decay=0.1) for each, rate in zip(alone, rates, strict=True)]
    for number in range(3):
        stacked.grad = torch.tensor([[0.1, 2.0], [-1.0, 0.3]]) * (number - 0.5)
        step_lanes(optimizer, [torch.tensor(rates)])
        for each, own, gradient in zip(alone, theirs, stacked.grad, strict=True):
            each.grad = gradient.clone()
            own.step()
    torch.testing.assert_close(stacked.detach(), torch.stack([each.detach() for each in alone]))


def test_a_loss_that_is_not_a_number_names_the_rows_of_its_lane(tiny_encoder: Path) -> None:
    network, bank = stacked(tiny_encoder)
    examples = make_examples(network)
    offsets = {"kind": np.zeros((60, 1))}
    offsets["kind"][LANES == 2] = np.nan
    poisoned = Examples(examples.ids, TASKS, examples.labels, examples.lengths, tokens=examples.tokens, offsets=offsets)
    with pytest.raises(RunError, match=r"stopped at step 1: .*Rows: row(2|8|14|20|26|32|38|44|50|56)[,;]"):
        side_by_side(network, bank, poisoned, LANES)
