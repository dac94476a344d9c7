"""What methods on features and answers share, as functions of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def unit_scale(source: Tensor, target: Tensor, *, given: bool = False) -> tuple[Tensor, Tensor]:
    """Both less their common mean, divided by the root of the mean of their variances over dimensions and sides.

    (rows, d) each; one number divides all, so that nothing but the common place and size of the vectors is lost.

    Args:
        given: take the mean and the divisor as given: gradients do not pass through them.
    """
    centre = (source.mean(0) + target.mean(0)) / 2
    scale = ((source.var(0, correction=0) + target.var(0, correction=0)).mean() / 2 + 1e-12) ** 0.5
    if given:
        centre, scale = centre.detach(), scale.detach()
    return (source - centre) / scale, (target - centre) / scale


def class_logits(logits: Tensor) -> Tensor:
    """(rows, outputs) logits → (rows, labels), whose softmax are the probabilities: of a lone logit z, (0, z)."""
    import torch

    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def entropy(probabilities: Tensor) -> Tensor:
    """(…, labels) → (…,) −Σ p ln p, in nats."""
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1)


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The same tensor, whose gradient is multiplied by −``strength`` (Ganin et al. 2016, equations 14 and 15)."""
    reversed_: Tensor = _reversal().apply(features, strength)
    return reversed_


def _reversal() -> Any:
    """The autograd function, made where torch may be imported."""
    import torch

    class Reversal(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
            ctx.strength = strength
            return features.view_as(features)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
            return -ctx.strength * gradients[0], None

    return Reversal


def domain_layers(width: int, hidden: int) -> nn.Module:
    """Who tells source from target: (rows, ``width``) → (rows, 1) logits of being a target's row."""
    from torch import nn

    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def domain_loss(source: Tensor, target: Tensor, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Mean cross-entropy, in nats, of telling the sides apart, each side counting for half.

    Args:
        source, target: (rows,) or (rows, 1) logits of being a target's row.
        weights: (rows,) of each side, whose mean is 1.
    """
    from torch.nn.functional import softplus

    losses = softplus(source.flatten()), softplus(-target.flatten())
    if weights is not None:
        losses = losses[0] * weights[0], losses[1] * weights[1]
    return (losses[0].mean() + losses[1].mean()) / 2
