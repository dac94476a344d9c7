"""Averages of the weights over the steps, which answer in place of the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from nlptl.recipe import Train


def share_of_new(averaged: int, decay: float | None) -> float:
    """How much of the average the weights after one more step become, ``averaged`` of them being in it already.

    ``1 / (n + 1)``, so that all count the same (``decay`` None: SWA, Izmailov et al. 2018, arXiv 1803.05407, §3.2, with
    a cycle of one step), or ``1 − decay``. An exponential average of few steps would be nearly its first one, so
    ``decay`` is at most ``(1 + n) / (10 + n)``, as in TensorFlow's ExponentialMovingAverage.
    """
    if averaged == 0:
        return 1.0
    return 1 / (averaged + 1) if decay is None else 1 - min(decay, (1 + averaged) / (10 + averaged))


class Average:
    """The average of ``weights``, by name, from a point of the run on.

    Attributes:
        values: by name, the average; empty before that point.
        count: steps averaged.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, decay: float | None, start: float) -> None:
        self.weights, self.decay, self.start = weights, decay, start
        self.values: dict[str, Tensor] = {}
        self.count = 0

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], settings: Train) -> Average | None:
        """The average that ``settings`` asks for."""
        if settings.average is None:
            return None
        decay = settings.average_decay if settings.average == "ema" else None
        return cls(weights, decay=decay, start=settings.average_start)

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Take in the weights after the step that ends at ``progress`` in (0, 1] of the run."""
        if progress < self.start:
            return
        if not self.values:
            self.values = {name: weights.detach().clone() for name, weights in self.weights.items()}
        share = share_of_new(self.count, self.decay)
        for name, weights in self.weights.items():
            self.values[name].lerp_(weights, share)
        self.count += 1

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While it lasts, the average is in the places of the weights, if there is one yet."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def keep(self) -> None:
        """Put the average in the places of the weights for good, if there is one."""
        for name, average in self.values.items():
            self.weights[name].copy_(average)

    def _exchange(self) -> None:
        for name, average in self.values.items():
            weights = self.weights[name]
            average.data, weights.data = weights.data, average.data
