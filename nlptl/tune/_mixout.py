"""Mixout: while pretrained weights learn, some are for a step what they were at the start."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def mixout(weights: Tensor, start: Tensor, share: float) -> Tensor:
    """Weights with a random ``share`` of them at their start, scaled so that the mean over draws is ``weights``.

    ``(M ⊙ w + (1 − M) ⊙ w₀ − p · w₀) / (1 − p)`` with M = 1 at a chance of 1 − p for each weight apart (Lee, Cho & Kang
    2020, arXiv 1909.11299, eq. 5). With w₀ = 0 it is dropout of weights; p is ``share`` in [0, 1). M is drawn from
    torch's global generator.

    Args:
        weights, start: of one shape.
    """
    back = torch.rand_like(start) < share
    return (torch.where(back, start, weights) - share * start) / (1 - share)


class MixoutLinear(nn.Linear):
    """A linear map under mixout in training, the plain one else; it shares the parameters of ``plain``."""

    def __init__(self, plain: nn.Linear, share: float) -> None:
        super().__init__(plain.in_features, plain.out_features, plain.bias is not None, device="meta")
        self.weight, self.bias = plain.weight, plain.bias
        self.plain, self.share = (plain,), share  # in a tuple, so that it is no module of its own
        # No buffer: it is not saved, and several processes would send it round at every step.
        self.start = plain.weight.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        weight = mixout(self.weight, self.start, self.share) if self.training else self.weight
        return nn.functional.linear(x, weight, self.bias)


@contextmanager
def mixing_out(body: nn.Module, learning: Collection[str], share: float) -> Iterator[None]:
    """While it lasts, the matrices of ``body`` whose weights are ``learning``, by parameter name, are under mixout;
    their start is what they are as it begins. Names of parameters stay what they are."""
    found = {
        path: module
        for path, module in body.named_modules()
        if share > 0 and type(module) is nn.Linear and f"{path}.weight" in learning
    }
    for path, module in found.items():
        _put(body, path, MixoutLinear(module, share).train(module.training))
    try:
        yield
    finally:
        for path in found:
            mixed = body.get_submodule(path)
            assert isinstance(mixed, MixoutLinear)
            [plain] = mixed.plain
            # What moved the body to another device may have given it new parameters.
            plain.weight, plain.bias = mixed.weight, mixed.bias
            _put(body, path, plain.train(mixed.training))


def _put(body: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(body.get_submodule(parent), name, module)
