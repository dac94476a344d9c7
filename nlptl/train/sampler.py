"""How often the rows of tasks of unlike size are met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.model import Examples
from nlptl.recipe import Train


@dataclass(frozen=True)
class Sampler:
    """Draws the rows of each epoch, as many as there are rows; ``labelled`` is (rows, tasks) bool."""

    labelled: npt.NDArray[np.bool_]
    settings: Train

    @classmethod
    def of(cls, examples: Examples, settings: Train) -> Sampler | None:
        """The sampler that ``settings`` asks for; none where every row is met once an epoch."""
        if settings.sampler == "proportional" or len(examples.tasks) == 1:
            return None
        columns = [examples.tasks[name].labelled(encoded) for name, encoded in examples.labels.items()]
        return cls(np.stack(columns, axis=1), settings)

    def draw(self, epoch: int, epochs: int, seed: int) -> Ints:
        """The rows of ``epoch``, of ``epochs``."""
        power = exponent(self.settings.sampler, self.settings.sampler_temperature, epoch, epochs)
        shares = task_shares(self.labelled.sum(axis=0), power)
        return draw(copies(self.labelled, shares), np.random.default_rng((seed, epoch, 1)))


def exponent(sampler: str, temperature: float, epoch: int, epochs: int) -> float:
    """α in ``task_shares``: 1 proportional, 1 / temperature, 0 uniform.

    Annealed: ``1 − 0.8 · epoch / (epochs − 1)``, epochs counted from 0 (Stickland & Murray 2019, arXiv 1902.02671,
    §4.1), from by size to nearly uniform.
    """
    if sampler == "annealed":
        return 1 - 0.8 * (epoch / (epochs - 1) if epochs > 1 else 0)
    return {"proportional": 1.0, "temperature": 1 / temperature, "uniform": 0.0}[sampler]


def task_shares(sizes: Ints, power: float) -> npt.NDArray[np.float64]:
    """(tasks,) rows of each → (tasks,) shares ``n_t ** α / Σ n ** α``; 0 of a task without rows."""
    raised = np.where(sizes > 0, np.maximum(sizes, 1).astype(np.float64) ** power, 0.0)
    return np.asarray(raised / raised.sum())


def copies(labelled: npt.NDArray[np.bool_], shares: Floats) -> npt.NDArray[np.float64]:
    """How often each row is to be met in an epoch, (rows,), as many as rows in all.

    A row of one task gets an equal part of the task's share; a row of several, the mean of its parts.
    """
    parts = shares / np.maximum(labelled.sum(axis=0), 1)
    wanted = (labelled * parts).sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)
    return np.asarray(len(labelled) * wanted / wanted.sum())


def draw(wanted: Floats, rng: np.random.Generator) -> Ints:
    """Rows with ``wanted`` copies each, ascending: the whole part for sure, the rest by systematic sampling over the
    rows in an order drawn, so that any set of rows is met within one of its sum."""
    order = rng.permutation(len(wanted))
    passed = np.floor(np.cumsum(wanted[order]) + rng.random())
    counts = np.diff(passed, prepend=0.0).astype(np.int64)
    return np.sort(np.repeat(order, counts)).astype(np.int64)
