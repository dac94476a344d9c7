"""Labels known by what they are called: directions from names, scores without a favourite, refined on texts alone.

No label is read here. Throughout: texts (rows, width) and label vectors are of the same encoder and the same reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats
from nlptl.heads._evidence import softmax

Array = npt.NDArray[np.float64]

SPREAD = 4.0
"""Standard deviation in nats of the scores over the unlabelled texts while they are refined: nearly hard answers."""

ANSWERED_SPREAD = 1.0
"""The same of the scores that answer, which are less sure; it changes no answer."""

SHARE_ROUNDS = 5
"""Steps of the estimate of the labels' shares."""


def unit(vectors: Floats) -> Array:
    """(…, width) vectors at length one; a zero vector stays zero."""
    vectors = np.asarray(vectors, dtype=np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def label_vectors(phrasings: Sequence[Floats]) -> Array:
    """For each label its (phrasings, width) vectors → (labels, width): unit length each, averaged, unit length."""
    return unit(np.stack([unit(of_label).mean(axis=0) for of_label in phrasings]))


def cosine_answers(texts: Floats, labels: Floats) -> Array:
    """The plain zero-shot baseline: (rows, width) texts, (labels, width) → (rows, labels) probabilities that rise with
    the cosine, ``softmax(20 cos)``; nothing is calibrated."""
    return softmax(20 * unit(texts) @ unit(labels).T)


def directions(vectors: Floats) -> Array:
    """(labels, width) → (labels, width) of unit length, the mean over labels taken off: what tells each from the rest.

    A label that is called what all are called on average has no direction, and stays zero.
    """
    centred = np.asarray(vectors, dtype=np.float64) - vectors.mean(axis=0)
    return unit(np.where(np.abs(centred) < 1e-9, 0.0, centred))


@dataclass(frozen=True)
class NameScores:
    """``spread · (unit(x) − centre) · d_c / deviation + log share_c`` as one linear map of unit vectors.

    Attributes:
        weights: (width, labels).
        bias: (labels,).
    """

    weights: Array
    bias: Array

    def __call__(self, texts: Floats) -> Array:
        """(rows, width) raw vectors → (rows, labels) scores in nats."""
        return unit(texts) @ self.weights + self.bias


def uncalibrated(toward: Array) -> NameScores:
    """Cosines with (labels, width) directions where there is no text to calibrate on, times ``ANSWERED_SPREAD`` over
    0.1: about the deviation that such cosines have."""
    return NameScores(toward.T * ANSWERED_SPREAD / 0.1, np.zeros(len(toward)))


def calibrated(toward: Array, texts: Array) -> NameScores:
    """Scores by which no label wins for its wording alone.

    Each label's mean score over the texts is zero (it is the texts' mean that is taken off, not a share of answers
    that is imposed), the scores' standard deviation is ``SPREAD``, and the labels' shares are then estimated from the
    answers by expectation maximisation (as Saerens, Latinne & Decaestecker 2002, eq. 2.9, from equal shares):
    ``share_c ← mean_i softmax(z_i + log share)_c``, ``SHARE_ROUNDS`` times.

    Args:
        toward: (labels, width) directions.
        texts: (rows, width) unit vectors.
    """
    cosines = texts @ toward.T
    factor = SPREAD / (float((cosines - cosines.mean(axis=0)).std()) or 1.0)
    scores = NameScores(toward.T * factor, -cosines.mean(axis=0) * factor)
    return NameScores(scores.weights, scores.bias + log_shares(cosines * factor + scores.bias))


def log_shares(scores: Floats) -> Array:
    """(rows, labels) scores in nats → (labels,) log of the labels' shares: ``SHARE_ROUNDS`` steps of expectation
    maximisation from equal ones, ``share_c ← mean_i softmax(z_i + log share)_c``."""
    found = np.zeros(scores.shape[1])
    for _ in range(SHARE_ROUNDS):
        shares = softmax(scores + found).mean(axis=0)
        found = np.log(np.maximum(shares, 1e-12))
    return found


def refined(names: Array, texts: Floats, *, rounds: int) -> NameScores:
    """Directions from names, moved half-way to the means of the texts that they answer, ``rounds`` times.

    ``d_c ← unit(n_c + unit(μ_c − μ̄))``, where n_c is the name's direction, μ_c the mean of the texts weighted by label
    c's share in their answers, and μ̄ the mean over labels: spherical k-means (Dhillon & Modha 2001) that begins at the
    names and stays tied to them. Texts that cluster by another thing than the labels pull away from them.

    Args:
        names: (labels, width) directions.
        texts: (rows, width) raw vectors.
        rounds: 0 leaves the names' directions as they are.
    """
    texts, toward = unit(texts), names
    scores = calibrated(toward, texts)
    centred = texts - texts.mean(axis=0)
    for _ in range(rounds):
        answers = softmax(scores(texts))
        means = answers.T @ centred / np.maximum(answers.sum(axis=0), 1e-12)[:, None]
        toward = unit(names + directions(means))
        scores = calibrated(toward, texts)
    softened = ANSWERED_SPREAD / SPREAD
    return NameScores(scores.weights * softened, scores.bias * softened)
