"""Do near texts have equal labels? Leave-one-out accuracy of nearest neighbours."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View


class Knn(Diagnosis):
    """Leave-one-out accuracy of the nearest neighbours by cosine."""

    kind: Literal["knn"] = "knn"
    k: int = Field(5, gt=0, description="Neighbours that vote.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: share of rows that their neighbours answer rightly. Near copies (``groups``) do not vote."""
        known = view.labelled()
        features, labels = known.need("features", "labels")
        return {"score": knn_accuracy(features, labels, k=self.k, groups=known.groups)}


def knn_accuracy(features: Floats, labels: Ints, *, k: int = 5, groups: Ints | None = None) -> float:
    """Share of rows whose label their ``k`` nearest other rows vote for; of tied labels the nearest one's wins. A row
    without a neighbour of another group is answered wrongly.

    (Puigcerver et al. 2021, "Scalable Transfer Learning with Expert Models", use it with k = 1 to choose experts.)

    Args:
        features: (n, width); centred, then compared by cosine.
        labels: (n,) class indices.
        groups: (n,) rows that share a number do not vote for one another; none: each is its own.
    """
    features = np.asarray(features, dtype=np.float64) - np.mean(features, axis=0)
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    _, labels = np.unique(labels, return_inverse=True)
    numbers = np.arange(len(labels)) if groups is None else groups
    k = min(k, len(labels) - 1)
    right = 0
    for start in range(0, len(labels), 1024):
        rows = slice(start, start + 1024)
        cosines = features[rows] @ features.T
        cosines[numbers[rows, None] == numbers[None, :]] = -np.inf
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        heard = np.isfinite(np.take_along_axis(cosines, nearest, axis=1))  # the others are of the same group
        votes = np.zeros((len(nearest), labels.max() + 1))
        for place in range(k):  # a nearer vote weighs a little more, which breaks ties and nothing else
            votes[np.arange(len(nearest)), labels[nearest[:, place]]] += heard[:, place] * (1 + (k - place) * 1e-6)
        right += int(((votes.argmax(axis=1) == labels[rows]) & heard.any(axis=1)).sum())
    return right / len(labels)
