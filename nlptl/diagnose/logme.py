"""How well a linear model over the features could explain the labels, by evidence (LogME)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View


class Logme(Diagnosis):
    """Logarithm of the maximum evidence that linear regression on the features gives the labels."""

    kind: Literal["logme"] = "logme"

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: higher is better."""
        features, labels = view.labelled().need("features", "labels")
        return {"score": logme(features, labels)}


def logme(features: Floats, labels: Ints, *, tolerance: float = 1e-6, max_iterations: int = 100) -> float:
    """LogME (You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", eq. 2).

    For each class k with one-hot y and prior w ~ N(0, I/α), noise N(0, 1/β), A = αI + βFᵀF and m = βA⁻¹Fᵀy:

        L(α, β) = n/2 log β + D/2 log α − n/2 log 2π − β/2 ‖Fm − y‖² − α/2 mᵀm − ½ log|A|

    maximised over α and β by MacKay's fixed point; the mean over classes of max L / n, in nats a row.

    Args:
        features: (n, D). As in the paper there is no intercept, and features are not centred.
        labels: (n,) class indices.
    """
    features = np.asarray(features, dtype=np.float64)
    n, width = features.shape
    left, sizes, _ = np.linalg.svd(features, full_matrices=False)
    squares = sizes**2
    return float(
        np.mean([
            _evidence(left, squares, np.asarray(labels == label, dtype=np.float64), n, width, tolerance, max_iterations)
            for label in np.unique(labels)
        ])
    )  # fmt: skip


def _evidence(
    left: Floats, squares: Floats, target: Floats, n: int, width: int, tolerance: float, max_iterations: int
) -> float:
    """max L / n for one column, in the basis of the features' singular vectors."""
    inside = (left.T @ target) ** 2
    outside = float(target @ target - inside.sum())
    alpha = beta = 1.0
    for _ in range(max_iterations):
        ratio = alpha / beta
        shrunk = squares / (squares + ratio)
        m2 = float((squares * inside / (squares + ratio) ** 2).sum())
        residual = float(((1 - shrunk) ** 2 * inside).sum() + outside)
        gamma = float(shrunk.sum())
        alpha = gamma / (m2 + 1e-12)
        beta = (n - gamma) / (residual + 1e-12)
        if abs(alpha / beta - ratio) <= tolerance * ratio:
            break
    ratio = alpha / beta
    shrunk = squares / (squares + ratio)
    m2 = float((squares * inside / (squares + ratio) ** 2).sum())
    residual = float(((1 - shrunk) ** 2 * inside).sum() + outside)
    log_det = float(np.log(alpha + beta * squares).sum()) + (width - len(squares)) * np.log(alpha)
    total = n * np.log(beta) + width * np.log(alpha) - n * np.log(2 * np.pi) - beta * residual - alpha * m2 - log_det
    return float(total) / (2 * n)
