"""Conditional domain-adversarial training: features and answers together look alike on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from nlptl.adapt._features import domain_layers, domain_loss, entropy, reverse_gradient, unit_scale
from nlptl.contracts.adapt import Step, Term, View

if TYPE_CHECKING:
    from torch import Tensor, nn


class Cdan(Term):
    """Conditional domain-adversarial training (Long et al. 2018, arXiv 1705.10667).

    As ``dann``, but what the sides are told by is the product of features and class probabilities, so that classes are
    aligned with their like. With ``entropy``, rows that the model is sure of count more (CDAN+E). The probabilities are
    taken as given, as in the authors' code; the random projection for many classes is left out.
    """

    kind: Literal["cdan"] = "cdan"
    exclusive: ClassVar[bool] = True
    weight: float = Field(0.1, ge=0, description="What the reversed gradient is multiplied by (the paper's λ).")
    schedule: Literal["constant", "ramp"] = Field("ramp", description="ramp: λ rises from 0 as in dann's paper.")
    hidden: int = Field(64, gt=0, description="Units of the network that tells the sides apart.")
    entropy: bool = Field(True, description="Weigh rows by 1 + exp(−entropy) of their answer.")

    def factor(self, progress: float) -> float:
        """1: the weight is on the reversed gradient alone."""
        return 1.0

    def layers(self, width: int, labels: int) -> nn.Module:
        """One hidden layer with ReLU over the products of features and probabilities."""
        return domain_layers(width * labels, self.hidden)

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """The mean cross-entropy of telling the sides' products apart, in nats (equations 5 and 9)."""
        assert layers is not None
        strength, sides = self.strength(step.progress), (step.source, step.target)
        features = unit_scale(step.source.features, step.target.features, given=True)
        logits = [
            layers(multilinear(reverse_gradient(vectors, strength), side.probabilities.detach()))
            for vectors, side in zip(features, sides, strict=True)
        ]
        weights = (certainty(step.source), certainty(step.target)) if self.entropy else None
        return domain_loss(logits[0], logits[1], weights)


def multilinear(features: Tensor, probabilities: Tensor) -> Tensor:
    """(rows, d), (rows, c) → (rows, d·c): each row's outer product f ⊗ g, flattened (equation 4)."""
    return (features[:, :, None] * probabilities[:, None, :]).flatten(1)


def certainty(view: View) -> Tensor:
    """(rows,) 1 + exp(−H(g)) of each row's probabilities g, divided by their mean, taken as given (section 3.3)."""
    import torch

    weights = 1 + torch.exp(-entropy(view.probabilities.detach()))
    return weights / weights.mean()
