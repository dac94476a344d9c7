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
    """Where the tokens of a packed batch stand in the padded one, row after row: ``places`` (tokens,)."""

    places: Tensor
    mask: Tensor

    @classmethod
    def of(cls, batch: TokenBatch) -> Packing:
        """Of the tokens of ``batch`` that count."""
        mask = batch.attention_mask.bool()
        return cls(mask.flatten().nonzero()[:, 0], mask)

    @property
    def length(self) -> int:
        """Tokens of the packed sequence. A multiple as in padded batches, filled up with padding: products of a few
        rows are summed in another order."""
        return -(-len(self.places) // PAD_MULTIPLE) * PAD_MULTIPLE

    def pack(self, padded: Tensor, fill: int) -> Tensor:
        """(sequences, tokens, …) → (1, length, …)."""
        packed = padded.new_full((1, self.length, *padded.shape[2:]), fill)
        packed[0, : len(self.places)] = padded.flatten(0, 1)[self.places]
        return packed

    def unpack(self, packed: Tensor) -> Tensor:
        """(length, …) → (sequences, tokens, …), zero where there is padding."""
        spread = packed.new_zeros(self.mask.numel(), *packed.shape[1:])
        return spread.index_copy(0, self.places, packed[: len(self.places)]).view(*self.mask.shape, *packed.shape[1:])

    def attention(self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scaling: float | None) -> Tensor:
        """(1, heads, length, size) each → (1, length, heads, size): each sequence attends to itself."""
        query_, key_, value_ = (self.unpack(part[0].transpose(0, 1)).transpose(1, 2) for part in (query, key, value))
        found = nn.functional.scaled_dot_product_attention(
            query_, key_, value_, attn_mask=self.mask[:, None, None, :], dropout_p=dropout, scale=scaling
        )
        packed = query.new_zeros(self.length, *query.shape[1::2])
        packed[: len(self.places)] = found.transpose(1, 2).flatten(0, 1)[self.places]
        return packed[None]


def packs(body: Any, batch: TokenBatch) -> bool:
    """Whether ``body`` can run ``batch`` packed, and gains by it."""
    if batch.input_ids.device.type != "cpu" or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return False
    if body.config.model_type not in FIRST_POSITION or float(batch.attention_mask.float().mean()) > FULL:
        return False
    # What hooks into the embeddings, or sends each row through weights of its own, expects rows side by side.
    apart = any(getattr(module, "by_row", False) for module in body.modules())
    return not (apart or body.get_input_embeddings()._forward_hooks)


def run_packed(body: Any, batch: TokenBatch, *, output_hidden_states: bool) -> Any:
    """What ``body`` says of ``batch``, as if it had been run padded."""
    packing, config = Packing.of(batch), body.config
    first = FIRST_POSITION[config.model_type]
    start = first and first + config.pad_token_id
    columns = torch.arange(batch.input_ids.shape[1]).expand_as(batch.input_ids)
    given = {
        "input_ids": packing.pack(batch.input_ids, config.pad_token_id or 0),
        "position_ids": packing.pack(columns + start, start),
    }
    if batch.token_type_ids is not None:
        given["token_type_ids"] = packing.pack(batch.token_type_ids, 0)
    lower = None if batch.lower is None else replace(batch.lower, hidden=packing.pack(batch.lower.hidden, 0))
    with _attending(config), resumed(body, lower):
        output = body(**given, packing=packing, output_hidden_states=output_hidden_states)
    output.last_hidden_state = packing.unpack(output.last_hidden_state[0])
    if output_hidden_states:
        output.hidden_states = tuple(packing.unpack(layer[0]) for layer in output.hidden_states)
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


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, packing: Packing,
    dropout: float = 0.0, scaling: float | None = None, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    return packing.attention(query, key, value, dropout=dropout, scaling=scaling), None
