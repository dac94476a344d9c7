"""Users whose heads lie at a known distance from the shared one."""

import numpy as np

from nlptl.heads._domains import GroupedRows
from nlptl.heads._solve import Link


def users(
    count: int = 40, rows: int = 60, width: int = 6, *, tau: float = 0.0, sigma: float = 0.0, link: Link = "sigmoid"
) -> GroupedRows:
    """``count`` users whose heads truly lie τ and σ from the shared one; sizes differ by a few rows."""
    rng = np.random.default_rng(0)
    outputs = 3 if link == "softmax" else 1
    sizes = rows + np.arange(count) % 5
    user = np.repeat(np.arange(count), sizes)
    vectors = rng.normal(size=(len(user), width)) / np.sqrt(width)
    offsets = vectors @ (4 * rng.normal(size=(width, outputs)))
    apart, shift = tau * rng.normal(size=(count, width, outputs)), sigma * rng.normal(size=(count, outputs))
    logits = offsets + np.einsum("nw,nwo->no", vectors, apart[user]) + shift[user]
    if link == "softmax":
        targets = np.eye(outputs)[(logits + rng.gumbel(size=logits.shape)).argmax(1)]
    else:
        targets = 1.0 * (rng.logistic(size=logits.shape) < logits)
    return GroupedRows(vectors, targets, offsets, [np.flatnonzero(user == one) for one in range(count)], link)


def folds_of(rows: GroupedRows, parts: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    place = np.arange(len(rows.vectors))
    return [(place[place % parts != part], place[place % parts == part]) for part in range(parts)]
