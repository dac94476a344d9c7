"""Are two sets of texts from one distribution? Maximum mean discrepancy with a permutation test."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose._kernel import gaussian, p_value, permuted
from nlptl.errors import DataError


class Mmd(Diagnosis):
    """Maximum mean discrepancy between sources and target, with the p value of a permutation test."""

    kind: Literal["mmd"] = "mmd"
    permutations: int = Field(999, gt=0, description="Shuffles behind the p value.")
    seed: int = Field(0, ge=0, description="Of the shuffles.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: the squared discrepancy, lower is nearer; ``p``: that of no difference."""
        sources, target = view.sides()
        squared, p = mmd(
            *sources.need("features"), *target.need("features"), permutations=self.permutations, seed=self.seed
        )
        return {"score": squared, "p": p}


def mmd(source: Floats, target: Floats, *, permutations: int = 999, seed: int = 0) -> tuple[float, float]:
    """(MMD², p) of (n, width) and (m, width) vectors, two or more a side: Gretton et al. 2012, "A Kernel Two-Sample
    Test", with a Gaussian kernel as wide as the median squared distance. The estimate is unbiased and may be below 0.

    Raises:
        DataError: a side has fewer than two rows.
    """
    if min(len(source), len(target)) < 2:
        raise DataError(
            f"the discrepancy compares pairs of rows within a side, and here are {len(source)} of the sources and "
            f"{len(target)} of the target; bring in more."
        )
    rows = np.concatenate([source, target])
    here = np.arange(len(rows)) >= len(source)
    alike = np.zeros(len(rows), dtype=np.int64)
    members = permuted(here, alike, draws=permutations, rng=np.random.default_rng(seed))
    found = unbiased(gaussian(rows), members)
    return float(found[0]), p_value(found)


def unbiased(kernel: Floats, members: Floats) -> Floats:
    """(draws,) MMD², eq. 3 of Gretton et al. 2012.

    Args:
        kernel: (rows, rows).
        members: (draws, rows) of 0 and 1: which rows are of the target.
    """
    others, apart = 1 - members, kernel - np.diag(np.diag(kernel))
    n, m = others.sum(axis=1), members.sum(axis=1)
    within = [np.einsum("br,br->b", side @ apart, side) / (k * (k - 1)) for side, k in ((others, n), (members, m))]
    return np.asarray(within[0] + within[1] - 2 * np.einsum("br,br->b", others @ kernel, members) / (n * m))
