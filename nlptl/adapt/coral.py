"""Correlation alignment: second moments of source and target features are brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.adapt._features import unit_scale
from nlptl.contracts.adapt import Step, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class Coral(Term):
    """Deep CORAL (Sun & Saenko 2016, arXiv 1607.01719): the distance of the features' covariances.

    Features are divided by one number, so that their pooled variance is 1 a dimension: one weight serves every encoder,
    and shrinking all vectors gains nothing. For shifts in what texts are about, where the answer follows the text.
    """

    kind: Literal["coral"] = "coral"
    weight: float = Field(0.3, ge=0, description="What the term is multiplied by.")

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """Equation 1 of the paper, without units."""
        return coral_loss(*unit_scale(step.source.features, step.target.features))


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """‖C_S − C_T‖²_F / (4 d²), with covariances C = (XᵀX − (1ᵀX)ᵀ(1ᵀX) / n) / (n − 1): equations 1 to 3.

    Args:
        source, target: (rows, d), two rows or more each; of unlike numbers of rows if need be.

    Returns:
        A scalar; 0 for fewer than two rows on a side.
    """
    if min(len(source), len(target)) < 2:
        return (source.sum() + target.sum()) * 0
    apart = _covariance(source) - _covariance(target)
    return (apart**2).sum() / (4 * source.shape[1] ** 2)


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(0)
    return centred.T @ centred / (len(features) - 1)
