"""Each label as the mean of its vectors: the nearest mean answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import Floats, Head, Ints
from nlptl.contracts.anomaly import AnomalyScore
from nlptl.heads._names import unit

if TYPE_CHECKING:
    import torch

    from nlptl.heads._evidence import ClosedForm, Evidence

SHRINKAGES = (0.0, 1.0, 3.0, 10.0)
"""Rows' worth of the overall mean in each label's mean that are tried."""

SCALES = tuple(float(scale) for scale in np.logspace(-1, 2.5, 15))
"""Factors of the similarity that are tried."""


class Prototype(Head):
    """The nearest class mean, shrunk towards the mean of all; shrinkage and scale are chosen on folds."""

    kind: Literal["prototype"] = "prototype"
    distance: Literal["cosine", "euclid"] = Field("cosine", description="Between a text and a label's mean.")
    anomaly: AnomalyScore | None = Field(None, description="Predictions say how unlike all that taught a text is.")

    @property
    def closed_form(self) -> bool:
        """Always."""
        return True

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A linear map of unit vectors (cosine) or of the vectors themselves (squared distance)."""
        import torch

        from nlptl.heads._nets import cosine_net

        return torch.nn.Linear(width, outputs) if self.distance == "euclid" else cosine_net(width, outputs)

    def solve(self, evidence: Evidence) -> ClosedForm:
        """The reading, shrinkage and scale with the lowest log loss of held-out rows, then the means of all rows."""
        from nlptl.heads._evidence import ClosedForm, as_logits, log_loss, out_of_fold, softmax
        from nlptl.heads._nets import filled_cosine_net, filled_linear

        classes, labels = evidence.encoded, len(evidence.task.labels)
        tried: list[tuple[float, str, float, float]] = []
        for reading, vectors in evidence.readings.items():
            for shrinkage in SHRINKAGES:

                def scores_of(taught: Floats, of: Ints, held: Floats, shrinkage: float = shrinkage) -> Floats:
                    return similarity(held, class_means(taught, of, labels, shrinkage), self.distance)

                scores, held = out_of_fold(evidence.folds, self._scaled(vectors), classes, scores_of)
                tried += [(log_loss(softmax(s * scores), held), reading, shrinkage, s) for s in SCALES]
        loss, reading, shrinkage, scale = min(tried)
        vectors = self._scaled(evidence.readings[reading])
        means = class_means(vectors, classes, labels, shrinkage)
        unseen = np.zeros((len(vectors), labels))
        for teach, held in evidence.folds:
            of_fold = class_means(vectors[teach], classes[teach], labels, shrinkage)
            unseen[held] = scale * similarity(vectors[held], of_fold, self.distance)
        if self.distance == "cosine":
            weights, bias = scale * unit(means).T, np.zeros(labels)
            net: torch.nn.Module = filled_cosine_net(as_logits(weights), as_logits(bias), np.zeros(len(weights)))
        else:
            # −‖x − m‖² without ‖x‖², which all labels share, is linear in x
            weights, bias = 2 * scale * means.T / _rms(evidence.readings[reading]), -scale * (means**2).sum(1)
            net = filled_linear(as_logits(weights), as_logits(bias))
        chosen = {"shrinkage": shrinkage, "scale": scale, "loss": loss}
        return ClosedForm(reading, net, chosen, out_of_fold=as_logits(unseen))

    def _scaled(self, vectors: Floats) -> Floats:
        """Unit vectors for cosines; else one number for all, so that one grid of scales serves every encoder."""
        return unit(vectors) if self.distance == "cosine" else vectors / _rms(vectors)


def class_means(vectors: Floats, classes: Ints, labels: int, shrinkage: float) -> npt.NDArray[np.float64]:
    """Prototypes (Snell, Swersky & Zemel 2017, arXiv 1703.05175, eq. 1), shrunk: ``(Σ_{i∈c} x_i + s·x̄) / (n_c + s)``.

    Args:
        vectors: (rows, width); ``x̄`` is their mean.
        classes: (rows,) in 0 … ``labels`` − 1.
        shrinkage: s, how many rows the overall mean counts for. A label without rows is the overall mean.

    Returns:
        (labels, width).
    """
    overall = vectors.mean(axis=0, dtype=np.float64)
    member = np.eye(labels)[classes]
    counts = member.sum(axis=0)[:, None]
    weight = np.where(counts + shrinkage > 0, shrinkage, 1.0)
    return np.asarray((member.T @ vectors + weight * overall) / (counts + weight))


def similarity(vectors: Floats, means: Floats, distance: str) -> npt.NDArray[np.float64]:
    """(rows, width), (labels, width) → (rows, labels): the cosine, or minus the squared Euclidean distance."""
    if distance == "cosine":
        return np.asarray(unit(vectors) @ unit(means).T)
    squares = (vectors**2).sum(axis=1)[:, None] + (means**2).sum(axis=1)
    return np.asarray(2 * vectors @ means.T - squares)


def _rms(vectors: Floats) -> float:
    return float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
