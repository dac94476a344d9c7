"""Choosing what a solved head reads and how strong its priors are, by cross-validated loss, folds in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.heads._solve import Design, Problems, row_losses, solve

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Folds = Sequence[tuple[Ints, Ints]]
Point = tuple[int, int]
"""Places in ``PRECISIONS`` of the vectors' prior and the words'."""

PRECISIONS = tuple(float(precision) for precision in np.logspace(-4, 1, 11))
"""Prior precisions 1/τ² that are tried: on vectors of unit root-mean-square length, and on words' rows of norm 1."""

START: Point = (4, 2)
"""Where the search begins: 0.01 for vectors, 0.001 for words."""

INTERCEPT_PRECISION = 1e-6
"""Of the intercept's prior: flat for practical purposes, yet finite where a fold shows one class only."""

SEARCH_TOLERANCE = 1e-6
"""In nats a row, of the solves that only rank precisions; the chosen one is solved to ``solve``'s own."""


@dataclass(frozen=True)
class Solved:
    """A solved head for raw (not scaled) vectors, with words beside them where there were any.

    Attributes:
        reading: what it reads: a reading of the encoder, or several joined by ``+``, side by side.
        weights: (width, outputs) float64, of the vectors.
        bias: (outputs,) float64.
        words: (words, outputs) float64, or None.
        precision: the chosen 1/τ² of the vectors' prior and of the words'.
        loss: cross-validated loss, in nats a row.
        words_out_of_fold: (rows, outputs) logits of each row's words by the fold that did not see it, or None.
    """

    reading: str
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    words: npt.NDArray[np.float64] | None
    precision: tuple[float, float]
    loss: float
    words_out_of_fold: npt.NDArray[np.float64] | None

    def logits(self, vectors: Floats, words: csr_matrix | None = None) -> npt.NDArray[np.float64]:
        """(rows, width) vectors, (rows, words) → (rows, outputs) logits."""
        logits = vectors @ self.weights + self.bias
        return np.asarray(logits if self.words is None or words is None else logits + words @ self.words)


def solve_head(
    task: Task,
    readings: Mapping[str, Floats],
    encoded: npt.NDArray[Any],
    folds: Folds,
    words: csr_matrix | None = None,
) -> Solved:
    """The head over that reading, with the words beside it, whose cross-validated loss is lowest.

    Vectors are centred and scaled by one number, so that one grid of precisions serves every encoder; the returned
    weights are those for the raw vectors. Vectors and words have a prior precision each, and are solved together.

    Args:
        readings: by name, (rows, width) vectors.
        encoded: labels as ``Task.encode`` gives them; every row is labelled.
        folds: pairs of (teaching, held-out) row positions.
        words: (rows, words) sparse features.
    """
    searches = [_Search(task, name, vectors, encoded, folds, words) for name, vectors in readings.items()]
    best = min(searches, key=_Search.first_round)
    best.descend()
    return best.solved()


class _Search:
    """The search over prior precisions for one reading: all folds of several precisions are solved as one batch."""

    def __init__(
        self, task: Task, name: str, vectors: Floats, encoded: npt.NDArray[Any], folds: Folds, words: csr_matrix | None
    ) -> None:
        vectors = np.asarray(vectors, dtype=np.float64)
        self.task, self.name, self.words = task, name, words
        self.centre = vectors.mean(axis=0)
        centred = vectors - self.centre
        self.scale = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        self.design = Design(torch.from_numpy(centred / self.scale), words)
        self.targets = torch.from_numpy(task.targets(encoded))
        self.teaches, self.held_out = torch.zeros(2, len(folds), len(vectors), dtype=torch.float64)
        for place, (teach, held) in enumerate(folds):
            self.teaches[place, teach], self.held_out[place, held] = 1, 1
        self.losses: dict[Point, float] = {}
        self.solutions: dict[Point, torch.Tensor] = {}

    def first_round(self) -> float:
        """Try where the search begins and the points beside it; the lowest loss found."""
        self._try([START], start=None)
        self._look_around()
        return self.losses[self._best()]

    def descend(self) -> None:
        """Go to the best point and look around, until nothing beside it is better."""
        while self._look_around():
            pass

    def _look_around(self) -> bool:
        """Try the untried points beside the best one, from its solution; whether there were any."""
        new = [point for point in _beside(self._best(), words=self.words is not None) if point not in self.losses]
        if new:
            self._try(new, start=self.solutions[self._best()].repeat(len(new), 1, 1))
        return bool(new)

    def solved(self) -> Solved:
        """The head of the best point on all rows."""
        best = self._best()
        folded = self.solutions[best]
        everything = torch.ones(1, len(self.design), dtype=torch.float64)
        [solution] = solve(self._problems([best], everything), start=folded.mean(0, keepdim=True)).numpy()
        width = len(self.centre)
        weights = solution[:width] / self.scale
        return Solved(
            reading=self.name,
            weights=weights,
            bias=solution[-1] - self.centre @ weights,
            words=None if self.words is None else solution[width:-1],
            precision=(PRECISIONS[best[0]], PRECISIONS[best[1]]),
            loss=self.losses[best],
            words_out_of_fold=self._words_out_of_fold(folded[:, width:-1].numpy()),
        )

    def _best(self) -> Point:
        return min(self.losses, key=lambda point: self.losses[point])

    def _try(self, points: Sequence[Point], start: torch.Tensor | None) -> None:
        problems = self._problems(points, self.teaches)
        solution = solve(problems, start=start, tolerance=SEARCH_TOLERANCE)
        logits = problems.logits(solution).view(len(self.design), len(points), len(self.teaches), -1)
        losses = row_losses(logits, self.targets[:, None, None], self.task.link) * self.held_out.T[:, None]
        means = losses.sum((0, 2)) / self.held_out.sum()
        self.losses |= dict(zip(points, means.tolist(), strict=True))
        self.solutions |= dict(
            zip(points, solution.view(len(points), len(self.teaches), *solution.shape[1:]), strict=True)
        )

    def _problems(self, points: Sequence[Point], row_weights: torch.Tensor) -> Problems:
        """Each point with each of the row weights."""
        precision = torch.empty(len(points), self.design.width, dtype=torch.float64)
        for place, (vectors, words) in enumerate(points):
            precision[place, : len(self.centre)] = PRECISIONS[vectors]
            precision[place, len(self.centre) :] = PRECISIONS[words]
        precision[:, -1] = INTERCEPT_PRECISION
        return Problems(
            self.design,
            self.targets,
            row_weights.repeat(len(points), 1),
            precision.repeat_interleave(len(row_weights), 0),
            self.task.link,
        )

    def _words_out_of_fold(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """(folds, words, outputs) weights → each row's logits of words, by the fold that held it out."""
        if self.words is None:
            return None
        held_out = self.held_out.numpy()
        summed = sum(
            np.asarray(self.words @ of_fold) * held[:, None] for of_fold, held in zip(weights, held_out, strict=True)
        )
        return np.asarray(summed / np.maximum(held_out.sum(axis=0), 1)[:, None])


def _beside(point: Point, *, words: bool) -> list[Point]:
    """The points of the grid one step from ``point``: with words, one step in the strength of both priors together, or
    in that of the words' alone. Good pairs lie along a diagonal ridge, which steps in each alone would not climb."""
    vectors, word = point
    steps = [(-1, -1), (1, 1), (0, -1), (0, 1)] if words else [(-1, 0), (1, 0)]
    beside = [(vectors + up, word + across) for up, across in steps]
    return [each for each in beside if all(0 <= place < len(PRECISIONS) for place in each)]
