"""What training minimises in place of the plain loss, against overfitting and imbalance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

Link = Literal["softmax", "sigmoid"]

SUREST = 1e-7
"""The least that 1 less a probability is taken for: about what float32 tells from 0 there."""


@dataclass(frozen=True)
class Objective:
    """The terms of the training loss; at their defaults, the plain loss.

    Attributes:
        smoothing: ε of ``smooth``; ``gamma`` of ``focal_losses``; ``r_drop`` the weight of ``divergence``.
        class_weights: by task, (2, outputs) or (1, outputs): what a logit's rows of 0 and of 1 count, or, for exclusive
            labels, what the rows of each count; tasks are absent where all count the same.
    """

    smoothing: float = 0.0
    gamma: float = 0.0
    r_drop: float = 0.0
    class_weights: Mapping[str, Tensor] = field(default_factory=dict)

    def row_losses(self, task: str, logits: Tensor, targets: Tensor, link: Link) -> Tensor:
        """(rows, outputs) logits and targets of 0 and 1 → (rows,) nats."""
        weights = self.class_weights.get(task)
        return focal_losses(logits, smooth(targets, self.smoothing, link), targets, link, self.gamma, weights)


def smooth(targets: Tensor, share: float, link: Link) -> Tensor:
    """Label smoothing (Szegedy et al. 2016, arXiv 1512.00567, §7): ``(1 − ε) · y + ε / K``; of K = 2 for a sigmoid."""
    return (1 - share) * targets + share / (targets.shape[-1] if link == "softmax" else 2)


def focal_losses(
    logits: Tensor, smoothed: Tensor, targets: Tensor, link: Link, gamma: float, weights: Tensor | None
) -> Tensor:
    """Focal loss (Lin et al. 2017, arXiv 1708.02002, eq. 5): ``w · (1 − p)^γ · cross-entropy``, p of the true answer.

    Args:
        logits: (rows, outputs); ``smoothed`` and ``targets`` likewise.
        weights: as ``Objective.class_weights`` has them for one task.
    """
    if link == "softmax":
        logs = logits.log_softmax(-1)
        losses = -(logs * smoothed).sum(-1)
        easy = (logs * targets).sum(-1).exp()
        counted = losses * _hardness(easy, gamma) if gamma else losses
        return counted if weights is None else counted * (targets * weights[-1]).sum(-1)
    losses = softplus(logits) - logits * smoothed
    easy = logsigmoid(torch.where(targets > 0.5, logits, -logits)).exp()
    counted = losses * _hardness(easy, gamma) if gamma else losses
    if weights is not None:
        counted = counted * torch.where(targets > 0.5, weights[1], weights[0])
    return counted.sum(-1)


def _hardness(easy: Tensor, gamma: float) -> Tensor:
    """``(1 − p)^γ``. Where p rounds to 1, its slope would have no end for γ below 1, and the gradient be no number."""
    return (1 - easy).clamp(min=SUREST) ** gamma


def balanced_weights(targets: Tensor, link: Link) -> Tensor:
    """Weights under which every label counts the same in all: ``n / (K · n_label)``, as scikit-learn's ``balanced``.

    (rows, outputs) targets of the labelled rows → (1, outputs) for exclusive labels, else (2, outputs): of 0 and of 1.
    """
    rows, ones = len(targets), targets.sum(0)
    if link == "softmax":
        return (rows / (len(ones) * ones.clamp(min=1)))[None]
    return torch.stack([rows / (2 * (rows - ones).clamp(min=1)), rows / (2 * ones.clamp(min=1))])


def divergence(first: Tensor, second: Tensor, link: Link) -> Tensor:
    """``½ (KL(p‖q) + KL(q‖p))`` of two passes' answers, (rows, outputs) logits each → (rows,), summed over sigmoids.

    R-Drop (Liang et al. 2021, arXiv 2106.14448, eq. 2): two passes draw other dropout and are to answer alike.
    """
    if link == "softmax":
        p, q = first.log_softmax(-1), second.log_softmax(-1)
        return 0.5 * ((p.exp() - q.exp()) * (p - q)).sum(-1)
    # Of a sigmoid, the log odds' difference stands for both outcomes' logs.
    return 0.5 * ((first.sigmoid() - second.sigmoid()) * (first - second)).sum(-1)
