"""The one number that makes confident logits honest: temperature scaling (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Task

RANGE = (0.05, 20.0)


def fit_temperature(task: Task, logits: Floats, encoded: npt.NDArray[Any]) -> float:
    """The T within ``RANGE`` for which logits / T have the lowest log loss.

    Args:
        logits: (rows, outputs), of rows that taught nothing of what made them.
        encoded: their labels as ``Task.encode`` gives them, all labelled.
    """
    import torch
    from scipy.optimize import minimize_scalar

    from nlptl.heads._solve import row_losses

    raw, targets = torch.from_numpy(np.asarray(logits, dtype=np.float64)), torch.from_numpy(task.targets(encoded))

    def loss(log_temperature: float) -> float:
        return float(row_losses(raw / np.exp(log_temperature), targets, task.link).mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded")
    return float(np.exp(found.x))
