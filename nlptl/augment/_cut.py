"""Which tokens or features of a batch a cutoff leaves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nlptl.contracts import Ints
from nlptl.encoder.tokens import TokenBatch


def kept_tokens(tokens: TokenBatch, seeds: Ints, share: float, *, in_a_row: bool) -> Tensor:
    """The attention mask without ``max(1, round(share · n))`` of each sequence's n inner tokens; a sequence of one
    inner token stays whole. The first and the last token are special ones, and so are those between them that are the
    same, which part the texts of a pair.

    Args:
        seeds: (rows,); a row's sequences draw from its own.
        in_a_row: whether they follow one another, but for what parts a pair.
    """
    mask = tokens.attention_mask.clone()
    lasts = tokens.input_ids.gather(1, (mask.sum(1, keepdim=True) - 1).clamp(min=0))
    inner = (mask == 1) & (tokens.input_ids != tokens.input_ids[:, :1]) & (tokens.input_ids != lasts)
    for sequence, rng in enumerate(_drawn_by_owner(tokens, seeds)):
        places = inner[sequence].nonzero().flatten()
        count = max(1, round(share * len(places)))
        if len(places) < 2:
            continue
        start = rng.integers(len(places) - count + 1)
        chosen = np.arange(start, start + count) if in_a_row else rng.permutation(len(places))[:count]
        mask[sequence, places[torch.as_tensor(chosen, device=mask.device)]] = 0
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
