"""The networks that closed-form heads become: their weights are given, not learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nlptl.contracts import Floats

CHUNK = 1024
"""Rows whose similarities to all stored vectors are held at once."""


class UnitLength(nn.Module):
    """(rows, width) vectors, less ``centre``, as vectors of length one; a zero vector stays zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.centre: Tensor

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) → (rows, width)."""
        return nn.functional.normalize(vectors - self.centre, dim=1)


def cosine_net(width: int, outputs: int) -> nn.Sequential:
    """An empty linear map of unit vectors."""
    return nn.Sequential(UnitLength(width), nn.Linear(width, outputs))


def filled_cosine_net(weights: Floats, bias: Floats, centre: Floats) -> nn.Sequential:
    """(width, outputs) weights and (outputs,) bias upon unit vectors, (width,) ``centre`` taken off before."""
    net = cosine_net(*weights.shape)
    unit, linear = net
    assert isinstance(unit, UnitLength) and isinstance(linear, nn.Linear)
    with torch.no_grad():
        unit.centre.copy_(torch.as_tensor(centre))
    _fill(linear, weights, bias)
    return net


def filled_linear(weights: Floats, bias: Floats) -> nn.Linear:
    """(width, outputs) weights and (outputs,) bias as a linear map."""
    linear = nn.Linear(*weights.shape)
    _fill(linear, weights, bias)
    return linear


def _fill(linear: nn.Linear, weights: Floats, bias: Floats) -> None:
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(weights.T))
        linear.bias.copy_(torch.as_tensor(bias))


class Neighbours(nn.Module):
    """Log shares of the labels among the k stored vectors with the highest cosine, each label counted once more.

    ``log((n_c + 1) / (k + C))`` for C labels (Laplace's rule of succession), so that a label that none of the
    neighbours has is unlikely, not impossible.
    """

    def __init__(self, vectors: Tensor, classes: Tensor, labels: int, k: int) -> None:
        """(rows, width) ``vectors`` with (rows,) ``classes``."""
        super().__init__()
        self.labels = labels
        for name, buffer in (("vectors", vectors), ("classes", classes), ("k", torch.tensor(k))):
            self.register_buffer(name, buffer)
        self.vectors: Tensor
        self.classes: Tensor
        self.k: Tensor

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) → (rows, outputs) logits."""
        # A trace would keep the sizes of its own few rows' chunks for all rows to come.
        chunks = (vectors,) if torch.onnx.is_in_onnx_export() else torch.split(vectors, CHUNK)
        shares = torch.cat([self._log_shares(chunk) for chunk in chunks])
        return shares[:, 1:] - shares[:, :1] if self.labels == 2 else shares

    def _log_shares(self, vectors: Tensor) -> Tensor:
        cosines = nn.functional.normalize(vectors, dim=1) @ nn.functional.normalize(self.vectors, dim=1).T
        nearest = self.classes[cosines.topk(int(self.k), dim=1).indices]
        counts = nn.functional.one_hot(nearest, self.labels).sum(1)
        return torch.log((counts + 1.0) / (int(self.k) + self.labels))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """As many vectors as were saved, whatever there were before."""
        for name in ("vectors", "classes"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.empty_like(saved))
        super()._load_from_state_dict(state_dict, prefix, *others)
