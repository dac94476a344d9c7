"""A training without labels: the encoder learns to guess masked tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from nlptl.balance.equal import Equal
from nlptl.errors import RunError
from nlptl.recipe import Train
from nlptl.train.gather import while_others_wait
from nlptl.train.guessing import Guessing
from nlptl.train.loop import make_optimizer, plan_steps
from nlptl.train.schedule import midway, rate_factor
from nlptl.train.state import TrainingState


def train_guessing(
    guessing: Guessing,
    *,
    settings: Train,
    folder: Path,
    fingerprint: str,
    resume: bool,
    accelerator: Accelerator,
    log: Callable[[dict[str, Any]], None],
    progress: Callable[[int, int], None],
) -> list[float]:
    """Train, in place, what in the encoder and in the head requires gradients; returns the loss at each step, in nats.

    Steps, rates, checkpoints and their arguments are those of ``train``.

    Raises:
        RunError: a loss or gradient is not finite, or the checkpoint to resume from belongs to another run.
    """
    backbone, head = guessing.backbone.to(accelerator.device), guessing.head.to(accelerator.device)
    heads = [parameter for parameter in head.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(backbone, heads, settings)
    named = {**dict(backbone.named_parameters(prefix="body")), **dict(head.named_parameters(prefix="head"))}
    learning = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    state = TrainingState(learning, optimizer, Equal().start(1))
    peaks = [group["lr"] for group in optimizer.param_groups]
    if resume:
        state.restore(folder, fingerprint)
        for entry in state.history:
            log(entry)
    steps = plan_steps(guessing.tokens.row_lengths, settings, guessing.seed)
    for step in steps[state.step :]:
        factor = rate_factor(midway(step.number, len(steps)), warmup=settings.warmup, decay=settings.decay)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        backbone.train()
        head.train()
        torch.manual_seed(
            int(np.random.SeedSequence((guessing.seed, step.number, accelerator.process_index)).generate_state(1)[0])
        )
        loss = guessing.loss(np.concatenate(step.batches), step.number, accelerator)
        found = torch.autograd.grad(loss, list(learning.values()), allow_unused=True)
        for parameter, gradient in zip(learning.values(), found, strict=True):
            parameter.grad = None if gradient is None else accelerator.reduce(gradient, "mean")
        norm, cost = float(torch.nn.utils.clip_grad_norm_(learning.values(), settings.clip or math.inf)), loss.item()
        if not (math.isfinite(norm) and math.isfinite(cost)):
            raise RunError(
                f"tapt stopped at step {step.number + 1}: loss {cost}, gradient norm {norm}. The last good "
                f"checkpoint is kept in {folder}; lower the lr of adapt: tapt."
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        entry = {"step": state.step, "masked loss": cost, "lr": peaks[0] * factor}
        state.history.append(entry)
        log(entry)
        progress(state.step, len(steps))
        if state.step % settings.checkpoint_steps == 0 or state.step == len(steps):
            with while_others_wait():
                if accelerator.is_main_process:
                    state.save(folder, fingerprint)
    backbone.eval()
    return [entry["masked loss"] for entry in state.history]
