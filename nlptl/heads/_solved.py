"""Choosing what a solved head reads and how strong its prior is, by cross-validated loss, all folds in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.heads._solve import Design, Problems, row_losses, solve

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Folds = Sequence[tuple[Ints, Ints]]

PRECISIONS = tuple(float(precision) for precision in np.logspace(-4, 1, 11))
"""Prior precisions 1/τ² that are tried, on vectors scaled to unit root-mean-square length."""

INTERCEPT_PRECISION = 1e-6
"""Of the intercept's prior: flat for practical purposes, yet finite where a fold shows one class only."""


@dataclass(frozen=True)
class Solved:
    """A solved head for raw (not scaled) features.

    Attributes:
        reading: what it reads.
        weights: (width, outputs) float64.
        bias: (outputs,) float64.
        precision: the chosen prior precision 1/τ², on vectors of unit root-mean-square length.
        loss: cross-validated loss, in nats a row.
        out_of_fold: (rows, outputs) logits of each row by the fold that did not see it, offset included.
    """

    reading: str
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    precision: float
    loss: float
    out_of_fold: npt.NDArray[np.float64]

    def logits(self, features: Floats | csr_matrix) -> npt.NDArray[np.float64]:
        """(rows, width) features → (rows, outputs) logits, without any offset."""
        return np.asarray(features @ self.weights + self.bias)


def solve_vectors(
    task: Task,
    readings: Mapping[str, Floats],
    encoded: npt.NDArray[np.generic],
    folds: Folds,
    offset: Floats | None = None,
) -> Solved:
    """The head over that reading of (rows, width) vectors whose cross-validated loss is lowest.

    Vectors are centred and scaled by one number, so that one grid of precisions serves every encoder; the returned
    weights are those for the raw vectors.

    Args:
        encoded: labels as ``Task.encode`` gives them; every row is labelled.
        folds: pairs of (teaching, held-out) row positions.
        offset: (rows, outputs) logits that are given, such as those of words; the head learns what they leave.
    """
    return min((_solve_reading(task, name, vectors, encoded, folds, offset) for name, vectors in readings.items()),
               key=lambda solved: solved.loss)  # fmt: skip


def solve_words(task: Task, words: csr_matrix, encoded: npt.NDArray[np.generic], folds: Folds) -> Solved:
    """The head over (rows, words) sparse features; its ``out_of_fold`` logits are an honest offset for vectors."""
    design = Design(torch.zeros(words.shape[0], 0, dtype=torch.float64), words)
    return _cross_validate(task, "words", design, encoded, folds, None)


def _solve_reading(
    task: Task, name: str, vectors: Floats, encoded: npt.NDArray[np.generic], folds: Folds, offset: Floats | None
) -> Solved:
    vectors = np.asarray(vectors, dtype=np.float64)
    centre = vectors.mean(axis=0)
    centred = vectors - centre
    scale = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
    solved = _cross_validate(task, name, Design(torch.from_numpy(centred / scale)), encoded, folds, offset)
    weights = solved.weights / scale
    return Solved(name, weights, solved.bias - centre @ weights, solved.precision, solved.loss, solved.out_of_fold)


def _cross_validate(
    task: Task, name: str, design: Design, encoded: npt.NDArray[np.generic], folds: Folds, offset: Floats | None
) -> Solved:
    """Solve every (precision, fold) as one batch, then the best precision on all rows."""
    rows = len(design)
    targets = torch.from_numpy(task.targets(encoded))
    given = None if offset is None else torch.from_numpy(np.asarray(offset, dtype=np.float64))
    teaches, held_out = torch.zeros(2, len(folds), rows, dtype=torch.float64)
    for place, (teach, held) in enumerate(folds):
        teaches[place, teach], held_out[place, held] = 1, 1

    def problems(precisions: Sequence[float], row_weights: torch.Tensor) -> Problems:
        precision = torch.tensor(precisions, dtype=torch.float64)[:, None].repeat(1, design.width)
        precision[:, -1] = INTERCEPT_PRECISION
        return Problems(design, targets, row_weights, precision, task.link, offset=given)

    tried = [precision for precision in PRECISIONS for _ in folds]
    batch = problems(tried, teaches.repeat(len(PRECISIONS), 1))
    logits = batch.logits(solve(batch)).view(rows, len(PRECISIONS), len(folds), -1)
    losses = row_losses(logits, targets[:, None, None], task.link) * held_out.T[:, None]
    mean_losses = losses.sum((0, 2)) / held_out.sum()
    best = int(mean_losses.argmin())
    out_of_fold = (logits[:, best] * held_out.T[:, :, None]).sum(1) / held_out.sum(0).clamp(min=1)[:, None]
    [weights] = solve(problems([PRECISIONS[best]], torch.ones(1, rows, dtype=torch.float64))).numpy()
    return Solved(name, weights[:-1], weights[-1], PRECISIONS[best], float(mean_losses[best]), out_of_fold.numpy())
