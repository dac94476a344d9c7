"""How much of the target's labels a source model's hard answers leave open (NCE)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nlptl.contracts import Ints
from nlptl.contracts.diagnose import Diagnosis, View


class Nce(Diagnosis):
    """Negative conditional entropy of the labels, given the source model's hard answers."""

    kind: Literal["nce"] = "nce"

    def measure(self, view: View) -> dict[str, Any]:
        """``score`` in nats a row, at most 0: higher is better."""
        answers, labels = view.labelled().need("source_probabilities", "labels")
        return {"score": nce(answers.argmax(axis=1), labels)}


def nce(source_labels: Ints, labels: Ints) -> float:
    """NCE (Tran, Nguyen & Hassner 2019, "Transferability and Hardness of Supervised Classification Tasks", eq. 5):

        −H(Y | Z) = Σ_z Σ_y P(y, z) log P(y | z)

    with P the shares among the rows. ``source_labels`` and ``labels`` are (n,) class indices.
    """
    _, z = np.unique(source_labels, return_inverse=True)
    _, y = np.unique(labels, return_inverse=True)
    joint = np.zeros((y.max() + 1, z.max() + 1))
    np.add.at(joint, (y, z), 1 / len(y))
    given = joint / joint.sum(axis=0)
    return float((joint * np.log(np.where(joint > 0, given, 1.0))).sum())
