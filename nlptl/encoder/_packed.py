"""Sequences of a batch laid end to end, so that products meet no padding; attention alone sees them side by side.

On processors, where products take most of the time. Vectors are those of the padded batch, to the bit: each token's row
of a product is the same sum, and attention runs on the same padded tensors (measured on BERT, float32, one thread).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nlptl.encoder._lower import resumed
from nlptl.encoder.tokens import PAD_MULTIPLE, TokenBatch

FIRST_POSITION = {"bert": 0, "electra": 0, "distilbert": 0, "roberta": 1, "xlm-roberta": 1, "camembert": 1}
"""Types of bodies that take positions and ask for their attention by name, and where they count from: 0, or 1 for the
place after the padding's."""
NAME = "nlptl_packed"
FULL = 0.95
"""A batch with a larger share of real tokens gains less than packing costs."""


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the tokens of a packed batch stand in the padded one, and back.

    ``places`` (length,): of each packed token, row after row. ``back`` (sequences × tokens,): of each padded token, and
    of padding any token at all, since nothing looks at what is there.
    """

    places: Tensor
    back: Tensor
    mask: Tensor

    @classmethod
    def of(cls, batch: TokenBatch) -> Packing:
        """Of the tokens of ``batch`` that count. The packed sequence is filled up to a multiple, as padded ones are,
        with its last token: products of a few rows are summed in another order."""
        mask = batch.attention_mask.bool()
        real = mask.flatten().nonzero()[:, 0]
        filler = real[-1:].expand(-len(real) % PAD_MULTIPLE)
        return cls(torch.cat([real, filler]), (mask.flatten().cumsum(0) - 1).clamp(min=0), mask)

    def pack(self, padded: Tensor) -> Tensor:
        """(sequences, tokens, …) → (1, length, …)."""
        return padded.flatten(0, 1).index_select(0, self.places)[None]

    def spread(self, packed: Tensor) -> Tensor:
        """(length, …) → (sequences, tokens, …), anything where there is padding."""
        return packed.index_select(0, self.back).view(*self.mask.shape, *packed.shape[1:])

    def unpack(self, packed: Tensor) -> Tensor:
        """(1, length, width) → (sequences, tokens, width), zero where there is padding."""
        return self.spread(packed[0]) * self.mask[:, :, None]

    def attention(self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scaling: float | None) -> Tensor:
        """(1, heads, length, size) each → (1, length, heads, size): each sequence attends to itself."""
        query_, key_, value_ = (self.spread(part[0].transpose(0, 1)).transpose(1, 2) for part in (query, key, value))
        found = nn.functional.scaled_dot_product_attention(
            query_, key_, value_, attn_mask=self.mask[:, None, None, :], dropout_p=dropout, scale=scaling
        )
        return self.pack(found.transpose(1, 2))


def packs(body: Any, batch: TokenBatch) -> bool:
    """Whether ``body`` can run ``batch`` packed, and gains by it."""
    if batch.input_ids.device.type != "cpu" or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return False
    if body.config.model_type not in FIRST_POSITION or float(batch.attention_mask.float().mean()) > FULL:
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
