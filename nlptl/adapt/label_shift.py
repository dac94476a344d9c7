"""Label shift: the same texts of each label, in other proportions; corrected after training."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from nlptl._contracts_adapt import Adapt, Answers
from nlptl.contracts import Floats, Ints
from nlptl.errors import RunError
from nlptl.heads._label_shares import Shares, em_shares, odds, taught_shares
from nlptl.heads._temperature import fit_temperature


class LabelShift(Adapt):
    """The shares of the target's labels, estimated from its unlabelled texts, take the place of those that taught.

    ``em``: Saerens et al. 2002; ``bbse``: black-box shift estimation, Lipton et al. 2018 (arXiv 1802.03916). Both rest
    on p(x | y) being the same, and read the solved head's answers: on rows that taught, those of the fold that had not
    seen them, by which they are calibrated. The intercepts then move; nothing is trained. For one target at a time.
    """

    kind: Literal["label_shift"] = "label_shift"
    method: Literal["em", "bbse"] = Field("em", description="How the target's shares are estimated.")
    least: float = Field(0.05, gt=0, description="For bbse: the least singular value, of which 1 is a perfect head's.")

    def shift(self, answers: Answers) -> tuple[Shares, Shares, float]:
        """(labels,) shares that taught, (labels,) shares of the target, and the temperature by which the head's logits
        are calibrated.

        Raises:
            RunError: for bbse, where the head tells some labels apart too poorly to be inverted.
        """
        task, taught = answers.task, taught_shares(answers.task, answers.labels)
        temperature = fit_temperature(task, answers.source, answers.labels)
        source, target = (task.probabilities(z / temperature) for z in (answers.source, answers.target))
        if self.method == "em":
            return taught, em_shares(target, taught), temperature
        return taught, bbse_shares(source, answers.labels, target, least=self.least), temperature

    def offsets(self, answers: Answers, temperature: float | None) -> tuple[Floats, str]:
        """(outputs,) what is added to logits, calibrated by ``temperature`` (None: the source's answers' own), and what
        was found, in words."""
        taught, shares, own = self.shift(answers)
        scale = own if temperature is None else temperature
        moved = ", ".join(
            f"{label} {a:.3f} → {b:.3f}" for label, a, b in zip(answers.task.labels, taught, shares, strict=True)
        )
        return odds(answers.task, taught, shares, scale), f"label_shift ({self.method}): {moved}; temperature {own:.2f}"


def bbse_shares(source: Floats, labels: Ints, target: Floats, *, least: float) -> Shares:
    """(labels,) shares q of the labels among the target's rows: C w = μ, q_j ∝ max(w_j, 0) p_j (Lipton et al., eq. 3).

    C_ij = P(ŷ = i, y = j) on the source's rows, μ_i = P(ŷ = i) on the target's, p_j the source's shares. The singular
    values that are looked at are those of P(ŷ = i | y = j), which the shares do not shrink.

    Args:
        source: (rows, labels) probabilities of rows with ``labels`` that taught nothing of what made them.
        target: (rows, labels) probabilities.
        least: the smallest singular value with which the equation is solved.

    Raises:
        RunError: it is smaller: answers say too little of some label.
    """
    count = source.shape[1]
    joint = np.zeros((count, count))
    np.add.at(joint, (source.argmax(1), labels), 1 / len(labels))
    shares = joint.sum(0)
    smallest = float(np.linalg.svd(joint / np.maximum(shares, 1e-12), compute_uv=False)[-1])
    if smallest < least:
        raise RunError(
            f"adapt: label_shift cannot invert the answers: the smallest singular value of P(answer | label) is "
            f"{smallest:.3g}, below adapt.least {least:g}; a label is hardly ever answered, or not told from another. "
            "Set method: em, teach more rows of the rare labels, or lower least."
        )
    predicted = np.bincount(target.argmax(1), minlength=count) / len(target)
    found = np.clip(np.linalg.solve(joint, predicted), 0, None) * shares
    return np.asarray(found / found.sum())
