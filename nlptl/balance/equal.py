"""The plain sum of the tasks' losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nlptl.balance._weighing import Weighing
from nlptl.contracts import Balance

if TYPE_CHECKING:
    from torch import Tensor

    from nlptl.contracts import Balancer


class Equal(Balance):
    """Every task's mean loss counts the same, throughout."""

    kind: Literal["equal"] = "equal"

    def start(self, tasks: int) -> Balancer:
        """Weights of 1."""
        return Ones(tasks)


class Ones(Weighing):
    """Weights of 1."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.tasks = tasks

    def weights(self, progress: float) -> Tensor:
        """(tasks,) of 1."""
        import torch

        return torch.ones(self.tasks)
