"""Label shift: the same texts of each label, in other proportions; corrected after training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.adapt._sure_shift import ALPHA, beyond_error, likelihood_ratio
from nlptl.contracts import Floats, Ints
from nlptl.contracts.adapt import Adapt, Answers
from nlptl.errors import RunError
from nlptl.heads._label_shares import Shares, em_shares, odds, taught_shares
from nlptl.heads._temperature import fit_bias_corrected


class LabelShift(Adapt):
    """The shares of the target's labels, estimated from its unlabelled texts, take the place of those that taught.

    ``em``: Saerens et al. 2002; ``bbse``: black-box shift estimation, Lipton et al. 2018 (arXiv 1802.03916). Both rest
    on p(x | y) being the same, and read the solved head's answers: on rows that taught, those of the fold that had not
    seen them, by which they are calibrated with biases (Alexandari et al. 2020, arXiv 1901.06852). Where texts differ
    in other ways, any estimate moves: intercepts move only where the shift is sure, which takes three sources, each
    held out in turn to see how far estimates err. For one target at a time.
    """

    kind: Literal["label_shift"] = "label_shift"
    method: Literal["em", "bbse"] = Field("em", description="How the target's shares are estimated.")
    sure: bool = Field(True, description="Move only where the shift is sure (three sources or more); false: always.")
    least: float = Field(0.05, gt=0, description="For bbse: the least singular value, of which 1 is a perfect head's.")

    def shift(self, answers: Answers) -> Found:
        """What the target's answers say of its shares, and whether it is to be believed.

        Raises:
            RunError: for bbse, where the head tells some labels apart too poorly to be inverted.
        """
        task = answers.task
        taught, scale = taught_shares(task, answers.labels), fit_bias_corrected(task, answers.source, answers.labels)
        shares = self._shares(answers, answers.source, answers.labels, answers.target)
        doubt = self._doubt(answers, taught, shares, scale) if self.sure else ""
        return Found(taught, shares, scale, doubt)

    def _shares(self, answers: Answers, source: Floats, labels: Ints, target: Floats) -> Shares:
        """(labels,) shares of the rows that have the logits ``target``, by a head calibrated on ``source``."""
        task, (temperature, bias) = answers.task, fit_bias_corrected(answers.task, source, labels)
        posteriors = task.probabilities(target / temperature + bias)
        if self.method == "em":
            return em_shares(posteriors, taught_shares(task, labels))
        return bbse_shares(task.probabilities(source / temperature + bias), labels, posteriors, least=self.least)

    def _doubt(self, answers: Answers, taught: Shares, shares: Shares, scale: tuple[float, Floats]) -> str:
        """Why the shares are not to be believed; empty where they are."""
        temperature, bias = scale
        posteriors = answers.task.probabilities(answers.target / temperature + bias)
        chance = likelihood_ratio(posteriors, taught, shares)
        if chance > ALPHA:
            return f"they may be the same (p = {chance:.2f})"
        if answers.domains is None:
            return "no source was held out, so how far estimates err is not known; sure: false moves all the same"
        names = np.unique(answers.domains.astype(str))
        errors = []
        for name in names:
            try:
                errors.append(self._error(answers, answers.domains.astype(str) == name))
            except RunError:  # bbse: the other sources show too little of some label
                return f"without source {name} some label is not told, so how far estimates err is not known"
        return "" if beyond_error(shares, taught, np.array(errors)) else "estimates for the sources err as much"

    def _error(self, answers: Answers, here: npt.NDArray[np.bool_]) -> Shares:
        """(labels,) what is estimated of one source domain, as if it were the target, less the truth; RunError where
        the other sources cannot say."""
        found = self._shares(answers, answers.source[~here], answers.labels[~here], answers.source[here])
        return found - taught_shares(answers.task, answers.labels[here])

    def offsets(self, answers: Answers, temperature: float | None) -> tuple[Floats, str]:
        """(outputs,) what is added to logits, calibrated by ``temperature`` (None: as the source's are), and what was
        found, in words."""
        found, task = self.shift(answers), answers.task
        own, bias = found.scale
        moved = ", ".join(
            f"{label} {a:.3f} → {b:.3f}" for label, a, b in zip(task.labels, found.taught, found.shares, strict=True)
        )
        words = f"label_shift ({self.method}): {moved}; temperature {own:.2f}"
        if found.doubt:
            return np.zeros(task.outputs), f"{words}; not moved: {found.doubt}"
        if temperature is not None:
            return odds(task, found.taught, found.shares, temperature), words
        return own * bias + odds(task, found.taught, found.shares, own), words


@dataclass(frozen=True)
class Found:
    """(labels,) shares that ``taught``, (labels,) ``shares`` of the target, the temperature and biases by which logits
    are calibrated, and why the shares are not to be believed, if so."""

    taught: Shares
    shares: Shares
    scale: tuple[float, Floats]
    doubt: str


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
