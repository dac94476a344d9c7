"""The one loop: forward, backward, step, log, evaluate, save. On Accelerate, the same on one process and on many."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from nlptl.contracts import Ints
from nlptl.errors import RunError
from nlptl.model import Examples, Network
from nlptl.recipe import Train
from nlptl.train.batches import epoch_batches, share_of
from nlptl.train.schedule import rate_factor
from nlptl.train.state import TrainingState


@dataclass(frozen=True)
class Step:
    """One optimizer step: its number from 0, the global batches that are accumulated, whether an epoch ends with it."""

    number: int
    epoch: int
    batches: tuple[Ints, ...]
    ends_epoch: bool


def plan_steps(lengths: Ints, settings: Train, seed: int) -> list[Step]:
    """Every optimizer step of the run, known before the first, so that progress is exact and a resume repeats it."""
    steps: list[Step] = []
    for epoch in range(settings.epochs):
        batches = _batches(lengths, settings, seed, epoch)
        starts = range(0, len(batches), settings.accumulate)
        steps += [
            Step(len(steps) + place, epoch, tuple(batches[at : at + settings.accumulate]), at == starts[-1])
            for place, at in enumerate(starts)
        ]
    return steps[: settings.max_steps]


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
) -> None:
    """Train, in place, what in ``network`` requires gradients.

    With ``validation``, the weights of the epoch with the lowest validation loss are kept. The global batches do not
    depend on the number of processes: each works on its share, and its loss is scaled so that the averaged gradient
    is that of the whole batch. Dropout is seeded by step, so a resumed run draws as an uninterrupted one.

    Args:
        folder: where the checkpoints of this training go.
        fingerprint: of recipe, data and encoder; a checkpoint with another one is not resumed.
        log: receives an entry a step as it is made, and on a resume all those before the checkpoint.
        progress: receives the steps done and the steps in all.

    Raises:
        RunError: a loss or gradient is not finite (step, epoch and rows are named, the last checkpoint is kept), or
            the checkpoint to resume from belongs to another run.
    """
    steps = plan_steps(examples.lengths, settings, seed)
    optimizer = _optimizer(network, settings)
    wrapped, optimizer = accelerator.prepare(network, optimizer)
    learning = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    state = TrainingState(learning, optimizer)
    peaks = [group["lr"] for group in optimizer.param_groups]
    if resume:
        state.restore(folder, fingerprint)
        for entry in state.history:
            log(entry)

    for step in steps[state.step :]:
        if state.stopped:
            break
        factor = rate_factor((step.number + 1) / len(steps), warmup=settings.warmup, decay=settings.decay)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        _seed_dropout(seed, step.number, accelerator.process_index)
        network.train()

        loss = _forward_backward(wrapped, examples, step, accelerator)
        norm = float(accelerator.clip_grad_norm_(learning.values(), settings.clip or math.inf))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise RunError(_not_finite(loss, norm, step, examples, folder))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1

        entry = {"step": state.step, "epoch": step.epoch + 1, "loss": loss, "lr": peaks[0] * factor, "norm": norm}
        if step.ends_epoch and validation is not None:
            entry["validation_loss"] = held_out_loss(network, validation, settings, accelerator)
            state.judge(entry["validation_loss"], settings.patience)
        state.history.append(entry)
        log(entry)
        progress(state.step, len(steps))
        if state.step % settings.checkpoint_steps == 0 or state.step == len(steps) or state.stopped:
            if accelerator.is_main_process:
                state.save(folder, fingerprint)
            accelerator.wait_for_everyone()

    state.keep_best()
    network.eval()


def held_out_loss(network: Network, examples: Examples, settings: Train, accelerator: Accelerator) -> float:
    """Mean loss of a labelled row, summed over tasks, in nats, with everything random switched off."""
    network.eval()
    counts = examples.labelled_counts(range(len(examples)))
    total = torch.zeros((), device=accelerator.device)
    with torch.no_grad():
        for batch in _batches(examples.lengths, settings, seed=0, epoch=0):
            rows = share_of(batch, rank=accelerator.process_index, world=accelerator.num_processes)
            if len(rows):
                total += _mean_loss(network(examples.batch(rows, accelerator.device)), counts)
    return float(accelerator.reduce(total))


def _forward_backward(network: torch.nn.Module, examples: Examples, step: Step, accelerator: Accelerator) -> float:
    """Leave the gradients of the step's loss, that of ``held_out_loss`` over its batches; returns the loss."""
    counts = examples.labelled_counts(row for batch in step.batches for row in batch)
    total = torch.zeros((), device=accelerator.device)
    for batch in step.batches:
        rows = share_of(batch, rank=accelerator.process_index, world=accelerator.num_processes)
        # A process without a row of its own takes part in the gradients' sum with one that counts for nothing.
        weight = 1.0 if len(rows) else 0.0
        last = batch is step.batches[-1]
        with nullcontext() if last else accelerator.no_sync(network):
            losses = network(examples.batch(rows if len(rows) else batch[:1], accelerator.device))
            loss = weight * _mean_loss(losses, counts)
            accelerator.backward(loss * accelerator.num_processes)
        total += loss.detach()
    return float(accelerator.reduce(total))


def _mean_loss(losses: dict[str, Tensor], counts: dict[str, int]) -> Tensor:
    return torch.stack([part.sum() / max(counts[task], 1) for task, part in losses.items()]).sum()


def _batches(lengths: Ints, settings: Train, seed: int, epoch: int) -> list[Ints]:
    return epoch_batches(
        lengths, batch_tokens=settings.batch_tokens, batch_rows=settings.batch_rows, seed=seed, epoch=epoch
    )


def _optimizer(network: Network, settings: Train) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in network.backbone.parameters() if p.requires_grad], "lr": settings.lr},
        {"params": list(network.heads.parameters()), "lr": settings.head_lr or settings.lr},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)


def _seed_dropout(seed: int, step: int, rank: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))


def _not_finite(loss: float, norm: float, step: Step, examples: Examples, folder: Path) -> str:
    ids = [examples.ids[row] for batch in step.batches for row in batch]
    shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return (
        f"training stopped at step {step.number + 1}, epoch {step.epoch + 1}: loss {loss}, gradient norm {norm}. "
        f"Rows: {shown}. The last good checkpoint is kept in {folder}; lower train.lr, or look at these rows."
    )
