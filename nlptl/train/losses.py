"""A step's losses by task, the same for one process and for many, and how the tasks' gradients stand to one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import Module, Parameter

from nlptl.balance._weighing import leave
from nlptl.contracts import Ints
from nlptl.model import Batch, Examples
from nlptl.train.batches import share_of
from nlptl.train.views import StepViews


@dataclass(frozen=True)
class StepLosses:
    """The losses of one optimizer step over its global ``batches``, as ``contracts.TaskLosses`` promises them.

    Attributes:
        network: as prepared by ``accelerator``; returns the losses of labelled rows by task.
        own: what learns and is not shared between tasks.
        active: the tasks that still teach.
        seed_dropout: called before each run of the batch, so that all draw the same.
        views: how the batches are shown, if not as they are.
    """

    network: Module
    examples: Examples
    batches: Sequence[Ints]
    accelerator: Accelerator
    own: Sequence[Parameter]
    active: Sequence[str]
    seed_dropout: Callable[[], None]
    views: StepViews | None = None

    def backward(self, weights: Tensor) -> Tensor:
        """Leave the gradient of ``Σ weights_t · loss_t``; returns the (tasks,) losses, in nats."""
        weights = weights.to(self.accelerator.device, torch.float32)
        total = torch.zeros(len(weights), device=self.accelerator.device)
        for losses, last in self._parts():
            with nullcontext() if last else self._unsynchronised():
                self.accelerator.backward((losses * weights).sum() * self.accelerator.num_processes)
            total += losses.detach()
        return self._summed(total)

    def gradients(self, shared: Sequence[Parameter]) -> tuple[Tensor, Tensor]:
        """The (tasks,) losses, and (tasks, numbers in ``shared``) the gradient of each; ``own`` parameters are left
        with the gradient of the plain sum."""
        every = [*shared, *self.own]
        flat: list[Tensor] = []
        total: Tensor | None = None
        for losses, _ in self._parts(synchronise=False):
            total = losses.detach() if total is None else total + losses.detach()
            rows = [_gradient(loss, every, keep=place < len(losses) - 1) for place, loss in enumerate(losses)]
            flat = rows if not flat else [before + row for before, row in zip(flat, rows, strict=True)]
        assert total is not None
        each = self._summed(torch.stack(flat))
        split = sum(parameter.numel() for parameter in shared)
        leave(each[:, split:].sum(0), self.own)
        return self._summed(total), each[:, :split]

    def values(self) -> Tensor:
        """The (tasks,) losses, without gradients."""
        with torch.no_grad():
            return self._summed(torch.stack([losses for losses, _ in self._parts(synchronise=False)]).sum(0))

    def _parts(self, *, synchronise: bool = True) -> Iterator[tuple[Tensor, bool]]:
        """This process's share of each batch's (tasks,) losses, and whether it is the last batch."""
        self.seed_dropout()
        counts = self.examples.labelled_counts(row for batch in self.batches for row in batch)
        for number, rows in enumerate(self.batches):
            last = number == len(self.batches) - 1
            with nullcontext() if last and synchronise else self._unsynchronised():
                losses = self.network(self._shown(rows, number))
            yield task_means(losses, counts, self.active), last

    def _shown(self, rows: Ints, number: int) -> Batch:
        """This process's share of the global batch ``rows``, the step's ``number``-th."""
        world, device = self.accelerator.num_processes, self.accelerator.device
        own = share_of(np.arange(len(rows)), rank=self.accelerator.process_index, world=world)
        # A process without a row of its own takes part in the sums over processes with one that is taken away again.
        places = own if len(own) else np.arange(1)
        batch = self.examples.batch(rows[places], device)
        if self.views is not None:
            batch = self.views.shown(batch, self.examples, rows, places, number=number, world=world, device=device)
        return batch if len(own) else batch.emptied()

    def _unsynchronised(self) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = self.accelerator.no_sync(self.network)
        return context

    def _summed(self, values: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(values)
        return summed


def task_means(losses: Mapping[str, Tensor], counts: Mapping[str, int], active: Sequence[str]) -> Tensor:
    """By task the losses of some rows → (tasks,) their share of the mean over ``counts`` rows; 0 where not active."""
    return torch.stack(
        [part.sum() / max(counts[task], 1) * (1.0 if task in active else 0.0) for task, part in losses.items()]
    )


def cosines(gradients: Tensor) -> Tensor:
    """(tasks, numbers) gradients → (tasks, tasks) cosines of the angles between them; 0 where a gradient is 0.

    Below 0 two tasks conflict: a step along one's gradient raises the other's loss (Yu et al. 2020, definition 1).
    """
    unit = torch.nn.functional.normalize(gradients, dim=1)
    return unit @ unit.T


def _gradient(loss: Tensor, parameters: Sequence[Parameter], *, keep: bool) -> Tensor:
    found = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten().float() for g, p in pairs])
