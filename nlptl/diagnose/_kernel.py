"""Kernels and permutations that the tests of shift share, as functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.errors import DataError

Array = npt.NDArray[np.float64]


def gaussian(features: Floats, *, share: float = 1.0) -> Array:
    """(rows, rows) exp(−‖x − y‖² / h), with h ``share`` times the median squared distance of two rows."""
    features = np.asarray(features, dtype=np.float64)
    features = features - features.mean(axis=0)
    squares = (features**2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None] - 2 * features @ features.T, 0)
    width = float(np.median(apart[np.triu_indices(len(apart), 1)])) if len(apart) > 1 else 1.0
    return np.asarray(np.exp(-apart / (share * width or 1.0)))


def permuted(here: npt.NDArray[np.bool_], strata: Ints, *, draws: int, rng: np.random.Generator) -> Array:
    """(1 + draws, rows) of 0 and 1: ``here`` as it is, then shuffled within each of the ``strata``."""
    shuffled = np.empty((draws + 1, len(here)))
    shuffled[0] = here
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        shuffled[1:, rows] = here[rows][rng.random((draws, len(rows))).argsort(axis=1)]
    return shuffled


def mmd_squared(kernel: Array, members: Array, strata: Ints) -> Array:
    """(draws,) squared maximum mean discrepancy without its diagonal, both sides weighing the same in each stratum.

    After Gretton et al. 2012, "A Kernel Two-Sample Test", with weights: ‖Σ_i a_i φ(x_i) − Σ_j b_j φ(x_j)‖² less the
    terms of a row with itself, Σ a = Σ b = 1. For tests among draws of the same rows: without strata it is lower than
    their eq. 3 by what 1/m² in place of 1/(m (m − 1)) makes.

    Args:
        kernel: (rows, rows).
        members: (draws, rows) of 0 and 1: which rows are of the target.
        strata: (rows,) numbers; a stratum that one side lacks is left out.
    """
    weights = np.zeros_like(members)
    for stratum in np.unique(strata):
        rows = strata == stratum
        inside, outside = members[0, rows].sum(), (1 - members[0, rows]).sum()
        if inside and outside:
            shared = min(inside, outside)
            weights[:, rows] = members[:, rows] * shared / inside - (1 - members[:, rows]) * shared / outside
    total = weights[0][weights[0] > 0].sum()
    weights = weights / total if total else weights
    return np.asarray(np.einsum("br,br->b", weights @ kernel, weights) - weights**2 @ np.diag(kernel))


def p_value(statistics: npt.NDArray[Any]) -> float:
    """Share of draws at least as large as the first statistic, that one included (Phipson & Smyth 2010).

    Raises:
        DataError: one of them is not a number, and would count as small.
    """
    if np.isnan(statistics).any():
        raise DataError("a test's statistic is not a number: a side has too few rows, or some vectors are not finite.")
    return float((statistics >= statistics[0] - 1e-12 * abs(statistics[0])).mean())
