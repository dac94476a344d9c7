"""Which epoch is kept when the target's labels are hidden: criteria that read no label of the target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nlptl.adapt._features import entropy
from nlptl.model import Examples, Network
from nlptl.train.adaptation import probabilities

ROWS = 64
"""Rows of the target that are answered together."""
PAIRS = 2**22
"""Pairs of rows that are compared at once, whatever their number in all."""


def snd(answers: Tensor, temperature: float = 0.05) -> Tensor:
    """Soft neighbourhood density (Saito et al. 2021, arXiv 2108.10860, equations 1 to 3): the higher, the better.

    The mean over rows of the entropy of softmax_j(f_i · f_j / T), j ≠ i, with f the answers at length 1: it is high
    where each row has many neighbours that are answered alike. In nats, at most ln(rows − 1).

    Args:
        answers: (rows, labels) probabilities, two rows or more.
    """
    unit = torch.nn.functional.normalize(answers, dim=1)
    rows = max(1, PAIRS // len(unit))
    return torch.cat([_density(unit, start, rows, temperature) for start in range(0, len(unit), rows)]).mean()


def _density(unit: Tensor, start: int, rows: int, temperature: float) -> Tensor:
    """Of each of ``rows`` rows from ``start`` on, the entropy over its neighbours among all."""
    likeness = unit[start : start + rows] @ unit.T / temperature
    likeness.diagonal(start).fill_(-torch.inf)
    return entropy(torch.softmax(likeness, dim=1))


def mean_entropy(answers: Tensor) -> Tensor:
    """Mean over rows of the answers' entropy, in nats: the lower, the surer (Morerio et al. 2018, arXiv 1711.10288)."""
    return entropy(answers).mean()


CRITERIA: dict[str, Callable[[Tensor], Tensor]] = {"snd": lambda answers: -snd(answers), "entropy": mean_entropy}
"""By name, what is lower for a better epoch."""


def label_free(network: Network, target: Examples, criterion: str, device: torch.device) -> dict[str, float]:
    """By task: the criterion of that name over the target's rows, lower for better, with all dropout off."""
    network.eval()
    answers: dict[str, list[Tensor]] = {name: [] for name in network.heads}
    with torch.no_grad():
        for start in range(0, len(target), ROWS):
            rows = np.arange(start, min(start + ROWS, len(target)))
            for name, (_, logits) in network.last_layers(target.batch(rows, device)).items():
                answers[name].append(probabilities(network.task_heads[name], logits.float()))
    return {name: float(CRITERIA[criterion](torch.cat(parts))) for name, parts in answers.items()}
