"""Dropout whose mask is drawn sixteen bits a number: on processors, drawing it was most of what dropout took."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS = 2**16
"""Values that sixteen bits have; a rate is rounded to such a fraction, and what is kept is scaled by that."""


class Dropout(nn.Dropout):
    """``nn.Dropout`` with another stream of random numbers on processors, from torch's global generator too."""

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with each number zeroed at rate p, and the others divided by 1 − p."""
        if not (self.training and self.p and input.device.type == "cpu"):
            return super().forward(input)
        return drop(input, self.p)


def drop(input: Tensor, p: float) -> Tensor:
    """``input``, on a processor, with each number zeroed at rate ``p``, and the others divided by 1 − p."""
    dropped = round(p * STEPS)
    if dropped == STEPS:
        return input * 0.0
    words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: input.numel()].view(input.shape)
    kept = torch.ge(bits, dropped - STEPS // 2, out=torch.empty_like(input, requires_grad=False))
    return input * kept.mul_(STEPS / (STEPS - dropped))


def put_in(body: nn.Module) -> None:
    """Make every dropout of ``body`` one of these."""
    for module in list(body.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
