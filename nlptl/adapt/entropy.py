"""Information maximisation: answers on the target that are sure one by one and varied together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from nlptl.adapt._features import entropy
from nlptl.contracts.adapt import Step, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class Entropy(Term):
    """Information maximisation (Krause et al. 2010; as in SHOT, Liang et al. 2020, arXiv 2002.08546, equation 4).

    The entropy of each answer falls while that of their mean is kept up, so that no class takes all. The mean's entropy
    pulls towards equal shares of the labels: lower ``diversity`` where the target's labels are known to be uneven.
    """

    kind: Literal["entropy"] = "entropy"
    moves: ClassVar[Literal["features", "logits"]] = "logits"
    compares: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True
    weight: float = Field(0.3, ge=0, description="What the term is multiplied by.")
    schedule: Literal["constant", "ramp"] = Field("ramp", description="ramp: the weight rises from 0 with progress.")
    diversity: float = Field(1.0, ge=0, description="Weight of the entropy of the mean answer.")

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """In nats: between −diversity · ln c and ln c for c labels."""
        return information_loss(step.target.probabilities, self.diversity)


def information_loss(probabilities: Tensor, diversity: float) -> Tensor:
    """mean_i H(p_i) − diversity · H(mean_i p_i), of (rows, labels) probabilities; −I(x; y) where ``diversity`` is 1."""
    return entropy(probabilities).mean() - diversity * entropy(probabilities.mean(0))
