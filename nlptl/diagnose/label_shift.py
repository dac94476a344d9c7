"""Do labels come in other shares in the target? From unlabelled texts, and how sure that is."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose._kernel import p_value, permuted
from nlptl.diagnose._source_head import SourceHead


class LabelShift(Diagnosis):
    """The target's label shares, estimated from its texts through the sources' head, and a test against theirs."""

    kind: Literal["label_shift"] = "label_shift"
    permutations: int = Field(999, gt=0, description="Shuffles behind the p value.")
    seed: int = Field(0, ge=0, description="Of folds and shuffles.")

    def measure(self, view: View) -> dict[str, Any]:
        """``sources`` and ``target``: shares by label; ``p``: that of equal answers on both sides.

        Read as label shares only where texts of a label are alike on both sides (see ``covariate_shift``).
        """
        found = label_test(SourceHead.of(view, seed=self.seed), self.permutations, self.seed)
        names = view.label_names
        if names is not None:
            labels = np.unique(view.sides()[0].labelled().need("labels")[0])
            for side in ("sources", "target"):
                shares = zip(labels.tolist(), found[side], strict=True)
                found[side] = {str(names[label]): share for label, share in shares}
        return found


def label_test(head: SourceHead, permutations: int, seed: int) -> dict[str, Any]:
    """Black-box shift detection (Lipton, Wang & Smola 2018, "Detecting and Correcting for Label Shift with Black Box
    Predictors") with a permutation test of equal mean answers: Σ_y (mean of target − mean of sources)² / variance.
    """
    answers, here = head.probabilities, head.here
    alike = np.zeros(len(here), dtype=np.int64)
    members = permuted(here, alike, draws=permutations, rng=np.random.default_rng((seed, 2)))
    centred = answers - answers.mean(axis=0)
    means = members @ centred  # proportional to the difference of means, for sides of fixed sizes
    statistic = (means**2 / np.maximum(centred.var(axis=0), 1e-12)).sum(axis=1)
    taught = head.labels[~here]
    shares = np.bincount(taught, minlength=answers.shape[1]) / len(taught)
    return {
        "p": p_value(statistic),
        "sources": shares.tolist(),
        "target": bbse(answers[~here], taught, answers[here]).tolist(),
    }


def bbse(source_answers: Floats, source_labels: Ints, target_answers: Floats) -> npt.NDArray[np.float64]:
    """(labels,) shares among the target's rows: w = C⁻¹ μ, C_ij = p(answer i, label j), μ_i = q(answer i), with soft
    answers; shares are w_j p(label j), least squares under w ≥ 0, scaled to sum to 1.

    Args:
        source_answers: (n, labels) probabilities on rows that did not teach.
        source_labels: (n,) indices.
        target_answers: (m, labels).
    """
    from scipy.optimize import nnls

    shown = np.eye(source_answers.shape[1])[source_labels]
    joint = np.asarray(source_answers, np.float64).T @ shown / len(shown)
    weights, _ = nnls(joint, np.asarray(target_answers, np.float64).mean(axis=0))
    shares = weights * shown.mean(axis=0)
    return np.asarray(shares / shares.sum())
