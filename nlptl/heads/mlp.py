"""A small network over the vectors, trained by gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nlptl.contracts import Head
from nlptl.contracts.anomaly import AnomalyScore
from nlptl.contracts.calibrate import Calibrate

if TYPE_CHECKING:
    import torch


class Mlp(Head):
    """Dense layers with ReLU and dropout between the vectors and the logits."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = Field((256,), min_length=1, description="Width of each layer.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of hidden units switched off while training.")
    calibrate: Calibrate | None = Field(
        None, description="Honest probabilities and decisions, domain by domain; none: as they come."
    )
    anomaly: AnomalyScore | None = Field(None, description="Predictions say how unlike all that taught a text is.")
    batch_norm: bool = Field(False, description="Batch norm between each hidden layer and its ReLU.")

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """Linear, batch norm where asked for, ReLU and dropout for each hidden width, then a linear map to (rows,
        ``outputs``) logits."""
        import torch

        from nlptl.heads._batch_norm import BatchNorm

        layers: list[torch.nn.Module] = []
        for before, after in zip((width, *self.hidden), self.hidden, strict=False):
            normed = [BatchNorm(after)] if self.batch_norm else []
            # A bias would be taken off again with the mean.
            layers += [
                torch.nn.Linear(before, after, bias=not normed),
                *normed,
                torch.nn.ReLU(),
                torch.nn.Dropout(self.dropout),
            ]
        return torch.nn.Sequential(*layers, torch.nn.Linear(self.hidden[-1], outputs))
