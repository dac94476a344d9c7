"""Is one system really better than another on the same rows? The exact McNemar test, and Holm's correction for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Mcnemar:
    """Rows that only one of two systems answers rightly, and the p value of that split."""

    only_a: int
    only_b: int
    p: float


def mcnemar(
    right_a: npt.NDArray[np.bool_], right_b: npt.NDArray[np.bool_], copies: npt.NDArray[Any] | None = None
) -> Mcnemar:
    """The exact McNemar test (McNemar 1947): under the null, each row that tells two systems apart is a fair coin.

    Args:
        right_a: (n,) rows that system A answers rightly; ``right_b`` those of B, on the same rows.
        copies: (n,) names, where a row was scored more than once (under several seeds) or its text met more than once.
            Each name then has one vote, for the system that was right more often on it, since repeats are not
            independent evidence.

    Returns:
        The votes for A alone, for B alone, and the two-sided p value; 1 where no row tells the two apart.
    """
    from scipy.stats import binomtest

    places = np.arange(len(right_a)) if copies is None else np.unique(copies, return_inverse=True)[1]
    votes = np.bincount(places, weights=right_a.astype(np.float64) - right_b)
    only_a, only_b = int((votes > 0).sum()), int((votes < 0).sum())
    p = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    return Mcnemar(only_a, only_b, float(p))


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Holm's adjusted p values (1979), in the order given: max over j ≤ i of min(1, (m − j + 1)·p_(j)), p sorted.

    Calling the adjusted values ≤ α significant keeps the chance of any false call at α, whatever the dependence. With
    ``weights`` (his §4) the p values are sorted by p / w, and (m − j + 1) is the weight that is left, over one's own.
    """
    p = np.asarray(p_values, dtype=np.float64)
    shares = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(p / shares, kind="stable")
    left = shares[order][::-1].cumsum()[::-1]
    stepped = np.maximum.accumulate(np.minimum(1.0, p[order] * left / shares[order]))
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    return [float(value) for value in adjusted]
