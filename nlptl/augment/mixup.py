"""Mixup of sentence vectors and of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts import Floats
from nlptl.contracts.augment import Mixing

if TYPE_CHECKING:
    import numpy as np


class Mixup(Mixing):
    """Mixup (Zhang et al. 2018, arXiv 1710.09412) of sentence vectors (Guo et al. 2019, arXiv 1905.08941, senMixup).

    ``x̃ = λ x_i + (1 − λ) x_j``, with the loss ``λ L(x̃, y_i) + (1 − λ) L(x̃, y_j)``, for a cross-entropy that of the
    mixed labels. λ ~ Beta(α, α), drawn for each row; j is drawn from the rows of the whole batch, as a permutation.
    """

    kind: Literal["mixup"] = "mixup"
    alpha: float = Field(
        0.2, gt=0, description="α of Beta(α, α): the smaller, the more a row stays itself or becomes the other."
    )

    def shares(self, rows: int, rng: np.random.Generator) -> Floats:
        """(rows,) λ of each."""
        return rng.beta(self.alpha, self.alpha, rows)
