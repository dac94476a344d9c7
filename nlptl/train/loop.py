"""The one loop: forward, backward, step, log, evaluate, save. On Accelerate, the same on one process and on many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from nlptl.balance.equal import Equal
from nlptl.contracts import Balance, Ints, Rate
from nlptl.contracts.augment import Augment
from nlptl.encoder.backbone import Backbone
from nlptl.errors import RunError
from nlptl.model import Examples, Network
from nlptl.recipe import Train
from nlptl.train.adaptation import Adaptation
from nlptl.train.average import Average
from nlptl.train.batches import epoch_batches, share_of
from nlptl.train.gather import of_first, while_others_wait
from nlptl.train.losses import StepLosses, cosines, task_means
from nlptl.train.sampler import Sampler
from nlptl.train.schedule import midway, rate_factor
from nlptl.train.state import Length, TrainingState
from nlptl.train.views import StepViews

MEASURED = 5
"""Steps of a run, evenly spaced, at which the angles between the tasks' gradients are measured."""


@dataclass(frozen=True)
class Step:
    """One optimizer step: its number from 0, the global batches that are accumulated, whether an epoch ends with it."""

    number: int
    epoch: int
    batches: tuple[Ints, ...]
    ends_epoch: bool


def plan_steps(lengths: Ints, settings: Train, seed: int, sampler: Sampler | None = None) -> list[Step]:
    """Every optimizer step of the run, known before the first, so that progress is exact and a resume repeats it.

    Args:
        sampler: draws the rows of each epoch; none: every row once.
    """
    steps: list[Step] = []
    for epoch in range(settings.epochs):
        rows = None if sampler is None else sampler.draw(epoch, settings.epochs, seed)
        batches = _batches(lengths, settings, seed, epoch, rows)
        starts = range(0, len(batches), settings.accumulate)
        steps += [
            Step(len(steps) + place, epoch, tuple(batches[at : at + settings.accumulate]), at == starts[-1])
            for place, at in enumerate(starts)
        ]
    steps = steps[: settings.max_steps]
    steps[-1:] = [replace(last, ends_epoch=True) for last in steps[-1:]]  # what is learned last is judged too
    return steps


def train(
    network: Network,
    examples: Examples,
    *,
    validation: Examples | None,
    settings: Train,
    seed: int,
    folder: Path,
    fingerprint: str,
    resume: bool,
    accelerator: Accelerator,
    log: Callable[[dict[str, Any]], None],
    progress: Callable[[int, int], None],
    balance: Balance | None = None,
    adaptation: Adaptation | None = None,
    judge: Callable[[], dict[str, float]] | None = None,
    augment: Sequence[Augment] = (),
    length: Length | None = None,
) -> tuple[list[dict[str, Any]], Length]:
    """Train, in place, what in ``network`` requires gradients; returns what was logged, and how long the weights that
    are kept have learned.

    With ``validation``, the weights of the epoch with the lowest validation loss, summed over tasks, are kept; a task
    whose own has not got better for ``patience`` epochs teaches no more, and the last that has one ends the run. The
    global batches do not depend on the number of processes: each works on its share, and its loss is scaled so that the
    averaged gradient is that of the whole batch. Dropout is seeded by step, so a resumed run draws as an uninterrupted
    one. With several tasks that share parameters, the cosines between their gradients are logged as ``conflicts``.

    Args:
        folder: where the checkpoints of this training go.
        fingerprint: of recipe, data and encoder; a checkpoint with another one is not resumed.
        log: receives an entry a step as it is made, and on a resume all those before the checkpoint.
        progress: receives the steps done and the steps in all.
        judge: called at the end of each epoch in place of the validation loss: by task, what is lower for a better one.
        augment: how the rows that teach are shown; views that are texts are among ``examples`` already.
        adaptation: terms upon ``network`` whose gradients join those of the losses; logged as ``adapt.<kind>``.
        length: how long to train, as an earlier training found it: every schedule is that of all epochs, and the run
            ends where that one's kept weights were. None: all epochs, until validation says otherwise.

    Raises:
        RunError: a loss or gradient is not finite (step, epoch and rows are named, the last checkpoint is kept),
            no epoch has a validation loss that is, or the checkpoint to resume from belongs to another run.
    """
    planned = plan_steps(examples.lengths, settings, seed, Sampler.of(examples, settings))
    steps = planned if length is None else [step for step in planned if step.epoch < length.epochs]
    whole = len(planned)
    beside = [] if adaptation is None else adaptation.batches(whole, seed)
    layers = [] if adaptation is None else [p for p in adaptation.layers.parameters() if p.requires_grad]
    optimizer = make_optimizer(network.backbone, [*network.heads.parameters(), *layers], settings)
    wrapped, optimizer = accelerator.prepare(network, optimizer)
    learning: dict[str, torch.Tensor] = dict(moving(network))
    average = Average.of(dict(learning), settings)
    if adaptation is not None:
        adaptation.to(accelerator.device)
        learning |= adaptation.state()
    own = [parameter for parameter in network.own_parameters() if parameter.requires_grad]
    apart = set(map(id, own))
    shared = [p for p in network.backbone.parameters() if p.requires_grad and id(p) not in apart]
    balancer = (balance or Equal()).start(len(network.heads))
    state = TrainingState(learning, optimizer, balancer, average)
    start = {name: p.detach().clone() for name, p in network.backbone.body.named_parameters()
             if name in network.backbone.rates and settings.l2_sp}  # fmt: skip
    peaks = [group["lr"] for group in optimizer.param_groups]
    if resume:
        state.restore(folder, fingerprint)
        for entry in state.history:
            log(entry)
    ends = state.stopped_tasks if length is None else length.stopped

    for step in steps[state.step :]:
        if state.stopped:
            break
        factor = rate_factor(midway(step.number, whole), warmup=settings.warmup, decay=settings.decay)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        network.train()

        active = [task for task in network.heads if step.epoch < ends.get(task, math.inf)]
        seed_dropout = partial(_seed_dropout, seed, step.number, accelerator.process_index)
        views = StepViews.of(network, augment, (seed, step.number))
        losses = StepLosses(wrapped, examples, step.batches, accelerator, own, active, seed_dropout, views)
        conflicts = None
        if shared and len(network.heads) > 1 and step.number % math.ceil(whole / MEASURED) == 0:
            conflicts = cosines(losses.gradients(shared)[1]).tolist()
            optimizer.zero_grad(set_to_none=True)
        by_task = balancer.backward(losses, shared, (step.number + 1) / whole)
        loss, terms = float(by_task.sum()), {}
        if adaptation is not None:
            seed_dropout()
            terms = adaptation.backward(
                beside[step.number], step.number / whole, accelerator,
                number=step.number, labelled=sum(map(len, step.batches)),
            )  # fmt: skip
        pull_back(network.backbone.body, start, settings.l2_sp)
        _hold(optimizer, (step.number + 1) / whole)
        norm = float(accelerator.clip_grad_norm_(learning.values(), settings.clip or math.inf))
        if not (math.isfinite(loss + sum(terms.values())) and math.isfinite(norm)):
            raise RunError(_not_finite(loss, norm, step, examples, folder))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        balancer.after_step(losses)
        if average is not None:
            average.update((step.number + 1) / whole)
        state.step += 1

        entry = {"step": state.step, "epoch": step.epoch + 1, "loss": loss, "lr": peaks[0] * factor, "norm": norm}
        entry |= {f"adapt.{kind}": value for kind, value in terms.items()}
        if len(network.heads) > 1:
            entry |= {f"loss {task}": value for task, value in zip(network.heads, by_task.tolist(), strict=True)}
            entry |= {} if conflicts is None else {"conflicts": conflicts}
        with nullcontext() if average is None or not step.ends_epoch else average.answering():
            if step.ends_epoch and validation is not None:
                held_out = held_out_losses(network, validation, settings, accelerator)
                entry["validation_loss"] = sum(held_out.values())
                if judge is None:
                    state.judge(held_out, settings.patience, epoch=step.epoch + 1)
            if step.ends_epoch and judge is not None:
                judged = of_first(judge())
                entry[settings.select] = sum(judged.values())
                state.judge(judged, settings.patience, epoch=step.epoch + 1)
        state.history.append(entry)
        log(entry)
        progress(state.step, len(steps))
        if state.step % settings.checkpoint_steps == 0 or state.step == len(steps) or state.stopped:
            with while_others_wait():
                if accelerator.is_main_process:
                    state.save(folder, fingerprint)

    if average is not None:
        average.keep()
    state.keep_best()
    network.eval()
    return state.history, state.length


def moving(network: Network) -> Iterator[tuple[str, torch.Tensor]]:
    """What training moves, by name: the parameters that learn, and the running statistics of heads that do."""
    yield from ((name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad)
    for name, head in network.task_heads.items():
        if any(parameter.requires_grad for parameter in head.parameters()):
            buffers = head.named_buffers(prefix=f"heads.{name}")
            yield from ((path, buffer) for path, buffer in buffers if buffer.is_floating_point())


def held_out_losses(
    network: Network, examples: Examples, settings: Train, accelerator: Accelerator
) -> dict[str, float]:
    """By task that has one: the mean loss of a labelled row, in nats, with everything random switched off."""
    network.eval()
    counts = examples.labelled_counts(range(len(examples)))
    total = torch.zeros(len(counts), device=accelerator.device)
    with torch.no_grad():
        for batch in _batches(examples.lengths, settings, seed=0, epoch=0):
            rows = share_of(batch, rank=accelerator.process_index, world=accelerator.num_processes)
            if len(rows):
                total += task_means(network(examples.batch(rows, accelerator.device)), counts, list(counts))
    means = zip(network.heads, accelerator.reduce(total).tolist(), strict=True)
    return {task: mean for task, mean in means if counts[task]}


def _batches(lengths: Ints, settings: Train, seed: int, epoch: int, rows: Ints | None = None) -> list[Ints]:
    """The batches of an epoch of ``rows``; of all, where none are named."""
    here = lengths if rows is None else lengths[rows]
    batches = epoch_batches(
        here, batch_tokens=settings.batch_tokens, batch_rows=settings.batch_rows, seed=seed, epoch=epoch
    )
    return batches if rows is None else [rows[batch] for batch in batches]


def make_optimizer(backbone: Backbone, heads: Sequence[torch.nn.Parameter], settings: Train) -> torch.optim.Optimizer:
    """Adam for an adapter, for pretrained weights at rates of their own, and for ``heads``: all that stands above."""
    rates = backbone.rates
    adapter = [p for name, p in backbone.body.named_parameters() if p.requires_grad and name not in rates]
    by_rate: dict[Rate, list[torch.nn.Parameter]] = {}
    for name, parameter in backbone.body.named_parameters():
        if name in rates:
            by_rate.setdefault(rates[name], []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": adapter, "lr": settings.lr},
        *({"params": found, "lr": rate.lr, "start": rate.start} for rate, found in by_rate.items()),
        {"params": [*heads], "lr": settings.head_lr or settings.lr},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)


def pull_back(body: torch.nn.Module, start: Mapping[str, torch.Tensor], strength: float) -> None:
    """Add the gradient of ``½ · strength · ‖w − w₀‖²`` to that of the weights in ``start``, which are w₀.

    L2-SP (Li, Grandvalet & Davoine 2018, arXiv 1802.01483, eq. 1).
    """
    for name, parameter in body.named_parameters():
        if name in start and parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - start[name], alpha=strength)


def _hold(optimizer: torch.optim.Optimizer, progress: float) -> None:
    """Take away the gradients of layers whose time to learn has not come."""
    for group in optimizer.param_groups:
        if progress < group.get("start", 0.0):
            for parameter in group["params"]:
                parameter.grad = None


def _seed_dropout(seed: int, step: int, rank: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))


def _not_finite(loss: float, norm: float, step: Step, examples: Examples, folder: Path) -> str:
    ids = [examples.ids[row] for batch in step.batches for row in batch]
    shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return (
        f"training stopped at step {step.number + 1}, epoch {step.epoch + 1}: loss {loss}, gradient norm {norm}. "
        f"Rows: {shown}. The last good checkpoint is kept in {folder}; lower train.lr, or look at these rows."
    )
