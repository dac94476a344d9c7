"""LoRA beside a linear map as one step of autograd: PEFT's sums, in fewer passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _LowRank(torch.autograd.Function):
    """``x Wᵀ + b + s · (x Aᵀ) Bᵀ`` (LoRA: Hu et al. 2021, arXiv 2106.09685, eq. 3), W and b frozen.

    (tokens, inputs), (outputs, inputs), (outputs,), (rank, inputs), (outputs, rank), s → (tokens, outputs). A and B are
    cast to the type of x, as under autocast and in a bank; their gradients are of their own type.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.scale, ctx.dtype = scale, a.dtype
        a, b = a.to(x.dtype), b.to(x.dtype)
        low = x @ a.T
        ctx.save_for_backward(x, weight, a, b, low)
        return nn.functional.linear(x, weight, bias).addmm_(low, b.T, alpha=scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, a, b, low = ctx.saved_tensors
        [gradient] = gradients
        through = (gradient @ b).mul_(ctx.scale)
        of_x = (gradient @ weight).addmm_(through, a) if ctx.needs_input_grad[0] else None
        of_a, of_b = through.T @ x, (gradient.T @ low).mul_(ctx.scale)
        return of_x, None, None, of_a.to(ctx.dtype), of_b.to(ctx.dtype), None


class FusedLinear(Linear):  # type: ignore[misc]  # peft has no types
    """PEFT's layer; where a plain adapter learns beside frozen weights, in one step."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        if args or kwargs or not self._learns_plainly(x):
            found: Tensor = super().forward(x, *args, **kwargs)
            return found
        base, [name] = self.base_layer, self.active_adapters
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        flat: Tensor = _LowRank.apply(  # type: ignore[no-untyped-call]
            x.flatten(0, -2), base.weight, base.bias, a, b, self.scaling[name]
        )
        return flat.view(*x.shape[:-1], -1)

    def _learns_plainly(self, x: Tensor) -> bool:
        """Whether this is one LoRA without dropout, bias or variant, and gradients are asked for."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1 or not torch.is_grad_enabled():
            return False
        base, [name] = self.base_layer, self.active_adapters
        if type(base) is not nn.Linear or name not in self.lora_A or name in self.lora_variant or self.lora_bias[name]:
            return False
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        if base.weight.requires_grad or not (a.requires_grad and b.requires_grad):
            return False
        if x.dtype != base.weight.dtype or torch.is_autocast_enabled(x.device.type):
            return False
        if a.dtype != b.dtype or a.dtype not in (x.dtype, torch.float32):
            return False
        return isinstance(self.lora_dropout[name], nn.Identity)
