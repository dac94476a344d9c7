"""Texts → token ids, ragged, with what is done about texts that are too long; and batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nlptl.contracts import Ints
from nlptl.errors import ModelError
from nlptl.recipe import Encoder

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

    from nlptl.encoder._lower import Lower, LowerBatch

PAD_MULTIPLE = 16
"""Batches are padded to a multiple of this. With AVX-512's 16 lanes, sums then run in the same order whatever else is
in the batch: a text gets the same vector, to the bit, in every batch (measured on BERT, float32 and bfloat16, on one
thread; several share products out by the size of the batch, and vectors then agree to some 1e-6)."""

LOOSE_MULTIPLE = 4
"""Where no equality to the bit is promised, in training and exported graphs: short texts then carry little padding."""

BATCH_TOKENS, CARD_BATCH_TOKENS = 2048, 16384
"""Tokens that go through an encoder at once where nothing learns: what fits a processor's caches, what fills a card."""

CHUNK = 4096


@dataclass(frozen=True)
class TokenBatch:
    """Sequences as padded tensors of (sequences, tokens); ``owners`` (sequences,) says which of ``rows`` each is of."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    owners: Tensor
    rows: int
    lower: LowerBatch | None = None
    """What frozen lower layers said of the sequences, where it was kept."""

    def given(self) -> dict[str, Tensor]:
        """What a body reads of it."""
        given = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        return given if self.token_type_ids is None else {**given, "token_type_ids": self.token_type_ids}

    def taken(self, rows: Tensor) -> TokenBatch:
        """Some rows of it, in the order of ``rows``, which may name a row more than once."""
        per_row = torch.bincount(self.owners, minlength=self.rows)
        counts, firsts = per_row[rows], (per_row.cumsum(0) - per_row)[rows]
        owners = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
        within = torch.arange(len(owners), device=rows.device) - (counts.cumsum(0) - counts)[owners]
        at = firsts[owners] + within
        types = None if self.token_type_ids is None else self.token_type_ids[at]
        lower = None if self.lower is None else self.lower.taken(at)
        return TokenBatch(self.input_ids[at], self.attention_mask[at], types, owners, len(rows), lower)

    def to(self, device: torch.device) -> TokenBatch:
        """The same on ``device``."""
        types = None if self.token_type_ids is None else self.token_type_ids.to(device)
        ids, mask, owners = (each.to(device) for each in (self.input_ids, self.attention_mask, self.owners))
        return TokenBatch(ids, mask, types, owners, self.rows)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Ragged token ids of many texts.

    Sequence s holds ``ids[offsets[s]:offsets[s + 1]]``; row r has sequences ``starts[r]`` to ``starts[r + 1]``.
    ``truncated`` is the share of texts that lost tokens, ``unknown`` the share of tokens that are unknown.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int8] | None
    offsets: Ints
    starts: Ints
    truncated: float
    unknown: float
    pad: int
    positions: int | None = None
    """The encoder's bound on a sequence, which padding keeps to."""
    lower: Lower | None = None
    """What frozen lower layers say of the sequences, where it is kept."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def row_lengths(self) -> Ints:
        """(rows,) tokens that each row costs: its sequences, each as long as its longest."""
        lengths = np.diff(self.offsets)
        longest = np.maximum.reduceat(lengths, self.starts[:-1]) if len(self) else lengths
        return np.asarray(longest * np.diff(self.starts), dtype=np.int64)

    def batch(self, rows: Ints, device: torch.device | str = "cpu", *, multiple: int = PAD_MULTIPLE) -> TokenBatch:
        """The rows at positions ``rows``, padded to a multiple of ``multiple``."""
        sequences, taken = self.places(rows)
        owners = np.repeat(np.arange(len(rows)), [self.starts[row + 1] - self.starts[row] for row in rows])
        lengths = self.offsets[sequences + 1] - self.offsets[sequences]
        longest = -(-int(lengths.max()) // multiple) * multiple
        longest = longest if self.positions is None else min(longest, self.positions)
        filled = np.arange(longest) < lengths[:, None]

        def padded(flat: npt.NDArray[np.generic], pad: int) -> Tensor:
            table = np.full((len(sequences), longest), pad, dtype=np.int64)
            table[filled] = flat[taken]
            return torch.from_numpy(table).to(device)

        return TokenBatch(
            padded(self.ids, self.pad),
            torch.from_numpy(filled.astype(np.int64)).to(device),
            None if self.types is None else padded(self.types, 0),
            torch.from_numpy(owners).to(device),
            len(rows),
            None if self.lower is None else self.lower.batch(sequences, taken, filled, device),
        )

    def places(self, rows: Ints) -> tuple[Ints, Ints]:
        """The sequences of ``rows``, one row after another, and where in ``ids`` their tokens are."""
        sequences = np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])
        return sequences, np.concatenate([np.arange(self.offsets[s], self.offsets[s + 1]) for s in sequences])


class Reads(Protocol):
    """What turns texts into tokens: a ``Backbone``, or a ``TextReader`` where no body is at hand."""

    tokenizer: PreTrainedTokenizerBase
    settings: Encoder
    prompt: str
    positions: int | None

    @property
    def room(self) -> int:
        """Tokens of content that fit beside the special ones."""

    def wrap(self, content: list[int]) -> list[int]:
        """Content ids with the tokenizer's special tokens around them."""


@dataclass
class TextReader:
    """A tokenizer with the settings that an encoder reads texts by; ``positions`` is its bound on a sequence."""

    tokenizer: PreTrainedTokenizerBase
    settings: Encoder
    prompt: str
    positions: int | None

    def __post_init__(self) -> None:
        self._affixes = affixes(self.tokenizer)

    @property
    def room(self) -> int:
        """Tokens of content that fit beside the special ones."""
        before, after = self._affixes
        return self.settings.max_length - len(before) - len(after)

    def wrap(self, content: list[int]) -> list[int]:
        """Content ids with the tokenizer's special tokens around them."""
        before, after = self._affixes
        return [*before, *content, *after]


def affixes(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    marker = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next(at for at in range(len(whole)) if whole[at : at + len(marker)] == marker)
    return whole[:start], whole[start + len(marker) :]


def tokenize(backbone: Reads, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
    """Token ids of ``texts`` (with ``pairs``, of both), the checkpoint's prompt before each text.

    Texts beyond ``max_length`` lose their end (``long: head``), their middle (``head_tail``), or nothing, becoming
    several sequences (``chunks``). Of pairs, the longer text is always cut at its end.

    Raises:
        ModelError: ``max_length`` has no room for a token of each text beside the special ones.
    """
    _check_room(backbone, texts=1 if pairs is None else 2)
    sequences: list[list[int]] = []
    types: list[list[int]] = []
    per_row: list[int] = []
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        here = [backbone.prompt + text for text in texts[start : start + CHUNK]]
        if pairs is not None:
            beside = list(pairs[start : start + CHUNK])
            encoded = backbone.tokenizer(
                here, beside, truncation=True, max_length=backbone.settings.max_length, return_token_type_ids=True,
                return_attention_mask=False, return_overflowing_tokens=False,
            )  # fmt: skip
            sequences += encoded["input_ids"]
            types += encoded["token_type_ids"]
            per_row += [1] * len(here)
            truncated += _cut_pairs(backbone, encoded, here, beside)
            continue
        contents = backbone.tokenizer(
            here, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )["input_ids"]
        for content in contents:
            parts = _cut(content, backbone.room, backbone.settings.long)
            truncated += sum(map(len, parts)) < len(content)
            sequences += [backbone.wrap(part) for part in parts]
            per_row.append(len(parts))
    flat = np.fromiter((i for ids in sequences for i in ids), dtype=np.int32)
    return Tokens(
        ids=flat,
        types=np.fromiter((t for ids in types for t in ids), dtype=np.int8) if types else None,
        offsets=np.concatenate([[0], np.cumsum([len(ids) for ids in sequences], dtype=np.int64)]),
        starts=np.concatenate([[0], np.cumsum(per_row, dtype=np.int64)]),
        truncated=truncated / max(len(texts), 1),
        unknown=float((flat == backbone.tokenizer.unk_token_id).mean()) if len(flat) else 0.0,
        pad=backbone.tokenizer.pad_token_id or 0,
        positions=backbone.positions,
    )


def _check_room(backbone: Reads, *, texts: int) -> None:
    settings = backbone.settings
    special = backbone.tokenizer.num_special_tokens_to_add(pair=texts == 2)
    if settings.max_length < special + texts:
        what = "text" if texts == 1 else "pair of texts"
        raise ModelError(
            f"encoder.max_length is {settings.max_length}, and the tokenizer of {settings.model!r} puts {special} "
            f"special tokens around each {what}; set encoder.max_length to {special + texts} or more."
        )


def _cut_pairs(backbone: Reads, encoded: BatchEncoding, texts: list[str], pairs: list[str]) -> int:
    """How many of the pairs that were ``encoded`` lost tokens. Tokenizers in Python do not say: they are asked again,
    for all of each pair."""
    if encoded.encodings is not None:
        return sum(bool(each.overflowing) for each in encoded.encodings)
    whole = backbone.tokenizer(texts, pairs, return_attention_mask=False, return_token_type_ids=False, verbose=False)
    return sum(len(ids) > backbone.settings.max_length for ids in whole["input_ids"])


def _cut(content: list[int], room: int, long: str) -> list[list[int]]:
    if len(content) <= room:
        return [content]
    if long == "head":
        return [content[:room]]
    if long == "head_tail":
        return [content[: room - room // 2] + content[len(content) - room // 2 :]]
    return [content[start : start + room] for start in range(0, len(content), room)]


def tokens_at_once(asked: int | None, device: torch.device) -> int:
    """What was ``asked`` for, else what suits ``device``."""
    return asked or (CARD_BATCH_TOKENS if device.type == "cuda" else BATCH_TOKENS)


def token_batches(lengths: Ints, batch_tokens: int, *, multiple: int = PAD_MULTIPLE) -> list[Ints]:
    """Positions in order of length, packed so that rows × longest, padding included, stays within ``batch_tokens``.

    Args:
        lengths: (rows,) tokens of each row; one longer than ``batch_tokens`` makes a batch of its own.
        multiple: what batches are padded to.
    """
    order = np.argsort(lengths, kind="stable")
    padded = -(-lengths // multiple) * multiple
    batches, start = [], 0
    for place, row in enumerate(order):
        if place > start and (place - start + 1) * int(padded[row]) > batch_tokens:
            batches.append(order[start:place])
            start = place
    return [*batches, order[start:]] if len(order) else []
