"""Weights from how fast each loss has been falling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.balance._weighing import Weighing, present
from nlptl.contracts import Balance

if TYPE_CHECKING:
    from torch import Tensor

    from nlptl.contracts import Balancer


class Dwa(Balance):
    """Dynamic weight average: a task whose loss falls more slowly than the others' counts more.

    Liu, Johns & Davison 2019 (arXiv 1803.10704, eq. 7): ``w_t = T · softmax_t(r_t / temperature)`` with the rate
    ``r_t = loss_t(k − 1) / loss_t(k − 2)`` of mean losses over the last two spans; 1 before there are two. The paper's
    spans are epochs; here they are ``spans`` equal parts of the run, so that one long epoch is weighed too.
    """

    kind: Literal["dwa"] = "dwa"
    temperature: float = Field(2.0, gt=0, description="The higher, the more equal the weights.")
    spans: int = Field(10, ge=3, description="Parts of the run over which losses are averaged.")

    def start(self, tasks: int) -> Balancer:
        """Weights of 1 until two spans have passed."""
        return Rates(self, tasks)


class Rates(Weighing):
    """Sums of losses, and of how many, by span of the run."""

    def __init__(self, settings: Dwa, tasks: int) -> None:
        import torch

        self.settings = settings
        sums = torch.zeros(settings.spans, tasks, dtype=torch.float64)
        self.state = {"sums": sums, "counts": torch.zeros_like(sums)}

    def weights(self, progress: float) -> Tensor:
        """By the last two spans that are over."""
        import torch

        sums, counts = self.state["sums"], self.state["counts"]
        past = [place for place in range(self._span(progress)) if counts[place].any()]
        if len(past) < 2:
            return torch.ones(sums.shape[1])
        last, before = (sums[place] / counts[place] for place in (past[-1], past[-2]))  # NaN for one without a row
        return rate_weights(last, before, self.settings.temperature)

    def observe(self, values: Tensor, progress: float) -> None:
        """Add the step to its span."""
        self.state["sums"][self._span(progress)] += values
        self.state["counts"][self._span(progress)] += present(values)

    def _span(self, progress: float) -> int:
        return min(int(progress * self.settings.spans), self.settings.spans - 1)


def rate_weights(last: Tensor, before: Tensor, temperature: float) -> Tensor:
    """(tasks,) mean losses of the last span and of the one before it → (tasks,) weights that sum to their number; the
    rate of a task whose mean is unknown (NaN) is 1."""
    rates = (last / before.clamp(min=1e-12)).nan_to_num(nan=1.0)
    return len(rates) * (rates / temperature).softmax(0)
