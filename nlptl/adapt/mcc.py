"""Minimum class confusion: answers on the target that do not waver between the same classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from nlptl.adapt._features import class_logits, entropy
from nlptl.contracts.adapt import Step, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class Mcc(Term):
    """Minimum class confusion (Jin et al. 2020, arXiv 1912.03699).

    It reads the answers on the target alone and aligns nothing, so that it works with any head, and is indifferent to
    how features are spread; it pushes decisions away from where the target's texts are dense.
    """

    kind: Literal["mcc"] = "mcc"
    moves: ClassVar[Literal["features", "logits"]] = "logits"
    compares: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True
    weight: float = Field(1.0, ge=0, description="What the term is multiplied by.")
    temperature: float = Field(2.5, gt=0, description="Logits are divided by it: overconfident answers hide confusion.")

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """The confusion between classes, between 0 and 1 for two of them."""
        return mcc_loss(class_logits(step.target.logits), self.temperature)


def mcc_loss(logits: Tensor, temperature: float) -> Tensor:
    """(1 / c) Σ_j Σ_{k≠j} C̃_jk, with C = ŷᵀ W ŷ, C̃ its rows divided by their sums (equations 3 to 8).

    ŷ = softmax(logits / T) and W_ii = n (1 + exp(−H(ŷ_i))) / Σ_k (1 + exp(−H(ŷ_k))), the weights taken as given.

    Args:
        logits: (n, c) of the target's rows.
    """
    import torch

    answers = torch.softmax(logits / temperature, dim=1)
    weights = 1 + torch.exp(-entropy(answers.detach()))
    weights = weights / weights.mean()
    confusion = answers.T @ (answers * weights[:, None])
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / logits.shape[1]
