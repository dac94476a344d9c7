"""Weights under which tasks pull equally hard, the slower ones harder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.balance._weighing import Weighing, adam, leave, present
from nlptl.contracts import Balance

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from nlptl.contracts import Balancer, TaskLosses


class Gradnorm(Balance):
    """Gradient norms of tasks are drawn together, tasks that learn more slowly being allowed more.

    Chen et al. 2018 (arXiv 1711.02257, eq. 1–2): with ``G_t = ‖∇ w_t · loss_t‖`` over the shared parameters and the
    relative inverse rate ``r_t = (loss_t / loss_t(0)) / mean``, the weights descend ``Σ_t |G_t − Ḡ · r_t^α|``, the
    targets held fixed, and are scaled to sum to the number of tasks. They weigh what tasks do to shared parameters;
    a head learns from its own task's loss as it is. It takes one backward pass a task.
    """

    kind: Literal["gradnorm"] = "gradnorm"
    alpha: float = Field(1.5, ge=0, description="How much more a slow task may pull; 0: all equally.")
    lr: float = Field(0.025, gt=0, description="Adam's learning rate of the weights.")

    def start(self, tasks: int) -> Balancer:
        """Weights of 1."""
        return Norms(self, tasks)


class Norms(Weighing):
    """The weights, and the losses that they started from."""

    def __init__(self, settings: Gradnorm, tasks: int) -> None:
        import torch

        self.settings, self.tasks = settings, tasks
        self.state = {"weights": torch.ones(tasks, dtype=torch.float64)}

    def backward(self, losses: TaskLosses, shared_parameters: Sequence[Parameter], progress: float) -> Tensor:
        """Leave the weighed sum of the tasks' gradients, then move the weights of those that are present."""
        import torch

        values, gradients = losses.gradients(shared_parameters)
        weights = self.state["weights"]
        leave(weights.to(gradients) @ gradients, shared_parameters)
        now = values.cpu().double()
        known = self.state.get("first_losses", torch.zeros_like(now))
        first = self.state["first_losses"] = torch.where(present(known), known, now)
        slope = weights_gradient(weights, gradients.norm(dim=1).cpu().double(), now, first, self.settings.alpha)
        moved = adam(weights, slope, self.state, lr=self.settings.lr).clamp(min=1e-3)
        moved = torch.where(present(now), moved, weights)
        self.state["weights"] = moved * self.tasks / moved.sum()
        return values


def weights_gradient(weights: Tensor, norms: Tensor, values: Tensor, first: Tensor, alpha: float) -> Tensor:
    """The gradient of GradNorm's loss in the weights: (tasks,) each → (tasks,). Means are over the tasks that are
    present; for others it is 0.

    Args:
        weights: w_t.
        norms: ‖∇ loss_t‖ over the shared parameters, without the weight.
        values: loss_t now; ``first`` at the first step with a row of the task.
        alpha: the exponent of the rates.
    """
    here = present(values)
    count = here.sum().clamp(min=1)
    rates = values / first.clamp(min=1e-12)
    rates = rates / (rates.sum() / count).clamp(min=1e-12)
    pulls = weights * norms * here
    targets = pulls.sum() / count * rates**alpha
    return (pulls - targets).sign() * norms * here
