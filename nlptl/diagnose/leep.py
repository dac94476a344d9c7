"""How well a source model's answers, read as a code, foretell the target's labels (LEEP)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View


class Leep(Diagnosis):
    """Mean log-likelihood of the labels through the source model's soft answers."""

    kind: Literal["leep"] = "leep"

    def measure(self, view: View) -> dict[str, Any]:
        """``score`` in nats a row, at most 0: higher is better."""
        answers, labels = view.labelled().need("source_probabilities", "labels")
        return {"score": leep(answers, labels)}


def leep(source_probabilities: Floats, labels: Ints) -> float:
    """LEEP (Nguyen et al. 2020, "LEEP: A New Measure to Evaluate Transferability", eq. 2):

        P(y, z) = 1/n Σ_{i: y_i = y} θ_z(x_i),   LEEP = 1/n Σ_i log Σ_z P(y_i | z) θ_z(x_i)

    Args:
        source_probabilities: (n, source labels) θ, rows summing to 1.
        labels: (n,) target class indices.
    """
    theta = np.asarray(source_probabilities, dtype=np.float64)
    classes, places = np.unique(labels, return_inverse=True)
    joint = np.zeros((len(classes), theta.shape[1]))
    np.add.at(joint, places, theta / len(theta))
    given = joint / np.maximum(joint.sum(axis=0), 1e-300)
    return float(np.log(np.maximum((given[places] * theta).sum(axis=1), 1e-300)).mean())
