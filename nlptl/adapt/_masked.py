"""Masked tokens: which are hidden, what stands in their place, and the loss of guessing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN, SWAPPED = 0.8, 0.1
"""Of the chosen tokens: the share that becomes the mask, and the share that becomes any token; the rest stay."""


def corrupted(ids: Tensor, chosen: Tensor, fate: Tensor, others: Tensor, mask: int) -> Tensor:
    """What the encoder reads in place of ``ids`` (BERT: Devlin et al. 2019, arXiv 1810.04805, section 3.1, task 1).

    Of the chosen tokens 80 % become the mask, 10 % another token and 10 % stay as they are.

    Args:
        ids: (rows, tokens).
        chosen: (rows, tokens) bool, the tokens to be guessed.
        fate: (rows, tokens) uniform in [0, 1): below .8 the mask, below .9 another token.
        others: (rows, tokens) the token that would take the place.
    """
    hidden = chosen & (fate < HIDDEN)
    swapped = chosen & (fate >= HIDDEN) & (fate < HIDDEN + SWAPPED)
    return ids.masked_fill(hidden, mask).where(~swapped, others)


def draw(ids: Tensor, ordinary: Tensor, special: Tensor, rate: float, mask: int, seed: int) -> tuple[Tensor, Tensor]:
    """(rows, tokens) corrupted ids, and (rows, tokens) bool: which tokens are to be guessed; the same for equal seeds.

    Each token that is not special is chosen with probability ``rate``.

    Args:
        ids: (rows, tokens), padding included, which is special.
        ordinary: (n,) the tokens that may take another's place; ``special`` those never chosen.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    chance, fate = torch.rand((2, *ids.shape), generator=generator)
    others = ordinary[torch.randint(len(ordinary), ids.shape, generator=generator)]
    chosen = (chance < rate) & ~torch.isin(ids, special)
    return corrupted(ids, chosen, fate, others, mask), chosen


def guessing_loss(logits: Tensor, ids: Tensor, owners: Tensor, rows: int) -> Tensor:
    """(rows,) −Σ ln p(id) over a row's chosen tokens, in nats.

    Args:
        logits: (chosen, vocabulary).
        ids: (chosen,) the tokens as they were; ``owners`` (chosen,) the row of each.
    """
    from torch.nn.functional import cross_entropy

    losses = cross_entropy(logits.float(), ids, reduction="none")
    return losses.new_zeros(rows).index_add(0, owners, losses)
