"""Weights from each task's learned noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.balance._weighing import Weighing, adam, present
from nlptl.contracts import Balance

if TYPE_CHECKING:
    from torch import Tensor

    from nlptl.contracts import Balancer


class Uncertainty(Balance):
    """A task with more noise counts less; the noise of each is learned.

    Kendall, Gal & Cipolla 2018 (arXiv 1705.07115, eq. 10), for classification: with ``s = log σ²`` of each task,
    ``Σ_t exp(−s_t) · loss_t + s_t / 2``, minimised over the network and ``s`` together.
    """

    kind: Literal["uncertainty"] = "uncertainty"
    lr: float = Field(0.025, gt=0, description="Adam's learning rate of log σ².")

    def start(self, tasks: int) -> Balancer:
        """σ = 1 for every task."""
        return Noise(self, tasks)


class Noise(Weighing):
    """The noise of each task, as ``log σ²``."""

    def __init__(self, settings: Uncertainty, tasks: int) -> None:
        import torch

        self.settings = settings
        self.state = {"log_variance": torch.zeros(tasks, dtype=torch.float64)}

    def weights(self, progress: float) -> Tensor:
        """1 / σ²."""
        return (-self.state["log_variance"]).exp()

    def observe(self, values: Tensor, progress: float) -> None:
        """One step of Adam, for the tasks that are present."""
        import torch

        s = self.state["log_variance"]
        moved = adam(s, variance_gradient(s, values), self.state, lr=self.settings.lr)
        self.state["log_variance"] = torch.where(present(values), moved, s)


def variance_gradient(log_variance: Tensor, values: Tensor) -> Tensor:
    """d/ds of ``exp(−s) · loss + s / 2``: (tasks,) s and losses → (tasks,)."""
    return 0.5 - (-log_variance).exp() * values
