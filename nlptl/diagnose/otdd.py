"""What it would take to carry one labelled data set over to another (OTDD)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.errors import DataError


class Otdd(Diagnosis):
    """Optimal-transport dataset distance between sources and target, labels included."""

    kind: Literal["otdd"] = "otdd"
    rows: int = Field(500, gt=1, description="At most so many rows a side, drawn by seed: the plan grows with both.")
    seed: int = Field(0, ge=0, description="Of the draw.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: lower is nearer; or ``skipped``, where the optional library is not installed."""
        try:
            import ot  # noqa: F401
        except ImportError:
            return {"skipped": "it needs the library POT; install it with: pip install 'nlptl[ot]'"}
        sources, target = (self._some(side.labelled()) for side in view.sides())
        return {"score": otdd(*sources.need("features", "labels"), *target.need("features", "labels"))}

    def _some(self, side: View) -> View:
        (labels,) = side.need("labels")
        drawn = np.random.default_rng(self.seed).permutation(len(labels))[: self.rows]
        return side.take(np.sort(drawn))


def otdd(features: Floats, labels: Ints, other_features: Floats, other_labels: Ints) -> float:
    """Alvarez-Melis & Fusi 2020, "Geometric Dataset Distances via Optimal Transport", eq. 4 with p = 2:

        OTDD² = min_π Σ_ij π_ij ( ‖x_i − x'_j‖² + W₂²(α_{y_i}, α_{y'_j}) )

    with α_y the Gaussian of the class's rows (their §4.2), here with diagonal covariances, for which
    W₂² = ‖m − m'‖² + ‖s − s'‖² (s: standard deviations), and the plan π exact, through POT.

    Args:
        features, other_features: (n, width) and (m, width) of one space.
        labels, other_labels: (n,) and (m,) class indices; the two label sets need not agree.

    Raises:
        DataError: a side has no rows.
    """
    import ot

    if not len(features) or not len(other_features):
        raise DataError("otdd compares two sets of rows, and one is empty.")
    ours, theirs = _gaussians(features, labels), _gaussians(other_features, other_labels)
    between = ot.dist(ours, theirs)
    _, places = np.unique(labels, return_inverse=True)
    _, other_places = np.unique(other_labels, return_inverse=True)
    ground = ot.dist(np.asarray(features, np.float64), np.asarray(other_features, np.float64))
    cost = ground + between[places][:, other_places]
    shares, other_shares = (np.full(n, 1 / n) for n in cost.shape)
    return float(np.sqrt(max(0.0, float(ot.emd2(shares, other_shares, cost)))))


def _gaussians(features: Floats, labels: Ints) -> Floats:
    """(classes, 2 width): each class's mean and standard deviations, between which W₂ is the plain distance."""
    features = np.asarray(features, dtype=np.float64)
    classes = [features[labels == label] for label in np.unique(labels)]
    return np.stack([np.concatenate([rows.mean(axis=0), rows.std(axis=0)]) for rows in classes])
