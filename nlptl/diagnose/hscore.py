"""How far class means stand apart beside the features' spread (H-score, regularised)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View


class Hscore(Diagnosis):
    """Regularised H-score: spread between class means relative to the features' shrunken covariance."""

    kind: Literal["hscore"] = "hscore"

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: higher is better."""
        features, labels = view.labelled().need("features", "labels")
        return {"score": hscore(features, labels)}


def hscore(features: Floats, labels: Ints, *, shrinkage: float | None = None) -> float:
    """Shrinkage-based H-score (Ibrahim, Ponomareva & Mazumder 2022, "Newer is not always better", §3.2):

        H_α = (1 − α) · tr(Σ_α⁻¹ Σ_z),  Σ_α = (1 − α) Σ + α σ² I,  σ² = tr(Σ) / D

    with Σ the covariance of the features, Σ_z that of each row's class mean, and α by Ledoit & Wolf (2004).

    Args:
        features: (n, D).
        labels: (n,) class indices.
        shrinkage: α in [0, 1]; none: Ledoit & Wolf's. 0 is Bao et al.'s (2019) H-score where Σ can be inverted.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    centred = np.asarray(features, dtype=np.float64) - np.mean(features, axis=0)
    alpha = float(ledoit_wolf_shrinkage(centred, assume_centered=True)) if shrinkage is None else shrinkage
    n, width = centred.shape
    covariance = centred.T @ centred / n
    shrunk = (1 - alpha) * covariance + alpha * np.trace(covariance) / width * np.eye(width)
    classes, places = np.unique(labels, return_inverse=True)
    means = np.stack([centred[labels == label].mean(axis=0) for label in classes])
    shares = np.bincount(places) / n
    return float((1 - alpha) * np.sum(shares[:, None] * means * np.linalg.solve(shrunk, means.T).T))
