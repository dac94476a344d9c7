"""Do the target's labels contradict the sources' head beyond sampling noise and other label shares?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import UNLABELLED, Floats, Ints, Task
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose._kernel import gaussian, p_value
from nlptl.diagnose._source_head import SourceHead
from nlptl.diagnose.covariate_shift import covariate_test
from nlptl.diagnose.label_shift import label_test
from nlptl.heads._evidence import softmax

UNKNOWN = "cannot be known: no label of the target may be read; label some, and set transfer.target_labels above 0"
WIDTHS = (0.3, 1.0)
"""Of the Gaussian kernels, in median squared distances: disagreement about a kind of text, about many of them."""
RANKS = (16, 8)
"""Directions kept of each Gaussian kernel, and of the texts themselves (for a label that follows another direction)."""
SPREADS = (1.0, 4.0, 16.0)
"""Variances s² of h that are tried, in squared nats."""

SPREADS_OF_FIT = (0.01, 0.3, 1.0, 4.0, 16.0)
"""Variances that are tried of what the linear head has wrong in the sources."""

DIFFERENT = 0.01
"""p value down to which texts, or label shares, are taken to be alike."""

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
        texts, shares = (test(head, self.draws, self.seed)["p"] for test in (covariate_test, label_test))
        return concept_test(head, self.draws, self.seed, alike=exchangeable(texts, shares))


def exchangeable(texts_p: float, shares_p: float) -> bool:
    """Whether neither the texts nor the label shares show a difference, by the p values of their tests."""
    return texts_p > DIFFERENT and shares_p > DIFFERENT


def concept_test(head: SourceHead, draws: int, seed: int, *, alike: bool) -> dict[str, Any]:
    """Test of ``logit q(y | x) = logit p(y | x) + δ_y + h(x)`` for h = 0, with h ~ GP(0, s² K) and δ free.

    The statistic is the Bayes factor of h against h = 0 (``bayes_factor``), which counts a label against which the head
    was sure for more than one about which it was not, and labels that turn together for more than scattered ones. It is
    compared with its values where there is no shift, so that its p value rests on no prior (Good 1992, "The Bayes/non-
    Bayes compromise").

    Args:
        alike: nothing else differs. Then labelled rows of both sides are exchangeable, each being answered by a head
            that it did not teach, and the sides are shuffled. If not, the target's labels are drawn anew from heads out
            of the posterior that the sources' rows leave, what a linear head has wrong there already included.

    Returns:
        ``p``; ``labels``: how many of the target's were read; ``intercept_p``: that of δ = 0, which means other label
        shares where the labelled texts are a fair draw. There h is left free, lest a few labels that turn count as
        another share of them all. None where ``alike``.
    """
    rng = np.random.default_rng((seed, 3))
    rows = np.flatnonzero(head.labels[head.here] != UNLABELLED)
    if alike:
        return {"p": _shuffled(head, draws, rng), "labels": len(rows), "intercept_p": None}
    p, intercept_p = _redrawn(head, rows, draws, rng)
    return {"p": p, "labels": len(rows), "intercept_p": intercept_p}


def _shuffled(head: SourceHead, draws: int, rng: np.random.Generator) -> float:
    """p value of h = 0, by shuffling which labelled rows are the target's."""
    known = head.labels != UNLABELLED
    here, logits = head.here[known], np.log(np.maximum(head.probabilities[known], 1e-12))
    answers = np.eye(logits.shape[1])[head.labels[known]]
    places = rng.random((draws, len(here))).argsort(axis=1)[:, : int(here.sum())]
    places = np.concatenate([np.flatnonzero(here)[None], places])
    shares = softmax(logits[places] + fit_intercepts(logits[places], answers[places]))
    return p_value(bayes_factor(answers[places], shares, [base[places] for base in directions(head.features[known])]))


def _redrawn(head: SourceHead, rows: Ints, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """p values of h = 0 and of δ = 0, by drawing the labels of the target's ``rows`` anew."""
    task, places = head.task, np.flatnonzero(head.here)[rows]
    everywhere = directions(head.features)
    moved, more = lack_of_fit(head, np.concatenate(everywhere, axis=1), places)
    logits, spread = head.logits[rows] + moved, head.spread[:, rows][:, :, rows] + more
    bases = [base[places][None] for base in everywhere]
    prior = _classes(logits, task)[None]
    seen = np.eye(len(task.labels))[head.labels[places]][None]
    null = _classes(logits + _around(spread, draws, rng), task)
    drawn, flat = _draw(softmax(null + fit_intercepts(prior, seen)), rng), _draw(softmax(null), rng)

    def evidence(answers: Array, delta: Array | float) -> tuple[Array, Array]:
        shares = softmax(prior + delta)
        likelihood = (answers * np.log(np.maximum(shares, 1e-12))).sum(axis=(1, 2))
        return likelihood, bayes_factor(answers, shares, bases)

    answers = np.concatenate([seen, drawn])
    p = p_value(evidence(answers, fit_intercepts(prior, answers))[1])
    answers = np.concatenate([seen, flat])
    with_shares, without = (sum(evidence(answers, delta)) for delta in (fit_intercepts(prior, answers), 0.0))
    return p, p_value(np.asarray(with_shares - without))


def lack_of_fit(head: SourceHead, basis: Array, places: Ints) -> tuple[Array, Array]:
    """What the linear head has wrong in the sources already, at the rows ``places``: (rows, outputs) to add to its
    logits, and (outputs, rows, rows) the covariance of that, large where the sources have no texts like these.

    By output, g = Z β with β ~ N(0, s² I), fitted to the sources' labels upon their held-out logits, s² of largest
    evidence (Laplace's approximation, Rasmussen & Williams 2006, §3.4). ``basis`` is Z, (rows, directions).
    """
    sources, asked = basis[~head.here], basis[places]
    shares = head.probabilities[~head.here][:, -head.task.outputs :]
    targets = head.task.targets(head.labels[~head.here])
    means, covariances = [], []
    for output in range(head.task.outputs):
        p = np.clip(shares[:, output], 1e-6, 1 - 1e-6)
        fits = [_laplace(sources, targets[:, output], np.log(p / (1 - p)), spread) for spread in SPREADS_OF_FIT]
        _, weights, covariance = max(fits, key=lambda fit: fit[0])
        means.append(asked @ weights)
        covariances.append(asked @ covariance @ asked.T)
    return np.stack(means, axis=1), np.stack(covariances)


def _laplace(basis: Array, targets: Array, offsets: Array, spread: float) -> tuple[float, Array, Array]:
    """(log evidence, mode, covariance) of β in y ~ σ(offset + Z β), β ~ N(0, spread · I)."""
    weights = np.zeros(basis.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-(offsets + basis @ weights)))
        hessian = (basis.T * (p * (1 - p))) @ basis + np.eye(len(weights)) / spread
        step = np.linalg.solve(hessian, basis.T @ (targets - p) - weights / spread)
        weights = weights + step / max(1.0, float(np.abs(basis @ step).max()) / 2)
    logits = offsets + basis @ weights
    likelihood = float((targets * logits - np.logaddexp(0, logits)).sum() - weights @ weights / (2 * spread))
    return (
        likelihood - float(np.linalg.slogdet(spread * hessian)[1]) / 2,
        weights,
        np.asarray(np.linalg.inv(hessian), np.float64),
    )


def directions(features: Floats) -> list[Array]:
    """Bases Z of (rows, directions) with Z Zᵀ near a kernel K of mean diagonal 1 or less: the leading eigenvectors of
    Gaussian kernels, and the leading principal components of the texts' vectors. None holds a constant, which is δ's.
    """
    from scipy.sparse.linalg import eigsh

    features = np.asarray(features, dtype=np.float64)
    centred = features - features.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    linear = left[:, : RANKS[1]] * sizes[: RANKS[1]]
    bases = [linear / (np.sqrt((linear**2).sum(axis=1).mean()) or 1.0)]
    for width in WIDTHS:
        kernel = gaussian(features, share=width)
        kernel = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
        start = np.random.default_rng(0).normal(size=len(kernel))  # else ARPACK draws its own
        values, vectors = eigsh(kernel, min(RANKS[0], len(kernel) - 1), v0=start)
        bases.append(vectors * np.sqrt(np.maximum(values, 0)))
    return bases


def bayes_factor(answers: Array, shares: Array, bases: Sequence[Array]) -> Array:
    """(draws,) log of the mean over K and s² of p(y | h ~ GP(0, s² K)) / p(y | h = 0), one Newton step from h = 0.

    With residuals r = y − p and W = diag p (1 − p), by label, Laplace's approximation at h = 0 (Rasmussen & Williams
    2006, §3.4) is ½ rᵀ (K⁻¹/s² + W)⁻¹ r − ½ log |I + s² K W|; for K = Z Zᵀ that is, with M = I/s² + Zᵀ W Z,
    ½ (Zᵀr)ᵀ M⁻¹ (Zᵀr) − ½ log |s² M|.

    Args:
        answers: (draws, rows, labels) of 0 and 1.
        shares: (draws, rows, labels) probabilities.
        bases: each (1 or draws, rows, directions).
    """
    labels = range(shares.shape[2] - (shares.shape[2] == 2))  # of two, each one's residual is minus the other's
    found = []
    for base in bases:
        rank = base.shape[2]
        pulled = [np.swapaxes(base, 1, 2) @ (answers - shares)[:, :, label, None] for label in labels]
        weights = [np.sqrt((shares * (1 - shares))[:, :, label, None]) * base for label in labels]
        bent = [np.swapaxes(weighted, 1, 2) @ weighted for weighted in weights]
        for spread in SPREADS:
            total = np.zeros(len(answers))
            for pull, curvature in zip(pulled, bent, strict=True):
                scaled = np.eye(rank) + spread * curvature
                gain = (pull * np.linalg.solve(scaled / spread, pull)).sum(axis=(1, 2))
                total += gain / 2 - np.linalg.slogdet(scaled)[1] / 2
            found.append(total)
    return np.asarray(np.logaddexp.reduce(found, axis=0) - np.log(len(found)))


def fit_intercepts(logits: Array, answers: Array, *, ridge: float = 0.05, steps: int = 12) -> Array:
    """(draws, 1, labels) δ that make ``answers`` likeliest under softmax(logits + δ), with a weak prior N(0, 1/ridge).

    Damped Newton steps on the diagonal of the Hessian. ``logits`` is (1 or draws, rows, labels), ``answers`` (draws,
    rows, labels) of 0 and 1.
    """
    delta = np.zeros((len(answers), 1, answers.shape[2]))
    for _ in range(steps):
        shares = softmax(logits + delta)
        gradient = (answers - shares).sum(axis=1, keepdims=True) - ridge * delta
        bent = (shares * (1 - shares)).sum(axis=1, keepdims=True) + ridge
        # Moving every label's intercept at once counts each odds twice when there are two labels.
        delta = delta + np.clip(gradient / bent / (2 if answers.shape[2] == 2 else 1), -1, 1)
    return np.asarray(delta - delta.mean(axis=2, keepdims=True))


def _classes(logits: Floats, task: Task) -> Array:
    """(…, outputs) → (…, labels) logits of a softmax."""
    logits = np.asarray(logits, dtype=np.float64)
    return np.asarray(np.concatenate([np.zeros_like(logits), logits], axis=-1) if task.link == "sigmoid" else logits)


def _draw(shares: Array, rng: np.random.Generator) -> Array:
    """(…, labels) probabilities → (…, labels) of 0 and one 1."""
    chosen = (rng.random(shares.shape[:-1])[..., None] > shares.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    return np.asarray(np.eye(shares.shape[-1])[chosen])


def _around(covariances: Array, draws: int, rng: np.random.Generator) -> Array:
    """(outputs, rows, rows) → (draws, rows, outputs) normal draws around 0."""
    values, vectors = np.linalg.eigh(covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    return np.asarray(np.einsum("krs,bks->brk", roots, rng.normal(size=(draws, *values.shape))))
