"""Whether probabilities mean what they say: expected calibration error and the bins behind it.

Guo et al. 2017, "On calibration of modern neural networks" (arXiv 1706.04599), eq. 3: with rows sorted by confidence
into bins B_m = ((m−1)/M, m/M] of equal width,

    ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)|.

Confidence is the probability of the answer, and a row is right when its answer is; of a multilabel task every label of
every row counts, with its own probability. Classwise (Kull et al. 2019, arXiv 1910.12656): each label's probability
against how often the label is there, the mean over labels. Shapes are those of ``_scores``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.evaluate._scores import has, ratio

if TYPE_CHECKING:
    from nlptl.contracts import Floats

BINS = 15


def ece(probabilities: Floats, labels: npt.NDArray[Any], weights: Floats) -> Floats:
    """(resamples,) expected calibration error of the answers' probabilities."""
    confidence, right = confidences(probabilities, labels)
    return _gap(confidence, right, np.repeat(weights, len(right) // len(labels), axis=1))


def classwise_ece(probabilities: Floats, labels: npt.NDArray[Any], weights: Floats) -> Floats:
    """(resamples,) the mean over labels of the calibration error of each label's probability."""
    columns = range(probabilities.shape[1])
    return np.asarray(np.mean([_gap(probabilities[:, c], has(labels, c), weights) for c in columns], axis=0))


def confidences(probabilities: Floats, labels: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(n,) confidence in each answer and whether it is right; of a multilabel task (n · labels,), row by row."""
    if labels.ndim == 2:
        return probabilities.ravel(), labels.ravel() == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def reliability(probabilities: Floats, labels: npt.NDArray[Any]) -> list[dict[str, float]]:
    """The bins that hold rows, by rising confidence: mean ``confidence``, share ``right``, and ``n``."""
    confidence, right = confidences(probabilities, labels)
    place = _bins(confidence)
    return [
        {
            "confidence": float(confidence[place == each].mean()),
            "right": float(right[place == each].mean()),
            "n": int((place == each).sum()),
        }
        for each in np.unique(place)
    ]


def _bins(confidence: Floats) -> npt.NDArray[np.int64]:
    return np.asarray(np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1), dtype=np.int64)


def _gap(confidence: Floats, right: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    inside = np.eye(BINS)[_bins(confidence)]
    apart = np.abs(weights @ (inside * (right - confidence)[:, None])).sum(axis=1)
    return ratio(apart, weights.sum(axis=1))
