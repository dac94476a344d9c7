"""Gradients that conflict are projected onto each other's normal planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from nlptl.balance._weighing import Weighing, leave
from nlptl.contracts import Balance

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Parameter

    from nlptl.contracts import Balancer, TaskLosses


class Pcgrad(Balance):
    """What in one task's gradient opposes another's is taken out of it (projecting conflicting gradients).

    Yu et al. 2020 (arXiv 2001.06782, algorithm 1), on the shared parameters; it takes one backward pass a task.
    """

    kind: Literal["pcgrad"] = "pcgrad"

    def start(self, tasks: int) -> Balancer:
        """The order of projections is drawn from a generator that the checkpoint keeps."""
        return Projections()


class Projections(Weighing):
    """The generator of the orders in which tasks are met."""

    def __init__(self) -> None:
        import torch

        self.state = {"generator": torch.Generator().manual_seed(0).get_state()}

    def backward(self, losses: TaskLosses, shared_parameters: Sequence[Parameter], progress: float) -> Tensor:
        """Leave the sum of the projected gradients."""
        import torch

        values, gradients = losses.gradients(shared_parameters)
        generator = torch.Generator()
        generator.set_state(self.state["generator"])
        leave(without_conflicts(gradients, generator).sum(0), shared_parameters)
        self.state["generator"] = generator.get_state()
        return values


def without_conflicts(gradients: Tensor, generator: Generator) -> Tensor:
    """(tasks, numbers) gradients → the same, each minus its components against the others, in an order drawn.

    ``g_i ← g_i − min(0, g_i · g_j) / ‖g_j‖² · g_j`` for each other task's original g_j in turn.
    """
    import torch

    projected = gradients.clone()
    squares = (gradients**2).sum(1)
    for task in range(len(gradients)):
        for other in torch.randperm(len(gradients), generator=generator).tolist():
            if other != task and squares[other] > 0:
                against = (projected[task] @ gradients[other]).clamp(max=0)
                projected[task] -= against / squares[other] * gradients[other]
    return projected
