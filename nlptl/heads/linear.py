"""A linear head, solved in closed form; the start for fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nlptl.contracts import Head

if TYPE_CHECKING:
    import torch


class Linear(Head):
    """One weight vector a label, solved as maximum a posteriori logistic regression."""

    kind: Literal["linear"] = "linear"

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A linear map from (rows, ``width``) features to (rows, ``outputs``) logits."""
        import torch

        return torch.nn.Linear(width, outputs)
