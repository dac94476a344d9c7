"""Sequences of a batch laid end to end, so that products meet no padding; attention alone sees them side by side.

On processors, where products take most of the time. Vectors are those of the padded batch, to the bit: each token's row
of a product is the same sum, and attention runs on the same padded tensors (measured on BERT, float32, one thread).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nlptl.encoder._dropout import drop
from nlptl.encoder._lower import resumed
from nlptl.encoder.tokens import PAD_MULTIPLE, TokenBatch

FIRST_POSITION = {"bert": 0, "electra": 0, "distilbert": 0, "roberta": 1, "xlm-roberta": 1, "camembert": 1}
"""Types of bodies that take positions and ask for their attention by name, and where they count from: 0, or 1 for the
place after the padding's."""
NAME = "nlptl_packed"
FULL = 0.95
"""A batch with a larger share of real tokens gains less than packing costs, unless it trains (``attend``)."""


class _Moved(torch.autograd.Function):
    """Rows at ``there``; their gradients come from ``back``, and none reaches the rows ``lost``, of which nothing came.

    As ``index_select`` both ways: its own gradient adds row by row into zeros, which took several times as long.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, there: Tensor, back: Tensor, lost: Tensor) -> Tensor:
        ctx.save_for_backward(back, lost)
        return rows.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        back, lost = ctx.saved_tensors
        return gradients[0].index_select(0, back).index_fill_(0, lost, 0.0), None, None, None


@dataclass(frozen=True, eq=False)
class Places:
    """Where rows of a packed sequence stand in the padded batch, and back.

    ``padded`` (length,): of each packed row; what fills the sequence up stands where its last row does, and ``filler``
    are its packed places. ``packed``: of each padded row, and of ``padding`` any row at all, since nothing looks there.
    """

    padded: Tensor
    packed: Tensor
    filler: Tensor
    padding: Tensor

    def spread(self, packed: Tensor) -> Tensor:
        """(length, …) → (padded rows, …), anything where there is padding."""
        found: Tensor = _Moved.apply(packed, self.packed, self.padded, self.filler)  # type: ignore[no-untyped-call]
        return found

    def pack(self, padded: Tensor) -> Tensor:
        """(padded rows, …) → (length, …)."""
        found: Tensor = _Moved.apply(padded, self.padded, self.packed, self.padding)  # type: ignore[no-untyped-call]
        return found

    def of_heads(self, heads: int, tokens: int) -> Places:
        """Of parts of a row, one a head: packed as (length, heads), padded as (sequences, heads, ``tokens``)."""
        each = torch.arange(heads)
        row, token = self.padded // tokens, self.padded % tokens
        pad_row, pad_token = self.padding // tokens, self.padding % tokens
        return Places(
            padded=((row[:, None] * heads + each) * tokens + token[:, None]).flatten(),
            packed=(self.packed.view(-1, 1, tokens) * heads + each[:, None]).flatten(),
            filler=(self.filler[:, None] * heads + each).flatten(),
            padding=((pad_row[:, None] * heads + each) * tokens + pad_token[:, None]).flatten(),
        )


@dataclass(frozen=True, eq=False)
class Packing:
    """How the tokens of a batch are laid end to end, and side by side again.

    ``mask`` (sequences, tokens) bool: which tokens count; ``by_head``: the places of their parts, once asked for.
    """

    places: Places
    mask: Tensor
    by_head: dict[int, Places] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: TokenBatch) -> Packing:
        """Of the tokens of ``batch`` that count. The packed sequence is filled up to a multiple, as padded ones are,
        with its last token: products of a few rows are summed in another order."""
        mask = batch.attention_mask.bool()
        flat = mask.flatten()
        real = flat.nonzero()[:, 0]
        padded = torch.cat([real, real[-1:].expand(-len(real) % PAD_MULTIPLE)])
        packed = (flat.cumsum(0) - 1).clamp(min=0)
        filler = torch.arange(len(real), len(padded))
        return cls(Places(padded, packed, filler, (~flat).nonzero()[:, 0]), mask)

    def pack(self, padded: Tensor) -> Tensor:
        """(sequences, tokens, …) → (1, length, …)."""
        return self.places.pack(padded.flatten(0, 1))[None]

    def spread(self, packed: Tensor) -> Tensor:
        """(length, …) → (sequences, tokens, …), anything where there is padding."""
        return self.places.spread(packed).view(*self.mask.shape, *packed.shape[1:])

    def unpack(self, packed: Tensor) -> Tensor:
        """(1, length, width) → (sequences, tokens, width), zero where there is padding."""
        return self.spread(packed[0]) * self.mask[:, :, None]

    def attention(self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scaling: float | None) -> Tensor:
        """(1, heads, length, size) each → (1, length, heads, size): each sequence attends to itself."""
        (sequences, tokens), (heads, size) = self.mask.shape, query.shape[1::2]
        if heads not in self.by_head:  # every layer of the body asks
            self.by_head[heads] = self.places.of_heads(heads, tokens)
        places = self.by_head[heads]
        query_, key_, value_ = (
            places.spread(part[0].transpose(0, 1).reshape(-1, size)).view(sequences, heads, tokens, size)
            for part in (query, key, value)
        )
        mask = self.mask[:, None, None, :]
        found = attend(query_, key_, value_, mask, dropout, scaling or size**-0.5)
        return places.pack(found.reshape(-1, size)).view(1, -1, heads, size)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, scaling: float) -> Tensor:
    """(sequences, heads, tokens, size) each, and which keys count (sequences, 1, 1, tokens) → as ``query``.

    With dropout, torch's own would draw its mask slowly (see ``_dropout``) and look for texts without a token.
    """
    if not dropout:
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    barred = torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
    barred = barred.expand(-1, query.shape[1], 1, -1).flatten(0, 1)
    scores = torch.baddbmm(barred, query.flatten(0, 1), key.flatten(0, 1).mT, alpha=scaling)
    return torch.bmm(drop(scores.softmax(-1), dropout), value.flatten(0, 1)).view_as(query)


def packs(body: Any, batch: TokenBatch) -> bool:
    """Whether ``body`` can run ``batch`` packed, and gains by it."""
    if batch.input_ids.device.type != "cpu" or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return False
    if body.config.model_type not in FIRST_POSITION:
        return False
    if not body.training and float(batch.attention_mask.float().mean()) > FULL:
        return False
    return not body.get_input_embeddings()._forward_hooks  # what hooks in there expects rows side by side


def run_packed(body: Any, batch: TokenBatch, *, output_hidden_states: bool) -> Any:
    """What ``body`` says of ``batch``, as if it had been run padded."""
    packing, config = Packing.of(batch), body.config
    first = FIRST_POSITION[config.model_type]
    start = first and first + config.pad_token_id
    columns = torch.arange(batch.input_ids.shape[1]).expand_as(batch.input_ids)
    given = {
        "input_ids": packing.pack(batch.input_ids),
        "position_ids": packing.pack(columns + start),
    }
    if batch.token_type_ids is not None:
        given["token_type_ids"] = packing.pack(batch.token_type_ids)
    lower = None if batch.lower is None else replace(batch.lower, hidden=packing.pack(batch.lower.hidden))
    with _attending(config), _told(body, packing), resumed(body, lower):
        output = body(**given, packing=packing, output_hidden_states=output_hidden_states)
    output.last_hidden_state = packing.unpack(output.last_hidden_state)
    if output_hidden_states:
        output.hidden_states = tuple(packing.unpack(layer) for layer in output.hidden_states)
    return output


@contextmanager
def _attending(config: Any) -> Iterator[None]:
    """While it lasts, bodies of ``config`` attend within packed sequences."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def _told(body: Any, packing: Packing) -> Iterator[None]:
    """While it lasts, modules that send each row through weights of its own (``by_row``) know where rows stand."""
    by_row = [module for module in body.modules() if getattr(module, "by_row", False)]
    for module in by_row:
        module.packing = packing
    try:
        yield
    finally:
        for module in by_row:
            module.packing = None


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, packing: Packing,
    dropout: float = 0.0, scaling: float | None = None, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    return packing.attention(query, key, value, dropout=dropout, scaling=scaling), None
