"""From hidden states to one vector a text, as functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that ``mask`` marks: (rows, tokens, width), (rows, tokens) → (rows, width), float32."""
    weights = mask[:, :, None].float()
    return (hidden.float() * weights).sum(1) / weights.sum(1).clamp(min=1)


def first_pool(hidden: Tensor) -> Tensor:
    """The first token: (rows, tokens, width) → (rows, width), float32."""
    return hidden[:, 0].float()


def max_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each dimension over marked tokens: (rows, tokens, width) → (rows, width), float32."""
    return hidden.float().masked_fill(~mask[:, :, None].bool(), -torch.inf).amax(1)


def mean_of_owners(vectors: Tensor, weights: Tensor, owners: Tensor, rows: int) -> Tensor:
    """Weighted mean of the vectors of each owner: (sequences, width), (sequences,), (sequences,) → (rows, width)."""
    weights = weights.float()
    summed = vectors.new_zeros(rows, vectors.shape[1]).index_add(0, owners, vectors * weights[:, None])
    return summed / vectors.new_zeros(rows).index_add(0, owners, weights)[:, None]


def mean_of_layers(pooled: Sequence[Tensor]) -> Tensor:
    """Mean of pooled layers, each (rows, width)."""
    return torch.stack(list(pooled)).mean(0)
