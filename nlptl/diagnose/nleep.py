"""LEEP without a source model's head: a Gaussian mixture over the features stands in for its answers (N-LEEP)."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose.leep import leep


class Nleep(Diagnosis):
    """Mean log-likelihood of the labels through clusters of the features."""

    kind: Literal["nleep"] = "nleep"
    clusters: int = Field(5, gt=0, description="Gaussians a class.")
    variance: float = Field(0.8, gt=0, lt=1, description="Share of the features' variance that is looked at.")
    seed: int = Field(0, ge=0, description="Of the mixture's start.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score`` in nats a row, at most 0: higher is better."""
        features, labels = view.labelled().need("features", "labels")
        return {
            "score": nleep(features, labels, clusters=self.clusters, variance=self.variance, seed=self.seed),
        }


def nleep(features: Floats, labels: Ints, *, clusters: int = 5, variance: float = 0.8, seed: int = 0) -> float:
    """N-LEEP (Li et al. 2021, "Ranking Neural Checkpoints", §3.2): LEEP with θ_z the responsibilities of a Gaussian
    mixture fitted to the features' leading principal components.

    Args:
        features: (n, width).
        labels: (n,) class indices.
        clusters: Gaussians a class (fewer where rows are few); ``variance`` what the components explain.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    reduced = PCA(n_components=variance, svd_solver="full").fit_transform(np.asarray(features, dtype=np.float64))
    wanted = min(clusters * len(np.unique(labels)), max(1, len(reduced) // 10))
    # Diagonal covariances, scaled by the overall spread: full ones have more numbers than small data has rows.
    reduced = reduced / (reduced.std() or 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(wanted, covariance_type="diag", reg_covar=1e-3, random_state=seed).fit(reduced)
    return leep(mixture.predict_proba(reduced), labels)
