"""Are the target's texts others than the sources', beyond what other label shares would explain?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose._kernel import gaussian, mmd_squared, p_value, permuted
from nlptl.diagnose._source_head import SourceHead


class CovariateShift(Diagnosis):
    """Test of texts that differ where the sources' head says the same of them."""

    kind: Literal["covariate_shift"] = "covariate_shift"
    permutations: int = Field(999, gt=0, description="Shuffles behind the p value.")
    seed: int = Field(0, ge=0, description="Of folds and shuffles.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: squared discrepancy within equal answers; ``p``: that of label shares being all that differs."""
        return covariate_test(SourceHead.of(view, seed=self.seed), self.permutations, self.seed)


def covariate_test(head: SourceHead, permutations: int, seed: int) -> dict[str, Any]:
    """Maximum mean discrepancy with sides shuffled within strata of the head's answers.

    Under label shift p(x | y) stays, so that q(x) / p(x) = Σ_y p(y | x) q(y) / p(y): texts of which p(y | x) says the
    same are alike on both sides (the balancing score of Rosenbaum & Rubin 1983), which the shuffles imitate.
    """
    strata = head.strata()
    members = permuted(head.here, strata, draws=permutations, rng=np.random.default_rng((seed, 1)))
    found = mmd_squared(gaussian(head.features), members, strata)
    return {"score": float(found[0]), "p": p_value(found)}
