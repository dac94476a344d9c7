"""Which tokens or features of a batch a cutoff leaves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nlptl.contracts import Ints
from nlptl.encoder.tokens import TokenBatch


def kept_tokens(tokens: TokenBatch, seeds: Ints, share: float, *, in_a_row: bool) -> Tensor:
    """The attention mask without ``max(1, round(share · n))`` of each sequence's n inner tokens, the first and the last
    being special ones; a sequence of one inner token stays whole.

    Args:
        seeds: (rows,); a row's sequences draw from its own.
        in_a_row: whether they follow one another.
    """
    mask = tokens.attention_mask.clone()
    for sequence, rng in enumerate(_drawn_by_owner(tokens, seeds)):
        inner = int(tokens.attention_mask[sequence].sum()) - 2
        count = max(1, round(share * inner))
        if inner < 2:
            continue
        start = rng.integers(inner - count + 1)
        places = np.arange(start, start + count) if in_a_row else rng.permutation(inner)[:count]
        mask[sequence, torch.as_tensor(1 + places, device=mask.device)] = 0
    return mask


def kept_features(tokens: TokenBatch, width: int, seeds: Ints, share: float) -> Tensor:
    """(sequences, 1, width) ones, but zeros at ``max(1, round(share · width))`` places of each sequence."""
    kept = torch.ones(len(tokens.attention_mask), 1, width, device=tokens.attention_mask.device)
    for sequence, rng in enumerate(_drawn_by_owner(tokens, seeds)):
        places = rng.permutation(width)[: max(1, round(share * width))]
        kept[sequence, 0, torch.as_tensor(places, device=kept.device)] = 0
    return kept


def _drawn_by_owner(tokens: TokenBatch, seeds: Ints) -> Iterator[np.random.Generator]:
    """For each sequence the generator of its row."""
    generators = [np.random.default_rng(int(seed)) for seed in seeds]
    return (generators[owner] for owner in tokens.owners.tolist())
