"""What balancers share: one backward pass under weights, a flat gradient put back, Adam on a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from nlptl.contracts import TaskLosses


class Weighing:
    """A balancer that weighs the losses and looks no further; ``state`` is what the checkpoint keeps."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}

    def weights(self, progress: float) -> Tensor:
        """(tasks,) weights of this step."""
        raise NotImplementedError

    def observe(self, values: Tensor, progress: float) -> None:
        """Learn from the step's (tasks,) losses, before the network's weights move."""

    def backward(self, losses: TaskLosses, shared_parameters: Sequence[Parameter], progress: float) -> Tensor:
        """Leave the gradient of the weighed sum; returns the (tasks,) losses."""
        values = losses.backward(self.weights(progress))
        self.observe(values.detach().cpu().double(), progress)
        return values

    def after_step(self, losses: TaskLosses) -> None:
        """Nothing to look at."""


def present(values: Tensor) -> Tensor:
    """(tasks,) losses → (tasks,) bool, which tasks are in the step: one that has no labelled row in it, or has stopped,
    has a loss of 0, from which nothing is to be learned about its rate."""
    return values > 0


def leave(gradient: Tensor, parameters: Sequence[Parameter]) -> None:
    """Put the flat ``gradient`` into the ``.grad`` of ``parameters``, in their order."""
    start = 0
    for parameter in parameters:
        part = gradient[start : start + parameter.numel()]
        parameter.grad = part.view_as(parameter).to(parameter.dtype).clone()
        start += parameter.numel()


def adam(value: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: float) -> Tensor:
    """``value`` after one step of Adam (Kingma & Ba 2015, algorithm 1, its default β and ε).

    ``state`` holds the moments and the number of steps, and is changed in place; empty at first.
    """
    import torch

    count = state.get("count", torch.zeros((), dtype=value.dtype)) + 1
    first = 0.9 * state.get("first", torch.zeros_like(value)) + 0.1 * gradient
    second = 0.999 * state.get("second", torch.zeros_like(value)) + 0.001 * gradient**2
    state |= {"count": count, "first": first, "second": second}
    return value - lr * (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-8)
