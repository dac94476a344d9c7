"""Domain-adversarial training: features from which a classifier cannot tell source from target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.adapt._features import domain_layers, domain_loss, reverse_gradient, unit_scale
from nlptl.contracts.adapt import Step, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class Dann(Term):
    """Domain-adversarial training (Ganin et al. 2016, arXiv 1505.07818).

    A small network learns to tell the sides' features apart; its gradient reaches them turned round and multiplied by
    ``weight``, which rises with progress; the network itself learns at its full gradient. It needs more steps than
    moment matching, and may align classes crosswise where their shares differ.
    """

    kind: Literal["dann"] = "dann"
    weight: float = Field(0.1, ge=0, description="What the reversed gradient is multiplied by (the paper's λ).")
    schedule: Literal["constant", "ramp"] = Field("ramp", description="ramp: λ rises from 0 as in the paper.")
    hidden: int = Field(64, gt=0, description="Units of the network that tells the sides apart.")

    def factor(self, progress: float) -> float:
        """1: the weight is on the reversed gradient alone."""
        return 1.0

    def layers(self, width: int, labels: int) -> nn.Module:
        """One hidden layer with ReLU over the features."""
        return domain_layers(width, self.hidden)

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """The mean cross-entropy of telling the sides apart, in nats: ln 2 where they cannot be (equation 9)."""
        assert layers is not None
        strength = self.strength(step.progress)
        source, target = unit_scale(step.source.features, step.target.features, given=True)
        return domain_loss(*(layers(reverse_gradient(side, strength)) for side in (source, target)))
