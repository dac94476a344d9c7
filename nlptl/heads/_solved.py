"""Choosing what a solved head reads and how strong its priors are, by cross-validated loss, folds in one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.heads._grid import (
    FEW,
    FEW_LEAST,
    FEW_SCALES,
    INTERCEPT_PRECISION,
    KNOWN_INTERCEPT_PRECISION,
    KNOWN_START,
    PRECISIONS,
    PRIOR_SCALES,
    SEARCH_TOLERANCE,
    START,
    Point,
    beside,
)
from nlptl.heads._reading import unasked
from nlptl.heads._scaling import Scaling
from nlptl.heads._solve import Design, Problems, row_losses, solve

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Folds = Sequence[tuple[Ints, Ints]]


@dataclass(frozen=True, eq=False)
class PriorMean:
    """Where a head's weights are before any label is seen, up to a scale that is chosen.

    Attributes:
        weights: (width, outputs), of raw vectors.
        bias: (outputs,) where the intercepts are known too; None: anywhere.
    """

    weights: Floats
    bias: Floats | None = None


@dataclass(frozen=True)
class LinearWeights:
    """A linear head for raw (not scaled) vectors, with words beside them where there were any.

    Attributes:
        reading: what it reads: a reading of the encoder, or several joined by ``+``, side by side.
        weights: (width, outputs) float64, of the vectors.
        bias: (outputs,) float64.
        words: (words, outputs) float64, or None.
    """

    reading: str
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    words: npt.NDArray[np.float64] | None

    def logits(self, vectors: Floats, words: csr_matrix | None = None) -> npt.NDArray[np.float64]:
        """(rows, width) vectors, (rows, words) → (rows, outputs) logits."""
        logits = vectors @ self.weights + self.bias
        return np.asarray(logits if self.words is None or words is None else logits + words @ self.words)


@dataclass(frozen=True)
class Solved(LinearWeights):
    """A linear head whose reading and precisions were chosen on folds.

    Attributes:
        precision: the chosen 1/τ² of the vectors' prior and of the words'.
        prior_scale: the one of ``PRIOR_SCALES`` that was chosen; 0 where there is no prior mean.
        prior: that mean at that scale, or None; ``intercept`` the prior precision of the intercept.
        loss: cross-validated loss, in nats a row.
        out_of_fold: (rows, outputs) logits of each row, words included, by the fold that did not see it; 0 where no
            fold holds a row out.
        words_out_of_fold: the words' part of them, or None.
    """

    precision: tuple[float, float]
    prior_scale: float
    prior: LinearWeights | None
    intercept: float
    loss: float
    out_of_fold: npt.NDArray[np.float64]
    words_out_of_fold: npt.NDArray[np.float64] | None


def raw_weights(reading: str, scaling: Scaling, solution: npt.NDArray[np.float64], *, words: bool) -> LinearWeights:
    """A solution [vectors | words | 1] × outputs for scaled vectors, as weights for the raw ones."""
    width = len(scaling.centre)
    weights, bias = scaling.raw(solution[:width], solution[-1])
    return LinearWeights(reading, weights, bias, solution[width:-1] if words else None)


def solve_head(
    task: Task,
    readings: Mapping[str, Floats],
    encoded: npt.NDArray[Any],
    folds: Folds,
    words: csr_matrix | None = None,
    row_weights: Floats | None = None,
    prior: Mapping[str, PriorMean] | None = None,
) -> Solved:
    """The head over that reading, with the words beside it, whose cross-validated loss is lowest.

    Vectors are centred and scaled by one number, so that one grid of precisions serves every encoder; the returned
    weights are those for the raw vectors. Vectors and words have a prior precision each, and are solved together.

    Args:
        readings: by name, (rows, width) vectors.
        encoded: labels as ``Task.encode`` gives them; every row is labelled.
        folds: pairs of (teaching, held-out) row positions.
        words: (rows, words) sparse features.
        row_weights: (rows,) how much each row teaches, and counts where it is held out; none: 1 each.
        prior: by reading, the prior mean, whose scale is chosen on the folds too; none, or of a reading that is not in
            it: the mean is 0. Where it knows an intercept and rows are fewer than ``FEW``, folds choose among a few
            strong priors on the reading that is taken without labels.
    """
    weights = np.ones(len(encoded)) if row_weights is None else row_weights
    toward = {name: None if prior is None else prior.get(name) for name in readings}
    leaning = len(encoded) < FEW and any(mean is not None and mean.bias is not None for mean in toward.values())
    if leaning:
        reading = unasked(toward)
        toward = {reading: toward[reading]}
    scales = FEW_SCALES if leaning else PRIOR_SCALES
    searches = [
        _Search(task, name, readings[name], encoded, folds, words, weights, scale, mean)
        for name, mean in toward.items()
        for scale in ((0.0,) if mean is None else scales)
    ]
    # Without a prior mean the best precision may be further from where searches begin: it is asked there, not before.
    firsts = {search: search.first_round() for search in searches}
    finals = [
        min(of_kind, key=firsts.__getitem__).descended()
        for of_kind in ([s for s in searches if s.prior is None], [s for s in searches if s.prior is not None])
        if of_kind
    ]
    return min(finals, key=_Search.loss).solved()


def fold_loss(task: Task, vectors: Floats, encoded: npt.NDArray[Any], folds: Folds, precision: float) -> float:
    """Cross-validated loss, in nats a row, of the head over (rows, width) ``vectors`` at one of ``PRECISIONS``."""
    search = _Search(task, "", vectors, encoded, folds, None, np.ones(len(encoded)), 0.0, None)
    return search.at((PRECISIONS.index(precision), START[1]))


class _Search:
    """The search over prior precisions for one reading: all folds of several precisions are solved as one batch."""

    def __init__(
        self, task: Task, name: str, vectors: Floats, encoded: npt.NDArray[Any], folds: Folds,
        words: csr_matrix | None, row_weights: Floats, prior_scale: float, toward: PriorMean | None,
    ) -> None:  # fmt: skip
        self.task, self.name, self.words = task, name, words
        self.scaling = Scaling.of(vectors)
        self.design = Design(torch.from_numpy(self.scaling(vectors)), words)
        self.targets = torch.from_numpy(task.targets(encoded))
        self.teaches, self.held_out = torch.zeros(2, len(folds), len(vectors), dtype=torch.float64)
        self.holds = np.zeros((len(folds), len(vectors)), dtype=bool)
        self.row_weights = torch.as_tensor(row_weights, dtype=torch.float64)
        for place, (teach, held) in enumerate(folds):
            self.teaches[place, teach] = self.row_weights[teach]
            self.held_out[place, held] = self.row_weights[held]
            self.holds[place, held] = True  # of weight 0 too: it counts in no loss, yet its logits are looked at
        self.prior_scale = prior_scale
        self.prior = self._prior(toward)
        known = self.prior is not None and toward is not None and toward.bias is not None
        self.start, self.intercept = (KNOWN_START, KNOWN_INTERCEPT_PRECISION) if known else (START, INTERCEPT_PRECISION)
        self.least = FEW_LEAST if known and len(vectors) < FEW else 0
        self.losses: dict[Point, float] = {}
        self.solutions: dict[Point, torch.Tensor] = {}

    def _prior(self, toward: PriorMean | None) -> torch.Tensor | None:
        """(width, outputs) prior mean: ``toward``, as long as gives the rows that teach logits of ``prior_scale``."""
        if toward is None or self.prior_scale == 0:
            return None
        mean = torch.zeros(self.design.width, toward.weights.shape[1], dtype=torch.float64)
        mean[: self.design.lead] = torch.as_tensor(toward.weights)
        deviation = float(self.design.times(mean).std())
        if toward.bias is not None:  # of raw vectors; the design's are (x − centre) / scale
            mean[-1] = torch.as_tensor((toward.bias + self.scaling.centre @ toward.weights) / self.scaling.scale)
        return mean * (self.prior_scale / deviation) if deviation > 0 else None

    def at(self, point: Point) -> float:
        """The loss of that point alone."""
        self._try([point], start=None)
        return self.losses[point]

    def first_round(self) -> float:
        """Try where the search begins and the points beside it; the lowest loss found."""
        self._try([self.start], start=None)
        self._look_around()
        return self.losses[self._best()]

    def descended(self) -> _Search:
        """Itself, having gone to the best point and looked around until nothing beside it is better."""
        while self._look_around():
            pass
        return self

    def loss(self) -> float:
        """The lowest loss found."""
        return self.losses[self._best()]

    def _look_around(self) -> bool:
        """Try the untried points beside the best one, from its solution; whether there were any."""
        near = beside(self._best(), words=self.words is not None)
        new = [point for point in near if point not in self.losses and point[0] >= self.least]
        if new:
            self._try(new, start=self.solutions[self._best()].repeat(len(new), 1, 1))
        return bool(new)

    def solved(self) -> Solved:
        """The head of the best point on all rows."""
        best = self._best()
        folded = self.solutions[best]
        [solution] = solve(self._problems([best], self.row_weights[None]), start=folded.mean(0, keepdim=True)).numpy()
        width, worded = self.design.lead, self.words is not None
        prior = None if self.prior is None else raw_weights(self.name, self.scaling, self.prior.numpy(), words=worded)
        return Solved(
            **vars(raw_weights(self.name, self.scaling, solution, words=worded)),
            precision=(PRECISIONS[best[0]], PRECISIONS[best[1]]),
            prior_scale=self.prior_scale,
            prior=prior,
            intercept=self.intercept,
            loss=self.losses[best],
            out_of_fold=self._out_of_fold(self._problems([best], self.teaches).logits(folded).transpose(0, 1).numpy()),
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
            precision[place, : self.design.lead] = PRECISIONS[vectors]
            precision[place, self.design.lead :] = PRECISIONS[words]
        precision[:, -1] = self.intercept
        return Problems(
            self.design,
            self.targets,
            row_weights.repeat(len(points), 1),
            precision.repeat_interleave(len(row_weights), 0),
            self.task.link,
            self.prior,
        )

    def _words_out_of_fold(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """(folds, words, outputs) weights → each row's logits of words, by the fold that held it out."""
        if self.words is None:
            return None
        return self._out_of_fold(np.asarray(self.words @ of_fold) for of_fold in weights)

    def _out_of_fold(self, logits: Iterable[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """(rows, outputs) logits fold by fold → each row's by the fold that held it out."""
        summed = sum(of_fold * held[:, None] for of_fold, held in zip(logits, self.holds, strict=True))
        return np.asarray(summed / np.maximum(self.holds.sum(axis=0), 1)[:, None])
