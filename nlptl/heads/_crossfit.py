"""A solved head over vectors of a body that the same few labels taught: chosen on rows held out of both.

Rows that taught a body look separable in its vectors, so folds over them would ask for too weak a prior. Here each fold
brings the vectors of a body that its held-out rows did not teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.heads._grid import INTERCEPT_PRECISION, PRECISIONS, PRIOR_SCALES, SEARCH_TOLERANCE
from nlptl.heads._scaling import Scaling
from nlptl.heads._solve import Design, Problems, row_losses, solve
from nlptl.heads._solved import (
    Folds,
    LinearWeights,
    PriorMean,
    raw_weights,
)
from nlptl.heads._temperature import fit_temperature

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Body:
    """What one body makes of all rows, and of what the labels are called.

    Attributes:
        vectors: (rows, width).
        toward: of which the weights are the prior mean's direction; None: it is 0.
    """

    vectors: Floats
    toward: PriorMean | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """Prior precision and scale with the lowest loss of held-out rows.

    Attributes:
        losses: (held-out rows,) in nats, after ``temperature``, in the order of the folds.
        temperature: what logits are divided by to be honest.
    """

    precision: float
    prior_scale: float
    temperature: float
    losses: Array


def choose_crossfit(task: Task, bodies: Sequence[Body], classes: Ints, folds: Folds) -> Choice:
    """Choose on the held-out rows of every fold, each in the vectors of its own body.

    Args:
        bodies: one a fold, not taught by what the fold holds out.
        classes: (rows,) of all rows.
        folds: (teaching, held-out) positions.
    """
    held = np.concatenate([out for _, out in folds])
    targets = torch.from_numpy(task.targets(classes[held]))
    scales = (0.0,) if bodies[0].toward is None else PRIOR_SCALES
    logits = {
        scale: torch.cat(
            [_fitted(task, body, classes, teach, PRECISIONS, scale)[1][out] for body, (teach, out) in
             zip(bodies, folds, strict=True)]
        )
        for scale in scales
    }  # fmt: skip
    losses = {
        scale: row_losses(of_scale, targets[:, None], task.link).mean(0).tolist() for scale, of_scale in logits.items()
    }
    _, scale, place = min((loss, scale, place) for scale, each in losses.items() for place, loss in enumerate(each))
    chosen = logits[scale][:, place].numpy()
    # Where a few held-out rows are all right, sharper looks better without end: only what softens is taken.
    temperature = max(1.0, fit_temperature(task, chosen, classes[held]))
    calibrated = row_losses(torch.from_numpy(chosen / temperature), targets, task.link).numpy()
    return Choice(PRECISIONS[place], scale, temperature, calibrated)


def solve_chosen(task: Task, reading: str, body: Body, classes: Ints, rows: Ints, choice: Choice) -> LinearWeights:
    """The head that ``rows`` teach in the vectors of ``body``, as ``choice`` says, its logits made honest."""
    solution, _ = _fitted(task, body, classes, rows, [choice.precision], choice.prior_scale)
    head = raw_weights(reading, Scaling.of(body.vectors[rows]), solution[0].numpy(), words=False)
    return replace(head, weights=head.weights / choice.temperature, bias=head.bias / choice.temperature)


def _fitted(
    task: Task, body: Body, classes: Ints, rows: Ints, precisions: Sequence[float], prior_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(precisions, width + 1, outputs) solutions for scaled vectors, and (all rows, precisions, outputs) logits."""
    scaling = Scaling.of(body.vectors[rows])
    design = Design(torch.from_numpy(scaling(body.vectors)))
    weights = torch.zeros(len(precisions), len(classes), dtype=torch.float64)
    weights[:, rows] = 1
    precision = torch.tensor(precisions, dtype=torch.float64)[:, None].repeat(1, design.width)
    precision[:, -1] = INTERCEPT_PRECISION
    targets = torch.from_numpy(task.targets(classes))
    mean = _prior_mean(design, body.toward, rows, prior_scale)
    problems = Problems(design, targets, weights, precision, task.link, mean)
    solution = solve(problems, tolerance=SEARCH_TOLERANCE)
    return solution, problems.logits(solution)


def _prior_mean(design: Design, toward: PriorMean | None, rows: Ints, scale: float) -> torch.Tensor | None:
    """``toward``, as long as gives the rows that teach logits of standard deviation ``scale``."""
    if toward is None or scale == 0:
        return None
    mean = torch.zeros(design.width, toward.weights.shape[1], dtype=torch.float64)
    mean[: design.lead] = torch.as_tensor(toward.weights)
    deviation = float(design.times(mean)[rows].std())
    return mean * (scale / deviation) if deviation > 0 else None
