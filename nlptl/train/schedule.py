"""The learning rate as a function of progress, so that a resumed run has the rate of an uninterrupted one."""

import math
from typing import Literal


def midway(step: int, steps: int) -> float:
    """Progress in [0, 1] in the middle of step number ``step``, from 0: no step of a run, be it the first, the last or
    the only one, has a rate of 0."""
    return (step + 0.5) / steps


def rate_factor(progress: float, *, warmup: float, decay: Literal["linear", "cosine", "constant"]) -> float:
    """The share of the peak learning rate at ``progress`` in [0, 1] of the run.

    Rises linearly over the first ``warmup`` share of the run, then falls to 0 at its end: in a line, as half a cosine
    (Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts), or not at all.
    """
    if progress < warmup:
        return progress / warmup
    if decay == "constant" or warmup == 1:
        return 1.0
    rest = (progress - warmup) / (1 - warmup)
    return 1 - rest if decay == "linear" else (1 + math.cos(math.pi * rest)) / 2
