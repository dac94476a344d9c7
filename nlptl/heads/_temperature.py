"""The one number that makes confident logits honest: temperature scaling (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Task

RANGE = (0.05, 20.0)


def fit_temperature(
    task: Task, logits: Floats, encoded: npt.NDArray[Any], *, prior: float = 0.0, weights: Floats | None = None
) -> float:
    """The T within ``RANGE`` for which logits / T have the lowest log loss.

    Args:
        logits: (rows, outputs), of rows that taught nothing of what made them.
        encoded: their labels as ``Task.encode`` gives them, all labelled.
        prior: precision of a normal prior on log T with mean 0; without one, rows that are all answered rightly, be
            they few, ask for certainty.
        weights: (rows,) how much each row's loss counts; none: 1 each.
    """
    import torch
    from scipy.optimize import minimize_scalar

    from nlptl.heads._solve import row_losses

    raw, targets = torch.from_numpy(np.asarray(logits, dtype=np.float64)), torch.from_numpy(task.targets(encoded))
    count = torch.ones(len(raw), dtype=torch.float64) if weights is None else torch.as_tensor(weights)

    def loss(log_temperature: float) -> float:
        data = (row_losses(raw / np.exp(log_temperature), targets, task.link) * count).sum()
        return float(data + prior * log_temperature**2 / 2) / len(raw)

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded")
    return float(np.exp(found.x))


def fit_bias_corrected(task: Task, logits: Floats, encoded: npt.NDArray[Any]) -> tuple[float, npt.NDArray[np.float64]]:
    """The T within ``RANGE`` and the (outputs,) biases b for which logits / T + b have the lowest log loss.

    Bias-corrected temperature scaling (Alexandari, Kundaje & Shrikumar 2020, arXiv 1901.06852, section 4): without the
    biases, a head that answers one label too often would pass for a shift of the labels. Arguments as for
    ``fit_temperature``; biases are held within ±5.
    """
    import torch
    from scipy.optimize import minimize

    from nlptl.heads._solve import row_losses

    raw, targets = torch.from_numpy(np.asarray(logits, dtype=np.float64)), torch.from_numpy(task.targets(encoded))

    def loss(point: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        at = torch.tensor(point, dtype=torch.float64, requires_grad=True)
        value = row_losses(raw / at[0].exp() + at[1:], targets, task.link).mean()
        [gradient] = torch.autograd.grad(value, [at])
        return float(value.detach()), gradient.numpy()

    start = np.zeros(1 + raw.shape[1])
    bounds = [tuple(np.log(RANGE)), *[(-5.0, 5.0)] * raw.shape[1]]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return float(np.exp(found.x[0])), np.asarray(found.x[1:])
