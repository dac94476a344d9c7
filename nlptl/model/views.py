"""Views of a batch in the training step: parts left out, or rows mixed with one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nlptl.contracts.augment import Cut, Cutting
from nlptl.model.objective import Link

if TYPE_CHECKING:
    from nlptl.model import Batch


@dataclass(frozen=True)
class CutView:
    """The second pass of a batch: by which kind, and what it leaves out."""

    way: Cutting
    cut: Cut


@dataclass(frozen=True)
class Partners:
    """With which row of the whole batch each row is mixed.

    Attributes:
        batch: the partners' targets and what goes with them, without texts.
        places: (rows,) where the partner stands among the rows of all processes, one process's after another's.
        shares: (rows,) λ, what a row keeps of itself.
        everyone: (own rows, width) → (rows of all processes, width), differentiable.
    """

    batch: Batch
    places: Tensor
    shares: Tensor
    everyone: Callable[[Tensor], Tensor]

    def emptied(self) -> Partners:
        """Of no row."""
        return replace(self, batch=self.batch.emptied(), places=self.places[:0], shares=self.shares[:0])


def mixed(own: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    """``λ own + (1 − λ) others`` by rows: (rows, width) twice, (rows,) → (rows, width)."""
    return shares[:, None] * own + (1 - shares[:, None]) * others


def jensen_shannon(first: Tensor, second: Tensor, link: Link) -> Tensor:
    """``½ KL(p‖m) + ½ KL(q‖m)``, m = (p + q) / 2, of the answers to (rows, outputs) logits each → (rows,) nats.

    Summed over sigmoids where labels do not exclude one another (Shen et al. 2020, arXiv 2009.13818, eq. 4, with one
    cut view).
    """
    if link == "sigmoid":
        first, second = (torch.stack([z, torch.zeros_like(z)], dim=-1) for z in (first, second))
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    m = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0))
    found = 0.5 * ((p.exp() * (p - m)).sum(-1) + (q.exp() * (q - m)).sum(-1))
    return found.sum(-1) if link == "sigmoid" else found


@contextmanager
def cut_features(body: Any, cut: Cut) -> Iterator[None]:
    """While it lasts, the word embeddings of ``body`` are zero where ``cut`` says."""
    if cut.features is None:
        yield
        return
    embeddings: nn.Module = body.get_input_embeddings()
    kept = cut.features
    handle = embeddings.register_forward_hook(lambda module, given, found: found * kept.to(found.dtype))
    try:
        yield
    finally:
        handle.remove()


def whole_or_cut(batch: Batch, cut: Cut) -> Batch:
    """The batch whose tokens are read as ``cut`` says, from the lowest layer on: what frozen ones said of whole texts
    is not what they say of cut ones."""
    assert batch.tokens is not None
    mask = batch.tokens.attention_mask if cut.attention is None else cut.attention
    return replace(batch, tokens=replace(batch.tokens, attention_mask=mask, lower=None))


def shares_of_task(partners: Partners, own: Mapping[str, Tensor], task: str) -> Tensor:
    """(rows,) λ of one task: 1, so that a row stays itself, where either label is unknown."""
    both = own[task] & partners.batch.labelled[task]
    return torch.where(both, partners.shares, torch.ones_like(partners.shares))
