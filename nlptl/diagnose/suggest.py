"""Which rows to label next: those the head is unsure of, those that are unlike the rest, or both."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import Floats
from nlptl.contracts.diagnose import Diagnosis, View


class Suggest(Diagnosis):
    """The unlabelled rows whose labels would teach most."""

    kind: Literal["suggest"] = "suggest"
    n: int = Field(50, gt=0, description="Rows to label.")
    by: Literal["uncertainty", "diversity", "both"] = Field(
        "both", description="both: spread over the texts, those nearest to the head's border first."
    )
    seed: int = Field(0, ge=0, description="Of the clusters.")

    def measure(self, view: View) -> dict[str, Any]:
        """``rows``: places in the view, in the order in which to label them; ``margins``: how sure the head is; None
        without ``probabilities``, of which diversity alone has no need."""
        features, labels = view.need("features", "labels")
        free = np.flatnonzero(labels < 0)
        if view.probabilities is None and self.by == "diversity":
            rows = free[spread_out(features[free], np.ones(len(free)), n=self.n, seed=self.seed)]
            return {"rows": rows.tolist(), "margins": [None] * len(rows)}
        [answers] = view.need("probabilities")
        unsure = 1 - margin(answers[free])
        if self.by == "uncertainty":
            chosen = np.argsort(-unsure, kind="stable")[: self.n]
        else:
            weights = unsure if self.by == "both" else np.ones(len(free))
            chosen = spread_out(features[free], weights, n=self.n, seed=self.seed)
        return {"rows": free[chosen].tolist(), "margins": (1 - unsure[chosen]).tolist()}


def margin(probabilities: Floats) -> npt.NDArray[np.float64]:
    """(rows,) the largest probability less the second largest (Scheffer, Decomain & Wrobel 2001)."""
    ordered = np.sort(np.asarray(probabilities, np.float64), axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def spread_out(features: Floats, weights: Floats, *, n: int, seed: int) -> npt.NDArray[np.int64]:
    """At most ``n`` rows, one a cluster of weighted k-means, the one nearest its centre, heavy clusters first
    (Zhdanov 2019, "Diverse mini-batch Active Learning", arXiv 1901.05954).

    Args:
        features: (rows, width).
        weights: (rows,) above or at 0; rows without weight are drawn last.
    """
    from sklearn.cluster import KMeans

    features = np.asarray(features, np.float64)
    n = min(n, len(np.unique(features, axis=0)))
    if n == 0:
        return np.empty(0, dtype=np.int64)
    weights = np.maximum(np.asarray(weights, np.float64), 1e-6)
    found = KMeans(n, n_init=1, random_state=seed).fit(features, sample_weight=weights)
    apart = ((features - found.cluster_centers_[found.labels_]) ** 2).sum(axis=1)
    heavy = np.bincount(found.labels_, weights=weights, minlength=n)
    nearest = [np.flatnonzero(found.labels_ == cluster)[np.argmin(apart[found.labels_ == cluster])]
               for cluster in np.argsort(-heavy, kind="stable")]  # fmt: skip
    return np.array(nearest, dtype=np.int64)
