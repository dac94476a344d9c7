"""Batch norm whose statistics are those of the rows of all processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """``γ · (x − mean) / √(var + ε) + β`` over the rows of a batch (Ioffe & Szegedy 2015, arXiv 1502.03167, alg. 1).

    In training, mean and variance are those of the batch, whichever process has its rows, with their gradients; the
    running ones follow by ``momentum`` and answer outside of training. One row alone has no variance: the running
    statistics answer for it, in training too, and stay as they are.
    """

    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width) → (rows, width); a process may have no row at all."""
        if not self.training:
            return super().forward(x)
        x = x.float()
        rows = _over_processes(x.new_full((), len(x)))
        count = int(rows)
        if count < 2:
            return self._scaled(x, self.running_mean, self.running_var)
        mean = _over_processes(x.sum(0)) / count
        variance = _over_processes((x - mean).square().sum(0)) / count
        momentum = self.momentum or 0.0
        with torch.no_grad():
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        return self._scaled(x, mean, variance)

    def _scaled(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias


class _Sum(torch.autograd.Function):
    """The sum of every process's tensor; a process's gradient is the sum of what all have with regard to it."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        summed = tensor.clone()
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        torch.distributed.all_reduce(summed)
        return summed


def _over_processes(tensor: Tensor) -> Tensor:
    """The sum of every process's ``tensor``; differentiable."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return tensor
    summed: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return summed
