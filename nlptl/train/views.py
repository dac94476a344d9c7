"""Views of the batches that teach, drawn for the whole batch whichever process has which of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from nlptl.contracts import Ints
from nlptl.contracts.augment import Augment, Cutting, Mixing
from nlptl.model import Batch, Examples, Network
from nlptl.model.views import CutView, Partners
from nlptl.train.batches import share_of
from nlptl.train.gather import gathered


@dataclass(frozen=True)
class StepViews:
    """How the batches of a step are shown; ``seed`` is of the step, ``width`` that of the word embeddings."""

    way: Cutting | Mixing
    width: int
    seed: tuple[int, ...]

    @classmethod
    def of(cls, network: Network, ways: Sequence[Augment], seed: tuple[int, ...]) -> StepViews | None:
        """The way among ``ways`` that acts in the step, of which recipes name one at most."""
        acting = [way for way in ways if isinstance(way, Cutting | Mixing)]
        if not acting:
            return None
        body: Any = network.backbone.body
        return cls(acting[0], int(body.get_input_embeddings().weight.shape[1]), seed)

    def shown(
        self, batch: Batch, examples: Examples, rows: Ints, own: Ints, *, number: int, world: int, device: torch.device
    ) -> Batch:
        """``batch`` as it is shown.

        Args:
            batch: this process's rows of the global batch ``rows``, at the places ``own`` of it.
            number: of the global batch within the step.
        """
        rng = np.random.default_rng((*self.seed, number, 3))
        if isinstance(self.way, Cutting):
            assert batch.tokens is not None
            seeds = rng.integers(2**63 - 1, size=len(rows))[own]
            return replace(batch, cut=CutView(self.way, self.way.cut(batch.tokens, self.width, seeds)))
        partner, shares = rng.permutation(len(rows)), self.way.shares(len(rows), rng)
        labels = replace(examples, tokens=None, readings=None)
        partners = Partners(
            batch=labels.batch(rows[partner[own]], device),
            places=torch.from_numpy(gathered_places(len(rows), world)[partner[own]]).to(device),
            shares=torch.as_tensor(shares[own], dtype=torch.float32).to(device),
            everyone=partial(gathered, rows=len(rows)),
        )
        return replace(batch, partners=partners)


def gathered_places(rows: int, world: int) -> Ints:
    """(rows,) where each row of a global batch stands once the shares of all processes are put one after another."""
    return np.argsort(np.concatenate([share_of(np.arange(rows), rank=rank, world=world) for rank in range(world)]))
