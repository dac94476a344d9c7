"""Masked tokens of unlabelled texts, the same for one process and for many, and what guessing them costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from nlptl.adapt._masked import draw, guessing_loss
from nlptl.contracts import Ints
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import TokenBatch, Tokens
from nlptl.train.batches import share_of
from nlptl.train.gather import gathered


class Guessing:
    """Masked tokens of ``tokens``, guessed by ``head`` from the vectors of ``backbone``.

    Masks are drawn for the whole batch from (seed, step), so that they are new at each step, the same after a resume,
    and the same for one process and for many, each of which runs its share of the sequences.

    Args:
        head: (tokens, width) vectors → (tokens, vocabulary) logits.
        rate: share of the tokens to be guessed; ``weight`` of the loss, where it is a term.
    """

    def __init__(
        self, backbone: Backbone, head: nn.Module, tokens: Tokens, *, rate: float, seed: int, weight: float = 1.0
    ) -> None:
        self.backbone, self.head, self.tokens = backbone, head, tokens
        self.rate, self.seed, self.weight = rate, seed, weight
        tokenizer = backbone.tokenizer
        self.special = torch.tensor(sorted({*tokenizer.all_special_ids, tokens.pad}))
        vocabulary = torch.arange(len(tokenizer))
        self.ordinary = vocabulary[~torch.isin(vocabulary, self.special)]

    def loss(self, rows: Ints, number: int, accelerator: Accelerator) -> Tensor:
        """The mean loss of a guess among ``rows`` at step ``number``, in nats, over all processes; 0 where nothing is
        masked."""
        whole = self.tokens.batch(rows)
        seed = int(np.random.SeedSequence((self.seed, number, 3)).generate_state(1)[0])
        tokenizer: Any = self.backbone.tokenizer  # masked_head saw that it has a mask
        mask = int(tokenizer.mask_token_id)
        read, chosen = draw(whole.input_ids, self.ordinary, self.special, self.rate, mask, seed)
        sequences = np.arange(len(read))
        own = share_of(sequences, rank=accelerator.process_index, world=accelerator.num_processes)
        here = torch.from_numpy(own if len(own) else sequences[:1])
        sums = self._sums(_part(whole, here, read), whole.input_ids[here], chosen[here], accelerator)
        return gathered(sums, len(sequences)).sum() / chosen.sum().clamp(min=1)

    def _sums(self, batch: TokenBatch, ids: Tensor, chosen: Tensor, accelerator: Accelerator) -> Tensor:
        """(sequences,) losses of the chosen tokens, summed."""
        device = accelerator.device
        owners, places = chosen.nonzero(as_tuple=True)
        with accelerator.autocast():
            vectors = self.backbone.token_vectors(batch.to(device))
            logits = self.head(vectors[owners.to(device), places.to(device)])
        return guessing_loss(logits, ids[owners, places].to(device), owners.to(device), len(ids))


def _part(batch: TokenBatch, sequences: Tensor, ids: Tensor) -> TokenBatch:
    types = None if batch.token_type_ids is None else batch.token_type_ids[sequences]
    return TokenBatch(
        ids[sequences], batch.attention_mask[sequences], types, torch.arange(len(sequences)), len(sequences)
    )
