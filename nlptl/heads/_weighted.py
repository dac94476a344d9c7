"""Solved heads of several groups of rows at once, at prior precisions that were chosen before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Task
from nlptl.heads._scaling import Scaling
from nlptl.heads._solve import Design, Problems, solve
from nlptl.heads._solved import INTERCEPT_PRECISION, SEARCH_TOLERANCE, LinearWeights, Solved, raw_weights

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def solve_weighted(
    task: Task,
    like: Solved,
    vectors: Floats,
    encoded: npt.NDArray[Any],
    words: csr_matrix | None,
    row_weights: npt.NDArray[Any],
) -> list[LinearWeights]:
    """One head a row of ``row_weights``, at the precisions of ``like`` and started from it.

    Args:
        like: a head over the same reading and words.
        vectors: (rows, width); ``words`` (rows, words).
        encoded: labels as ``Task.encode`` gives them; only those of rows with a weight are read.
        row_weights: (heads, rows), 0 for rows that do not teach a head.
    """
    scaling = Scaling.of(vectors)
    design = Design(torch.from_numpy(scaling(vectors)), words)
    precision = torch.full((len(row_weights), design.width), like.precision[1], dtype=torch.float64)
    precision[:, : design.lead] = like.precision[0]
    precision[:, -1] = INTERCEPT_PRECISION
    problems = Problems(
        design,
        torch.from_numpy(task.targets(encoded)),
        torch.as_tensor(row_weights, dtype=torch.float64),
        precision,
        task.link,
    )
    beside = np.empty((0, task.outputs)) if like.words is None else like.words
    began = np.concatenate([like.weights * scaling.scale, beside, (like.bias + scaling.centre @ like.weights)[None]])
    start = torch.from_numpy(began).expand(len(row_weights), -1, -1)
    return [
        raw_weights(like.reading, scaling, solution, words=words is not None)
        for solution in solve(problems, start=start, tolerance=SEARCH_TOLERANCE).numpy()
    ]
