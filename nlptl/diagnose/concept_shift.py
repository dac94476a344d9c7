"""Do the target's labels contradict the sources' head beyond sampling noise and other label shares?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl._contracts_diagnose import Diagnosis, View
from nlptl.contracts import UNLABELLED, Floats, Ints, Task
from nlptl.diagnose._kernel import gaussian, p_value
from nlptl.diagnose._source_head import SourceHead
from nlptl.diagnose.covariate_shift import covariate_test

UNKNOWN = "cannot be known: no label of the target may be read; set transfer.target_labels above 0"
WIDTHS = (0.1, 0.3, 1.0)
"""Of the kernels, in median squared distances: disagreement about a topic, about a kind of text, about all."""

DIFFERENT = 0.01
"""p value of ``covariate_test`` from which on texts are taken to differ."""

Array = npt.NDArray[np.float64]


class ConceptShift(Diagnosis):
    """Test of labels that texts alike have in the target and not in the sources."""

    kind: Literal["concept_shift"] = "concept_shift"
    draws: int = Field(999, gt=0, description="Label draws behind the p value.")
    seed: int = Field(0, ge=0, description="Of folds and draws.")

    def measure(self, view: View) -> dict[str, Any]:
        """``p``: that of the sources' head being right but for label shares; ``unknown`` where no label is shown."""
        _, target = view.sides()
        if target.labels is None or not np.any(target.labels != UNLABELLED):
            return {"unknown": UNKNOWN}
        head = SourceHead.of(view, seed=self.seed)
        texts = covariate_test(head, self.draws, self.seed)["p"]
        return concept_test(head, self.draws, self.seed, alike=texts > DIFFERENT)


def concept_test(head: SourceHead, draws: int, seed: int, *, alike: bool) -> dict[str, Any]:
    """Score test of ``logit q(y | x) = logit p(y | x) + δ_y + h(x)`` for h = 0, with h ~ GP(0, s² K) and δ free.

    The statistic Σ_y r_yᵀ K r_y of residuals r (Le Cessie & van Houwelingen 1991; Lin 1997, "Variance component testing
    in generalised linear models") is compared with its values where there is no shift. Of several kernel widths, the
    largest standardised value counts.

    Args:
        alike: the target's texts are like the sources'. Then residuals of both sides are exchangeable, and the sides
            are shuffled; the sources' residuals are taken off, as what the head has wrong everywhere. If not, the
            target's labels are drawn anew from heads out of the posterior that the sources' rows leave.

    Returns:
        ``p``; ``labels``: how many of the target's were read; ``intercept_p``: that of δ = 0, which means other label
        shares where the labelled texts are a fair draw, and None where texts are alike.
    """
    rng = np.random.default_rng((seed, 3))
    known = head.labels != UNLABELLED
    shown = int((head.here & known).sum())
    if alike:
        return {"p": _shuffled(head, known, draws, rng), "labels": shown, "intercept_p": None}
    p, intercept_p = _redrawn(head, np.flatnonzero(known[head.here]), draws, rng)
    return {"p": p, "labels": shown, "intercept_p": intercept_p}


def _shuffled(head: SourceHead, known: npt.NDArray[np.bool_], draws: int, rng: np.random.Generator) -> float:
    """p value by shuffling which labelled rows are the target's."""
    features, here = head.features[known], head.here[known]
    logits = np.log(np.maximum(head.probabilities[known], 1e-12))
    answers = np.eye(logits.shape[1])[head.labels[known]]
    count = int(here.sum())
    places = rng.random((draws, len(here))).argsort(axis=1)[:, :count]
    places = np.concatenate([np.flatnonzero(here)[None], places])
    shares = _softmax(logits[places] + fit_intercepts(logits[places], answers[places]))
    everywhere = (_softmax(logits) - answers) / (len(here) - count)
    residuals = np.repeat(everywhere[None], draws + 1, axis=0)
    residuals[np.arange(draws + 1)[:, None], places] = (answers[places] - shares) / count
    return _largest(residuals, features)


def _redrawn(head: SourceHead, rows: Ints, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """p values of h = 0 and of δ = 0, by drawing the labels of the target's ``rows`` anew."""
    features, task = head.features[head.here][rows], head.task
    logits, spread = head.logits[rows], head.spread[:, rows][:, :, rows]
    prior = _classes(logits, task)[None]
    seen = np.eye(len(task.labels))[head.labels[head.here][rows]][None]
    null = _classes(logits + _around(spread, draws, rng), task)
    drawn, flat = _draw(_softmax(null + fit_intercepts(prior, seen)), rng), _draw(_softmax(null), rng)
    answers = np.concatenate([seen, drawn])
    residuals = answers - _softmax(prior + fit_intercepts(prior, answers))
    moved = fit_intercepts(prior, np.concatenate([seen, flat]))
    return _largest(residuals, features), p_value((moved**2).sum(axis=(1, 2)))


def _largest(residuals: Array, features: Floats) -> float:
    """p value of the largest standardised statistic over ``WIDTHS``; residuals are (draws, rows, labels)."""
    kernels = [gaussian(features, share=share) for share in WIDTHS]
    return p_value(np.stack([_standardised(residuals, kernel) for kernel in kernels]).max(axis=0))


def fit_intercepts(logits: Array, answers: Array, *, ridge: float = 0.05, steps: int = 12) -> Array:
    """(draws, 1, labels) δ that make ``answers`` likeliest under softmax(logits + δ), with a weak prior N(0, 1/ridge).

    Damped Newton steps on the diagonal of the Hessian. ``logits`` is (1 or draws, rows, labels), ``answers`` (draws,
    rows, labels) of 0 and 1.
    """
    delta = np.zeros((len(answers), 1, answers.shape[2]))
    for _ in range(steps):
        shares = _softmax(logits + delta)
        gradient = (answers - shares).sum(axis=1, keepdims=True) - ridge * delta
        bent = (shares * (1 - shares)).sum(axis=1, keepdims=True) + ridge
        # Moving every label's intercept at once counts each odds twice when there are two labels.
        delta = delta + np.clip(gradient / bent / (2 if answers.shape[2] == 2 else 1), -1, 1)
    return np.asarray(delta - delta.mean(axis=2, keepdims=True))


def _classes(logits: Floats, task: Task) -> Array:
    """(…, outputs) → (…, labels) logits of a softmax."""
    logits = np.asarray(logits, dtype=np.float64)
    return np.asarray(np.concatenate([np.zeros_like(logits), logits], axis=-1) if task.link == "sigmoid" else logits)


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def _draw(shares: Array, rng: np.random.Generator) -> Array:
    """(…, labels) probabilities → (…, labels) of 0 and one 1."""
    chosen = (rng.random(shares.shape[:-1])[..., None] > shares.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    return np.asarray(np.eye(shares.shape[-1])[chosen])


def _around(covariances: Array, draws: int, rng: np.random.Generator) -> Array:
    """(outputs, rows, rows) → (draws, rows, outputs) normal draws around 0."""
    values, vectors = np.linalg.eigh(covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    return np.asarray(np.einsum("krs,bks->brk", roots, rng.normal(size=(draws, *values.shape))))


def _standardised(residuals: Array, kernel: Array) -> Array:
    """(draws,) Σ_y r_yᵀ K r_y without the diagonal, in standard deviations of the draws from their mean."""
    hollow = kernel - np.diag(np.diag(kernel))
    found = sum(np.einsum("br,br->b", r @ hollow, r) for r in np.moveaxis(residuals, 2, 0))
    return np.asarray((found - found[1:].mean()) / (found[1:].std() or 1.0))
