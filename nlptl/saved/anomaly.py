"""What a saved model says of texts unlike anything that taught it: the score of one task, and its threshold.

``model.json`` says which score and from where on a text is strange; ``anomaly.safetensors`` holds the labels' means and
the Cholesky factor of the precision that they share, where the score is ``mahalanobis``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from nlptl.contracts import Floats
from nlptl.diagnose.anomaly import Gaussians, energy

FILE = "anomaly.safetensors"


@dataclass(frozen=True)
class Gauge:
    """One task's score of how strange a text is; higher is stranger.

    Attributes:
        score: ``energy`` or ``mahalanobis``.
        share: of rows like those that taught that is flagged, in expectation.
        threshold: from which on a row is flagged; None where too few rows can show it, for ``reason``.
        fitted_on: how many rows the threshold is a quantile of, and what they were.
        gaussians: of the vectors that the task's head reads, where the score is ``mahalanobis``.
    """

    score: str
    share: float
    threshold: float | None = None
    reason: str | None = None
    fitted_on: str = ""
    gaussians: Gaussians | None = None

    def values(self, logits: Floats, vectors: Floats | None) -> npt.NDArray[np.float64]:
        """(rows,) scores of (rows, labels) logits of exclusive labels and of the (rows, width) vectors behind them."""
        if self.gaussians is None:
            return energy(logits)
        assert vectors is not None, "a distance is one of vectors"
        return self.gaussians.distances(vectors)

    def beyond(self, values: Floats) -> list[bool | None]:
        """For each of (rows,) scores whether it is flagged; None where there is no threshold."""
        return [None if self.threshold is None else bool(value >= self.threshold) for value in values]


def described_gauges(gauges: Mapping[str, Gauge]) -> dict[str, dict[str, Any]]:
    """By task, what ``model.json`` says of its gauge."""
    return {task: asdict(replace(gauge, gaussians=None)) for task, gauge in gauges.items()}


def save_gauges(gauges: Mapping[str, Gauge], folder: Path) -> None:
    """Write the tensors of ``gauges`` to ``folder``, where there are any."""
    tensors = {
        f"{part}/{task}": torch.from_numpy(getattr(gauge.gaussians, part))
        for task, gauge in gauges.items()
        if gauge.gaussians is not None
        for part in ("means", "root")
    }
    if tensors:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / FILE)


def open_gauges(described: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Gauge]:
    """By task, the gauge that ``described_gauges`` told of, with what ``save_gauges`` wrote.

    Raises:
        OSError, KeyError, TypeError, SafetensorError: something is absent or damaged.
    """
    gauges = {task: Gauge(**facts) for task, facts in described.items()}
    if not any(gauge.score == "mahalanobis" for gauge in gauges.values()):
        return gauges
    tensors = load_file(folder / FILE)
    return {
        task: gauge
        if gauge.score != "mahalanobis"
        else replace(gauge, gaussians=Gaussians(tensors[f"means/{task}"].numpy(), tensors[f"root/{task}"].numpy()))
        for task, gauge in gauges.items()
    }
