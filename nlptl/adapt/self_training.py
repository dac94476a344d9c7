"""Self-training: the target's surest answers, of a slower copy of the model, become its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from nlptl.adapt._features import class_logits
from nlptl.contracts.adapt import Step, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class SelfTraining(Term):
    """Class-balanced self-training (Zou et al. 2018, arXiv 1810.07911) with a moving-average teacher.

    The teacher's weights follow the model's (Tarvainen & Valpola 2017, arXiv 1703.01780); its answers on the target's
    rows, the surest of each class by itself, are what the model learns beside the labels, once it knows something. The
    share of rows that count grows with progress, and every class weighs the same: else the one that is answered too
    often would draw the others in. It corrects what the model nearly knows, and repeats what it gets wrong.
    """

    kind: Literal["self_training"] = "self_training"
    moves: ClassVar[Literal["features", "logits"]] = "logits"
    compares: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True
    weight: float = Field(0.5, ge=0, description="What the term is multiplied by.")
    teacher: float = Field(0.95, ge=0, lt=1, description="Share of the teacher's weights that stays at each step.")
    warm_up: float = Field(0.3, ge=0, lt=1, description="Share of the training before any answer counts.")
    first_share: float = Field(0.2, ge=0, le=1, description="Of each class's rows, the share that counts at first.")
    last_share: float = Field(0.6, ge=0, le=1, description="The share that counts in the end; it grows in a line.")
    confidence: float = Field(0.6, ge=0, lt=1, description="Below it, a teacher's answer never counts.")

    @property
    def keeps(self) -> float:
        """The teacher's."""
        return self.teacher

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """The mean over classes of the cross-entropy, in nats, of the rows that count; 0 where none does."""
        assert step.target.teacher is not None
        if step.progress < self.warm_up:
            return step.target.logits.sum() * 0
        grown = (step.progress - self.warm_up) / (1 - self.warm_up)
        share = self.first_share + (self.last_share - self.first_share) * grown
        labels, counts = pseudo_labels(step.target.teacher, share=share, confidence=self.confidence)
        return pseudo_label_loss(class_logits(step.target.logits), labels, counts)


def pseudo_labels(probabilities: Tensor, *, share: float, confidence: float) -> tuple[Tensor, Tensor]:
    """(rows,) likeliest classes, and (rows,) bool: which are sure enough to be taught.

    Of the rows whose likeliest class is c, those count whose probability of it is among the ⌈share · rows⌉ largest, so
    that the threshold is each class's own (Zou et al. 2018, equation 5), and above ``confidence``.

    Args:
        probabilities: (rows, labels).
    """
    import torch

    sure, labels = probabilities.detach().max(1)
    counts = torch.zeros_like(sure, dtype=torch.bool)
    for label in range(probabilities.shape[1]):
        here = torch.nonzero(labels == label).flatten()
        wanted = int(-(-share * len(here) // 1))
        counts[here[sure[here].argsort(descending=True, stable=True)[:wanted]]] = True
    return labels, counts & (sure > confidence)


def pseudo_label_loss(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy, in nats: the mean over classes of the mean over a class's rows that count; 0, with gradients,
    where none does.

    Args:
        logits: (rows, labels); labels (rows,) classes; counts (rows,) bool.
    """
    import torch
    from torch.nn.functional import cross_entropy

    losses = cross_entropy(logits, labels, reduction="none") * counts
    rows = torch.bincount(labels[counts], minlength=logits.shape[1])
    return (losses / rows.clamp(min=1)[labels]).sum() / (rows > 0).sum().clamp(min=1)
