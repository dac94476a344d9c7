"""Whether label shares that were estimated without labels may be believed: the tests before anything is moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.heads._label_shares import Shares

ALPHA = 0.05
"""A shift is taken for one where it would come by chance less often than that."""
TOLERATED = 0.2
"""Scores are taken for a mixture of the source's where so different ones come by chance at least as often."""


def likelihood_ratio(posteriors: Floats, taught: Shares, shares: Shares) -> float:
    """p of the texts being as likely under ``taught`` shares: 2 Σ_i ln Σ_y p(y | x_i) q_y / p_y, χ² with one degree of
    freedom for each label but one (Wilks 1938).

    Args:
        posteriors: (rows, labels) calibrated probabilities under the ``taught`` shares.
    """
    from scipy.stats import chi2

    gain = 2 * np.log(posteriors @ (shares / taught)).sum()
    return float(chi2.sf(max(float(gain), 0.0), posteriors.shape[1] - 1))


def mixture_fits(source: Floats, labels: Ints, target: Floats, taught: Shares, shares: Shares) -> float:
    """p of the target's scores being the source's, reweighted to ``shares``: Kolmogorov–Smirnov, the smallest over
    outputs times their number.

    Under label shift alone p(score | y) is the same on both sides. The asymptotic p takes the source's rows for as many
    as are effective (Kish 1965).

    Args:
        source, target: (rows, outputs) logits; ``labels`` of the source's rows.
    """
    from scipy.stats import kstwobign

    weights = (shares / taught)[labels]
    rows = weights.sum() ** 2 / (weights**2).sum()
    size = np.sqrt(rows * len(target) / (rows + len(target)))
    found = [kstwobign.sf(size * distance(s, weights, t)) for s, t in zip(source.T, target.T, strict=True)]
    return float(min(1.0, min(found) * len(found)))


def distance(source: Floats, weights: Floats, target: Floats) -> float:
    """The largest distance of the distribution functions of (rows,) ``source``, weighed, and (rows,) ``target``."""
    points = np.concatenate([source, target])
    order = np.argsort(source, kind="stable")
    steps = np.concatenate([[0.0], np.cumsum(weights[order]) / weights.sum()])
    ours = steps[np.searchsorted(source[order], points, side="right")]
    theirs = np.searchsorted(np.sort(target), points, side="right") / len(target)
    return float(np.abs(ours - theirs).max())


def beyond_error(found: Shares, taught: Shares, errors: npt.NDArray[np.float64]) -> bool:
    """Whether some label's share is further from the taught one than estimates are from the truth elsewhere.

    Args:
        errors: (domains, labels) estimated less true shares of domains whose labels are known; their mean square, on
            as many degrees of freedom, is the variance of Student's t. Two labels are one question, more are as many.
    """
    from scipy.stats import t

    questions = 1 if len(found) == 2 else len(found)
    spread = np.sqrt((errors**2).mean(axis=0)).clip(1e-9)
    return bool((np.abs(found - taught) / spread).max() > t.isf(ALPHA / 2 / questions, len(errors)))
