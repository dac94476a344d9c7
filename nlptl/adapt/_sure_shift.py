"""Whether label shares that were estimated without labels may be believed: the tests before anything is moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats
from nlptl.heads._label_shares import Shares

ALPHA = 0.05
"""A shift is taken for one where it would come by chance less often than that."""


def likelihood_ratio(posteriors: Floats, taught: Shares, shares: Shares) -> float:
    """p of the texts being as likely under ``taught`` shares: 2 Σ_i ln Σ_y p(y | x_i) q_y / p_y, χ² with one degree of
    freedom for each label but one (Wilks 1938).

    Args:
        posteriors: (rows, labels) calibrated probabilities under the ``taught`` shares.
    """
    from scipy.stats import chi2

    gain = 2 * np.log(posteriors @ (shares / taught)).sum()
    return float(chi2.sf(max(float(gain), 0.0), posteriors.shape[1] - 1))


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
