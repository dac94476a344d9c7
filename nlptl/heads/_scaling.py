"""Vectors centred and of root-mean-square length one, so that one grid of prior strengths serves every encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """x ↦ (x − centre) / scale, with centre (width,) and one number for scale."""

    centre: Array
    scale: float

    @classmethod
    def of(cls, vectors: Floats) -> Scaling:
        """That of (rows, width) ``vectors``."""
        vectors = np.asarray(vectors, dtype=np.float64)
        centre = vectors.mean(axis=0)
        scale = float(np.sqrt(((vectors - centre) ** 2).sum(axis=1).mean()))
        return cls(centre, scale or 1.0)

    def __call__(self, vectors: Floats) -> Array:
        """(rows, width) vectors, scaled."""
        return np.asarray((np.asarray(vectors, dtype=np.float64) - self.centre) / self.scale)

    def raw(self, weights: Array, bias: Array) -> tuple[Array, Array]:
        """(…, width, outputs) weights and (…, outputs) biases for scaled vectors → those for raw ones."""
        weights = weights / self.scale
        return weights, bias - self.centre @ weights
