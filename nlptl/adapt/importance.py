"""Importance weighting: rows that teach count as much as the target's texts resemble them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.adapt import Adapt
from nlptl.heads.linear import Linear

FOLDS = 5


class Importance(Adapt):
    """Density-ratio weights on features, for covariate shift (Shimodaira 2000; the ratio as in Bickel et al. 2009).

    A regularised logistic regression tells source from target; a row's weight is the odds of being a target's, by the
    fold that did not see the row. It weighs the solved head's rows and the rows of the loss, in cross-validation too
    (Sugiyama et al. 2007). Where the sides hardly overlap few rows would carry all weight and the head would be fitted
    to them alone: weights are then flattened until enough rows are left, and the effective number is reported.
    """

    kind: Literal["importance"] = "importance"
    exponent: float = Field(
        0.5, ge=0, le=1, description="Of the ratio: 1 is unbiased, 0 weighs nothing, between them variance is saved."
    )
    effective: float = Field(
        0.5, ge=0, lt=1, description="The exponent falls until the effective rows are so large a share of all."
    )
    keep_shares: bool = Field(True, description="Rows of each label keep their share of all weight.")
    most: float = Field(10.0, gt=1, description="Weights are cut at so many times their mean.")

    def weights(self, source: Floats, target: Floats, groups: Ints, *, seed: int) -> Floats:
        """(source rows,) weights whose mean is 1.

        Args:
            source, target: (rows, width) vectors.
            groups: (source rows,) near-duplicate groups, which no fold divides.
            seed: of the folds.
        """
        ratios = density_ratio(source, target, groups, seed=seed)
        return spread_out(ratios, exponent=self.exponent, most=self.most, least=self.effective * len(source))


def spread_out(ratios: Floats, *, exponent: float, most: float, least: float) -> Floats:
    """(rows,) ratios, ``flattened`` by the largest exponent up to ``exponent``, in twentieths of it, that leaves at
    least so many effective rows."""
    for share in np.linspace(1, 0, 21):
        weights = flattened(ratios, exponent=exponent * share, most=most)
        if effective_rows(weights) >= least:
            break
    return weights


def density_ratio(source: Floats, target: Floats, groups: Ints, *, seed: int) -> Floats:
    """(source rows,) estimates of p_T(x) / p_S(x) = (n_S / n_T) · P(target | x) / P(source | x), out of fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    from nlptl.heads._solved import solve_head

    task = Task("domain", Linear(), ("source", "target"))
    sides = np.repeat([0, 1], [len(source), len(target)])
    apart = np.r_[groups, groups.max(initial=0) + 1 + np.arange(len(target))]
    parts = max(2, min(FOLDS, len(source), len(target)))
    folds = list(StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(sides, sides, apart))
    head = solve_head(task, {"last": np.concatenate([source, target])}, sides, folds)
    log_odds = head.out_of_fold[: len(source), 0] - np.log(len(target) / len(source))
    return np.asarray(np.exp(np.clip(log_odds, -30, 30)))


def with_shares_kept(weights: Floats, labels: Ints) -> Floats:
    """(rows,) weights whose mean is 1 over the rows of each label: what resembles the target shall not move how often
    labels are expected, which weights tell badly."""
    kept = weights.astype(np.float64)
    for label in np.unique(labels):
        kept[labels == label] /= kept[labels == label].mean()
    return kept


def flattened(ratios: Floats, *, exponent: float, most: float) -> Floats:
    """(rows,) ratios → ratio^exponent, cut at ``most`` times their mean, with mean 1."""
    weights = ratios**exponent
    weights = np.minimum(weights / weights.mean(), most)
    return np.asarray(weights / weights.mean())


def effective_rows(weights: Floats) -> float:
    """(Σ w)² / Σ w²: how many rows of equal weight have as small a variance (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())
