"""A small network over the vectors, trained by gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nlptl.contracts import Head

if TYPE_CHECKING:
    import torch


class Mlp(Head):
    """Dense layers with ReLU and dropout between the vectors and the logits."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = Field((256,), min_length=1, description="Width of each layer.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of hidden units switched off while training.")

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """Linear, ReLU and dropout for each hidden width, then a linear map to (rows, ``outputs``) logits."""
        import torch

        layers: list[torch.nn.Module] = []
        for before, after in zip((width, *self.hidden), self.hidden, strict=False):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU(), torch.nn.Dropout(self.dropout)]
        return torch.nn.Sequential(*layers, torch.nn.Linear(self.hidden[-1], outputs))
