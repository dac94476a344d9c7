"""Lanes: trainings of many adapters side by side, each as if it were alone.

A lane has its own rows, batches, learning-rate schedule, gradient norm and Adam moments; its weights are one slot of a
bank (``nlptl.tune._bank``). Side by side, many small trainings cost what one large one does. The loop is one of its own
because nothing of a step is shared but the frozen body: what is one number in ``train`` is one number a lane here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from nlptl.contracts import Ints
from nlptl.encoder.tokens import LOOSE_MULTIPLE, token_batches
from nlptl.errors import RunError
from nlptl.model import Examples, Network
from nlptl.recipe import Train
from nlptl.train.batches import share_of
from nlptl.train.loop import plan_steps
from nlptl.train.schedule import midway, rate_factor
from nlptl.tune._bank import Bank

BATCH_TOKENS = 4096
"""Tokens that go through the body at once, whatever batches the lanes have: their gradients add up over several."""


@dataclass(frozen=True, eq=False)
class LaneStep:
    """One step of all lanes that still train: by lane its rows, and its progress in (0, 1) of its own training."""

    rows: dict[int, Ints]
    progress: dict[int, float]


def plan_lanes(lengths: Ints, lanes: Ints, settings: Train, seed: int) -> list[LaneStep]:
    """The steps of all lanes; each lane has the batches that it would have alone, and stops when its own are done.

    Args:
        lengths: (rows,) tokens.
        lanes: (rows,) the lane of each row.
    """
    steps: list[LaneStep] = []
    for lane in np.unique(lanes):
        own = np.flatnonzero(lanes == lane)
        planned = plan_steps(lengths[own], settings, seed)
        steps += [LaneStep({}, {}) for _ in range(len(planned) - len(steps))]
        for place, step in enumerate(planned):
            steps[place].rows[int(lane)] = own[np.concatenate(step.batches)]
            steps[place].progress[int(lane)] = midway(place, len(planned))
    return steps


def train_lanes(
    network: Network,
    bank: Bank,
    examples: Examples,
    lanes: Ints,
    *,
    settings: Train,
    seed: int,
    accelerator: Accelerator,
    log: Callable[[dict[str, Any]], None],
    progress: Callable[[int, int], None],
) -> None:
    """Train, in place, the slots of ``bank`` that ``lanes`` names, one for each row of ``examples``.

    Args:
        log: receives an entry a step: its number, and the mean loss of a labelled row by lane, in nats.

    Raises:
        RunError: a loss or gradient is not finite.
    """
    steps = plan_lanes(examples.lengths, lanes, settings, seed)
    adapters = [p for p in network.backbone.parameters() if p.requires_grad]
    heads = list(network.heads.parameters())
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    plain = kind([{"params": adapters}, {"params": heads}], weight_decay=settings.weight_decay, fused=True)
    peaks = (settings.lr, settings.head_lr or settings.lr)
    with _prepared(accelerator, network, plain) as (wrapped, optimizer):
        for number, step in enumerate(steps):
            drawn = np.random.SeedSequence((seed, number, accelerator.process_index)).generate_state(1)
            torch.manual_seed(int(drawn[0]))
            network.train()
            losses = _forward_backward(wrapped, bank, examples, lanes, step, accelerator)
            norm = clip_lanes([*adapters, *heads], settings.clip or math.inf)
            if not (bool(torch.isfinite(losses).all()) and math.isfinite(norm)):
                raise RunError(_not_finite(losses, step, number, examples))
            factors = torch.zeros(bank.slots)
            for lane, share in step.progress.items():
                factors[lane] = rate_factor(share, warmup=settings.warmup, decay=settings.decay)
            step_lanes(optimizer, [peak * factors for peak in peaks])
            optimizer.zero_grad(set_to_none=True)
            by_lane = {lane: float(losses[lane]) for lane in step.rows}
            log({"step": number + 1, "loss": sum(by_lane.values()) / len(by_lane), "losses": by_lane})
            progress(number + 1, len(steps))
    network.eval()


@contextmanager
def _prepared(accelerator: Accelerator, network: Network, optimizer: Optimizer) -> Iterator[tuple[Module, Optimizer]]:
    """Both as ``accelerator`` makes them, which lets go of them at the end, and of nothing else.

    It would hold them, Adam's moments among them, through all waves. Its ``free_memory`` lets go of what others are
    training too, and collects garbage each time, which a short training would be seen to wait for.
    """
    others = list(accelerator._models), list(accelerator._optimizers)
    try:
        yield accelerator.prepare(network, optimizer)
    finally:
        accelerator._models, accelerator._optimizers = others


def _not_finite(losses: Tensor, step: LaneStep, number: int, examples: Examples) -> str:
    wrong = [lane for lane in step.rows if not math.isfinite(float(losses[lane]))]
    ids = [examples.ids[row] for lane in wrong or step.rows for row in step.rows[lane]]
    return (
        f"training stopped at step {number + 1}: loss or gradient is not a number. Rows: {', '.join(ids[:8])}; lower "
        "train.lr, or look at these rows."
    )


def _forward_backward(
    network: Module, bank: Bank, examples: Examples, lanes: Ints, step: LaneStep, accelerator: Accelerator
) -> Tensor:
    """Leave the gradients of every lane's mean loss, summed over its tasks; returns those losses, (slots,)."""
    rows = np.concatenate(list(step.rows.values()))
    counts = {
        task: np.bincount(lanes[labelled], minlength=bank.slots).clip(1)
        for task, labels in examples.labels.items()
        for labelled in (rows[examples.tasks[task].labelled(labels[rows])],)
    }
    total = torch.zeros(bank.slots, device=accelerator.device)
    batches = [rows[batch] for batch in token_batches(examples.lengths[rows], BATCH_TOKENS, multiple=LOOSE_MULTIPLE)]
    for place, batch in enumerate(batches):
        mine = share_of(batch, rank=accelerator.process_index, world=accelerator.num_processes)
        weight = 1.0 if len(mine) else 0.0  # a process without a row of its own takes part with one that counts nothing
        mine = mine if len(mine) else batch[:1]
        here = examples.batch(mine, accelerator.device)
        slots = torch.from_numpy(lanes[mine]).to(accelerator.device)
        assert here.tokens is not None
        last = place == len(batches) - 1
        with nullcontext() if last else accelerator.no_sync(network), bank.route.taken(slots, here.tokens.owners):
            found = torch.zeros_like(total)
            for task, losses in network(here).items():
                own = slots[here.labelled[task]]
                shares = torch.as_tensor(weight / counts[task], dtype=torch.float32, device=total.device)
                found = found.index_add(0, own, losses * shares[own])
            accelerator.backward(found.sum() * accelerator.num_processes)
        total += found.detach()
    reduced: Tensor = accelerator.reduce(total)
    return reduced


@torch.no_grad()
def clip_lanes(parameters: Sequence[Tensor], largest: float) -> float:
    """Scale each lane's gradients, over all stacked ``parameters`` (slots, …), to a norm of at most ``largest``, each
    lane by itself; returns the largest norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([gradient.flatten(1).pow(2).sum(1) for gradient in gradients]).sum(0).sqrt()
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_ does
    for gradient in gradients:
        gradient.mul_(_beside(factors, gradient))
    return float(norms.max())


@torch.no_grad()
def step_lanes(optimizer: Optimizer, rates: Sequence[Tensor]) -> None:
    """One step of Adam or AdamW with a learning rate a lane: (slots,) for each parameter group.

    The update of both is linear in the rate η, weight decay included: p(η) = p + η (p(1) − p). So the step is taken at
    rate 1 and shortened. A lane of rate 0 stays as it is, to the bit.
    """
    before = [[p.detach().clone() for p in group["params"]] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    optimizer.step()
    for group, starts, rate in zip(optimizer.param_groups, before, rates, strict=True):
        for parameter, start in zip(group["params"], starts, strict=True):
            parameter.copy_(start + _beside(rate.to(parameter), parameter) * (parameter - start))


def _beside(values: Tensor, stacked: Tensor) -> Tensor:
    """(slots,) shaped to multiply (slots, …)."""
    return values.view(-1, *[1] * (stacked.dim() - 1))
