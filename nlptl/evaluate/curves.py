"""One point of a curve of labels: systems on the same draws and the same scored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.evaluate.intervals import around, bootstrap, draw_seeds, with_phantom

if TYPE_CHECKING:
    from nlptl.contracts import Floats


def accuracies(
    right: Mapping[str, Sequence[npt.NDArray[np.bool_]]], copies: npt.NDArray[Any], *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """By system its mean accuracy over draws, with the 95 % interval over draws and rows together.

    Args:
        right: by system, for each draw (rows,) whether its answers are right; all systems have the same draws.
        copies: (rows,) of the scored rows, the same for copies of one text.
        resamples: of the bootstrap, whose randomness comes from ``seed``.
    """
    rng = np.random.default_rng(seed)
    table = np.stack([np.asarray(each, dtype=np.float64) for each in right.values()], axis=2)

    def score(draw: int, weights: Floats) -> Floats:
        return np.asarray(weights @ table[draw] / weights.sum(axis=1, keepdims=True))

    samples = bootstrap(
        score, [copies] * len(table), seed_draws=draw_seeds(len(table), resamples=resamples, rng=rng), rng=rng
    )
    samples = with_phantom(samples, len(np.unique(copies)), rng=rng)
    means = table.mean(axis=(0, 1))
    return {
        name: {"accuracy": float(means[place]), "ci95": list(around(means[place], samples[:, place]))}
        for place, name in enumerate(right)
    }
