"""Weights under which all losses fall at the same rate, from one backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.balance._weighing import Weighing, adam, present
from nlptl.contracts import Balance

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from nlptl.contracts import Balancer, TaskLosses


class Famo(Balance):
    """Fast adaptive multitask optimisation: the task whose log loss falls least comes to count more.

    Liu et al. 2023 (arXiv 2306.03792, algorithm 1): with ``z = softmax(ξ)`` the network descends
    ``Σ_t c · z_t / loss_t · loss_t``, ``c = 1 / Σ_t z_t / loss_t``; after the step, ξ descends along ``∇ξ z`` times the
    fall of each log loss on the same batch, with decay. It takes two more forward passes, no backward pass a task.
    """

    kind: Literal["famo"] = "famo"
    lr: float = Field(0.025, gt=0, description="Adam's learning rate of ξ.")
    decay: float = Field(0.001, ge=0, description="Weight decay of ξ.")

    def start(self, tasks: int) -> Balancer:
        """ξ = 0: equal rates are asked of all."""
        return Falls(self, tasks)


class Falls(Weighing):
    """ξ, and the step's losses before the weights moved."""

    def __init__(self, settings: Famo, tasks: int) -> None:
        import torch

        self.settings = settings
        self.state = {"logits": torch.zeros(tasks, dtype=torch.float64)}

    def backward(self, losses: TaskLosses, shared_parameters: Sequence[Parameter], progress: float) -> Tensor:
        """Leave the gradient of the sum weighed by the losses themselves."""
        before = losses.values().cpu().double()
        self.state["before"] = before
        return losses.backward(rate_weights(self.state["logits"], before))

    def after_step(self, losses: TaskLosses) -> None:
        """One step of Adam."""
        import torch

        logits, before = self.state["logits"], self.state["before"]
        slope = logits_gradient(logits, before, losses.values().cpu().double()) + self.settings.decay * logits
        moved = adam(logits, slope, self.state, lr=self.settings.lr)
        self.state["logits"] = torch.where(present(before), moved, logits)


def rate_weights(logits: Tensor, values: Tensor) -> Tensor:
    """(tasks,) ξ and losses → (tasks,) weights of the losses, ``c · softmax(ξ) / loss``, which sum to 1 over the tasks
    that are present; 0 for others."""
    shares = present(values) * logits.softmax(0) / values.clamp(min=1e-8)
    return shares / shares.sum().clamp(min=1e-30)


def logits_gradient(logits: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """``∇ξ Σ_t z_t · (log loss_t before − log loss_t after)``, z = softmax(ξ) over the tasks that are present: (tasks,)
    each → (tasks,), 0 for others."""
    fall = before.clamp(min=1e-8).log() - after.clamp(min=1e-8).log()
    shares = logits.masked_fill(~present(before), -60.0).softmax(0) * present(before)
    return shares * (fall - shares @ fall)
