"""Solved heads of several groups of rows at once, at prior precisions that were chosen before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Task
from nlptl.heads._grid import SEARCH_TOLERANCE
from nlptl.heads._scaling import Scaling
from nlptl.heads._solve import Design, Problems, solve
from nlptl.heads._solved import LinearWeights, Solved, raw_weights

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
    """One head a row of ``row_weights``, with the prior of ``like`` and started from it.

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
    precision[:, -1] = like.intercept
    problems = Problems(
        design,
        torch.from_numpy(task.targets(encoded)),
        torch.as_tensor(row_weights, dtype=torch.float64),
        precision,
        task.link,
        None if like.prior is None else _scaled(like.prior, scaling),
    )
    start = _scaled(like, scaling).expand(len(row_weights), -1, -1)
    return [
        raw_weights(like.reading, scaling, solution, words=words is not None)
        for solution in solve(problems, start=start, tolerance=SEARCH_TOLERANCE).numpy()
    ]


def _scaled(head: LinearWeights, scaling: Scaling) -> torch.Tensor:
    """[vectors | words | 1] × outputs, for scaled vectors."""
    words = np.empty((0, len(head.bias))) if head.words is None else head.words
    bias = head.bias + scaling.centre @ head.weights
    return torch.from_numpy(np.concatenate([head.weights * scaling.scale, words, bias[None]]))
