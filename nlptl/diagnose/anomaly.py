"""Which texts are unlike anything seen? Distances in the store, and energy on the head's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.heads._names import unit

Array = npt.NDArray[np.float64]


class Anomaly(Diagnosis):
    """Scores of the target's texts against the sources': Mahalanobis, nearest neighbours, energy, maximum softmax."""

    kind: Literal["anomaly"] = "anomaly"
    k: int = Field(10, gt=0, description="The neighbour whose distance counts.")

    def measure(self, view: View) -> dict[str, Any]:
        """By score, the target's rows' values: higher is stranger. Of ``energy`` and ``max_softmax`` only where labels
        of the sources are shown.
        """
        sources, target = view.sides()
        [seen], [asked] = sources.need("features"), target.need("features")
        if sources.labels is None or len(np.unique(sources.labels[sources.labels >= 0])) < 2:
            return {"knn": knn_distance(seen, asked, k=self.k).tolist()}
        known = sources.labelled()
        features, labels = known.need("features", "labels")
        logits = head_logits(features, labels, asked, known.groups)
        return {
            "knn": knn_distance(seen, asked, k=self.k).tolist(),
            "mahalanobis": mahalanobis(features, labels, asked).tolist(),
            "energy": energy(logits).tolist(),
            "max_softmax": max_softmax(logits).tolist(),
        }


def mahalanobis(features: Floats, labels: Ints, asked: Floats) -> Array:
    """(m,) squared distance to the nearest class mean (Lee et al. 2018, "A Simple Unified Framework for Detecting
    Out-of-Distribution Samples", eq. 2): min_c (x − μ_c)ᵀ Σ⁻¹ (x − μ_c).

    Σ is the covariance within classes, shrunk as Ledoit & Wolf (2004) do, so that few rows suffice.

    Args:
        features: (n, width) seen; ``labels`` (n,) of theirs.
        asked: (m, width).
    """
    return Gaussians.fit(features, labels).distances(asked)


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A mean for each class and a covariance that they share, in single precision, as a saved model keeps them.

    Attributes:
        means: (classes, width) μ.
        root: (width, width) lower Cholesky factor L of the precision, L Lᵀ = Σ⁻¹, so that distances are lengths of
            (x − μ)ᵀ L.
    """

    means: npt.NDArray[np.float32]
    root: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, features: Floats, labels: Ints) -> Gaussians:
        """Of (n, width) ``features`` with (n,) ``labels``."""
        from sklearn.covariance import ledoit_wolf

        features = np.asarray(features, np.float64)
        classes, places = np.unique(labels, return_inverse=True)
        means = np.stack([features[places == place].mean(axis=0) for place in range(len(classes))])
        covariance, _ = ledoit_wolf(features - means[places], assume_centered=True)
        ridge = 1e-9 * np.trace(covariance) or 1.0  # one row a class shows no spread: distances are plain ones
        root = np.linalg.cholesky(np.linalg.inv(covariance + ridge * np.eye(len(covariance))))
        return cls(means.astype(np.float32), root.astype(np.float32))

    def distances(self, asked: Floats) -> Array:
        """(m, width) → (m,) squared distances to the nearest mean."""
        root = self.root.astype(np.float64)
        white, centres = np.asarray(asked, np.float64) @ root, self.means.astype(np.float64) @ root
        squares = (white**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * white @ centres.T
        return np.asarray(np.maximum(squares, 0).min(axis=1))


def knn_distance(features: Floats, asked: Floats, *, k: int = 10) -> Array:
    """(m,) distance to the ``k``-th nearest seen vector, all of length 1 (Sun et al. 2022, "Out-of-Distribution
    Detection with Deep Nearest Neighbors", eq. 4). ``features`` is (n, width), ``asked`` (m, width).
    """
    seen, new = unit(features), unit(asked)
    k = min(k, len(seen))
    nearest = [np.partition(block @ seen.T, len(seen) - k, axis=1)[:, len(seen) - k] for block in _blocks(new)]
    return np.asarray(np.sqrt(np.maximum(2 - 2 * np.concatenate(nearest), 0)))


def energy(logits: Floats) -> Array:
    """(m,) −log Σ_y exp z_y of (m, labels) logits (Liu et al. 2020, "Energy-based Out-of-distribution Detection")."""
    from scipy.special import logsumexp

    return np.asarray(-logsumexp(np.asarray(logits, np.float64), axis=1))


def max_softmax(logits: Floats) -> Array:
    """(m,) 1 − the largest probability (Hendrycks & Gimpel 2017): the score that others must beat."""
    from scipy.special import softmax

    return np.asarray(1 - softmax(np.asarray(logits, np.float64), axis=1).max(axis=1))


def head_logits(features: Floats, labels: Ints, asked: Floats, groups: Ints | None = None) -> Array:
    """(m, labels) logits, one a label, of the head solved on ``features``."""
    from nlptl.diagnose.probe import as_task, parts
    from nlptl.heads._solved import solve_head

    task, classes = as_task(labels)
    return one_a_label(solve_head(task, {"": features}, classes, parts(classes, groups, 3, 0)).logits(asked))


def one_a_label(logits: Floats) -> Array:
    """(m, labels) logits of exclusive labels. A binary head's one logit z stands as −z/2 and z/2, the two that the same
    head over two labels would have: as 0 and z its energy would call every sure answer of the first label strange."""
    logits = np.asarray(logits, np.float64)
    return np.asarray(np.hstack([-logits / 2, logits / 2]) if logits.shape[1] == 1 else logits, np.float64)


def _blocks(rows: Array) -> list[Array]:
    return [rows[start : start + 1024] for start in range(0, len(rows), 1024)]
