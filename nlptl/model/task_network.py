"""A network in which each task has an adapter of its own beside the shared one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nlptl.encoder.backbone import Backbone
from nlptl.model import Batch, Network, TaskHead
from nlptl.tune._task_bank import TaskBank


class TaskNetwork(Network):
    """Runs each row once for every task that it has a label of, through the shared adapter and the task's own."""

    def __init__(self, backbone: Backbone, heads: Mapping[str, TaskHead], bank: TaskBank) -> None:
        super().__init__(backbone, heads)
        self.bank = bank

    def own_parameters(self) -> list[nn.Parameter]:
        """The heads' parameters and the tasks' own adapters."""
        return [*super().own_parameters(), *self.bank.own_parameters()]

    def last_layers(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """As of every network; but rows without a label of the task are not run for it, and their vectors and logits
        are 0, but for offsets."""
        assert batch.tokens is not None
        device = batch.tokens.owners.device
        rows = [torch.nonzero(batch.labelled[task]).flatten() for task in self.bank.tasks]
        run = list(rows)
        if not sum(len(each) for each in rows):  # something must run: every process takes part in the gradients' sum
            run[0] = torch.zeros(1, dtype=torch.int64, device=device)
        slots = torch.repeat_interleave(torch.tensor([len(each) for each in run], device=device))
        tokens = batch.tokens.taken(torch.cat(run))
        with self.bank.route.taken(slots, tokens.owners):
            found = self.backbone(tokens, self.readings)
        answers = {}
        for slot, (task, of_task) in enumerate(zip(self.bank.tasks, rows, strict=True)):
            readings = {name: part[slots == slot][: len(of_task)] for name, part in found.items()}
            answers[task] = self._answered(task, batch, of_task, readings)
        return answers

    def _answered(self, task: str, batch: Batch, rows: Tensor, readings: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """``readings`` are of ``rows`` alone, so that a head's statistics of a batch are those of its own rows."""
        size = len(batch.labelled[task])
        features, logits = (
            part.new_zeros(size, part.shape[1]).index_copy(0, rows, part)
            for part in self.task_heads[task].last_layer(readings)
        )
        return features, logits + batch.offsets[task] if task in batch.offsets else logits
