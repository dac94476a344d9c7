"""How easily a classifier tells two domains apart (proxy A-distance)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View


class ProxyA(Diagnosis):
    """Proxy A-distance: 2 · (1 − 2 · error) of a solved head that tells target from sources."""

    kind: Literal["proxy_a"] = "proxy_a"
    folds: int = Field(5, ge=2, description="Parts that are held out in turn; near copies stay together.")
    seed: int = Field(0, ge=0, description="Of the parts.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: 0 where nothing tells them apart, 2 where everything does; ``error``: of the domain classifier."""
        features, domain, target = view.need("features", "domain", "target")
        view.sides()
        distance, error = proxy_a_distance(
            features, np.asarray(domain == target), groups=view.groups, folds=self.folds, seed=self.seed
        )
        return {"score": distance, "error": error}


def proxy_a_distance(
    features: Floats, here: Any, *, groups: Ints | None = None, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """(d_A, ε): Ben-David et al. 2007, "Analysis of Representations for Domain Adaptation", §4: d_A = 2 (1 − 2 ε).

    ε is the held-out error of a linear domain classifier, each side weighing one half; it is at most ½.

    Args:
        features: (rows, width).
        here: (rows,) bool: whose side each row is on.
        groups: (rows,) rows that share a number stay in one fold.
    """
    from nlptl.diagnose.probe import as_task, parts
    from nlptl.heads._solved import solve_head

    task, side = as_task(np.asarray(here, dtype=np.int64))
    solved = solve_head(task, {"": features}, side, parts(side, groups, folds, seed))
    # The intercept follows the larger side; cut where the two sides' shares of errors weigh the same.
    logit = solved.out_of_fold[:, 0] - np.log(side.mean() / (1 - side.mean()))
    wrong = (logit > 0) != side
    error = min(0.5, float((wrong[side == 0].mean() + wrong[side == 1].mean()) / 2))
    return 2 * (1 - 2 * error), error
