"""A linear head, solved in closed form; the start for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts import Head
from nlptl.contracts.anomaly import AnomalyScore
from nlptl.contracts.calibrate import Calibrate
from nlptl.heads._called import Phrasings, phrasings_of

if TYPE_CHECKING:
    import torch


class Linear(Head):
    """One weight vector a label, solved as maximum a posteriori logistic regression."""

    kind: Literal["linear"] = "linear"
    per: Literal["domain"] | None = Field(
        None,
        description="domain: each domain with labels deviates from the shared head, as far as they differ.",
    )
    spread: Literal["shared", "own"] = Field(
        "shared",
        description="With per: domain: one distance from the shared head for all, by evidence; or own, by folds.",
    )
    calibrate: Calibrate | None = Field(
        None, description="Honest probabilities and decisions, domain by domain; none: as they come."
    )
    anomaly: AnomalyScore | None = Field(None, description="Predictions say how unlike all that taught a text is.")
    prior: Literal["label_names"] | None = Field(
        None,
        description="label_names: what labels are called answers first, calibrated on texts; labels move it.",
    )
    names: Phrasings = None

    @property
    def closed_form(self) -> bool:
        """Always."""
        return True

    @property
    def reads_unlabelled(self) -> bool:
        """To calibrate what the labels are called, where that is the prior."""
        return self.prior is not None

    def phrasings(self, labels: Sequence[str]) -> Sequence[Sequence[str]]:
        """What each label is called, where that is the prior."""
        return () if self.prior is None else phrasings_of(labels, self.names)

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A linear map from (rows, ``width``) features to (rows, ``outputs``) logits."""
        import torch

        return torch.nn.Linear(width, outputs)
