"""How often each label comes in a domain whose labels are unknown, and the head that expects as much.

Under label shift p(x | y) stays and only p(y) differs; the posterior of the target is that of the source, reweighted:

    q(y | x)  ∝  p(y | x) · q(y) / p(y).

The shares q(y) that make the unlabelled texts likeliest are found by EM (Saerens, Latinne & Decaestecker 2002,
"Adjusting the outputs of a classifier to new a priori probabilities", eq. 2.4–2.5) from calibrated p(y | x), without
which the correction fails (Alexandari, Kundaje & Shrikumar 2020, arXiv 1901.06852).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Task

if TYPE_CHECKING:
    from nlptl.heads._solved import LinearWeights

Shares = npt.NDArray[np.float64]


def em_shares(posteriors: Floats, taught: Shares, *, tolerance: float = 1e-8, max_iterations: int = 10_000) -> Shares:
    """(labels,) shares of the labels among the rows of ``posteriors``.

    Args:
        posteriors: (rows, labels) calibrated probabilities under the shares that were taught.
        taught: (labels,) those shares, each above 0.
    """
    shares = taught
    for _ in range(max_iterations):
        weighted = posteriors * (shares / taught)
        new = np.asarray((weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0))
        if np.abs(new - shares).max() < tolerance:
            return new
        shares = new
    return shares


def taught_shares(task: Task, encoded: npt.NDArray[Any]) -> Shares:
    """(labels,) shares of the labels among labelled rows, each label counted once more than it was seen."""
    counts = np.bincount(encoded, minlength=len(task.labels)) + 1.0
    return np.asarray(counts / counts.sum())


def moved(task: Task, head: LinearWeights, taught: Shares, shares: Shares, temperature: float) -> LinearWeights:
    """``head`` with the intercepts that turn ``taught`` shares into ``shares``.

    Args:
        temperature: what the head's logits must be divided by to be calibrated; the odds move on that scale.
    """
    return replace(head, bias=head.bias + odds(task, taught, shares, temperature))


def odds(task: Task, taught: Shares, shares: Shares, temperature: float) -> npt.NDArray[np.float64]:
    """(outputs,) what is added to logits so that ``taught`` shares become ``shares``; arguments as for ``moved``."""
    log_odds = temperature * np.log(shares.clip(1e-12) / taught)
    return np.asarray(log_odds[1:] - log_odds[0] if task.link == "sigmoid" else log_odds)
