"""Contextual vectors of words: a word's sub-tokens' hidden states, averaged over the word's places in a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nlptl.contracts import Floats, Ints
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.spans import words_of
from nlptl.encoder.tokens import TextReader, Tokens, token_batches, tokenize

GROUP = 512
"""Texts that are tokenised and encoded together: what is held beside the vectors that are asked for."""

Progress = Callable[[int, int], None]
Found = dict[str, tuple[Ints, Floats]]


def word_vectors(
    backbone: Backbone, texts: Sequence[str], rows: Mapping[str, Ints], *, reading: Literal["last", "layers"],
    progress: Progress | None = None,
) -> Found:  # fmt: skip
    """By word: the rows in which it was found, and its (rows, width) float32 vectors there.

    A row whose word lies beyond ``max_length`` is left out: texts are read from their start, whatever ``encoder.long``
    says of whole texts. Memory grows with the vectors that are asked for, not with the texts.

    Args:
        rows: by word in lower case, the places in ``texts`` where its vector is wanted.
        reading: of the hidden states: the last layer's, or the mean of the embeddings' output and all layers'.
    """
    asked: dict[int, set[str]] = defaultdict(set)
    for word, places in rows.items():
        for place in places.tolist():
            asked[place].add(word)
    wanted = sorted(asked)
    found: dict[str, list[tuple[int, Floats]]] = defaultdict(list)
    for start in range(0, len(wanted), GROUP):
        group = wanted[start : start + GROUP]
        for (row, word), vector in _run(backbone, [texts[row] for row in group], group, asked, reading):
            found[word].append((row, vector))
        if progress is not None:
            progress(start + len(group), len(wanted))
    return {
        word: (np.array([row for row, _ in pairs], dtype=np.int64), np.stack([vector for _, vector in pairs]))
        for word, pairs in ((word, sorted(found[word], key=lambda pair: pair[0])) for word in rows if word in found)
    }


@torch.inference_mode()
def _run(
    backbone: Backbone, texts: Sequence[str], rows: Sequence[int], asked: Mapping[int, set[str]], reading: str
) -> list[tuple[tuple[int, str], Floats]]:
    backbone.eval()
    device = next(backbone.parameters()).device
    settings = backbone.settings.model_copy(update={"long": "head"})
    reader = TextReader(backbone.tokenizer, settings, backbone.prompt, backbone.positions)
    tokens = tokenize(reader, texts)
    places = [_Places.of(backbone, text, asked[row]) for text, row in zip(texts, rows, strict=True)]
    found = []
    for batch in token_batches(tokens.row_lengths, backbone.batch_tokens):
        states = _states(backbone, tokens, batch, device, reading)
        for at, place in enumerate(batch.tolist()):
            for word, columns in places[place].columns.items():
                vector = states[at, torch.as_tensor(columns, device=device)].mean(0)
                found.append(((rows[place], word), vector.float().cpu().numpy()))
    return found


def _states(backbone: Backbone, tokens: Tokens, rows: Ints, device: torch.device, reading: str) -> Tensor:
    """(rows, tokens, width) hidden states."""
    batch = tokens.batch(rows, device)
    output = backbone.body(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=reading == "layers"
    )
    if reading == "last":
        last: Tensor = output.last_hidden_state
        return last
    return torch.stack([hidden.float() for hidden in output.hidden_states]).mean(0)


@dataclass(frozen=True)
class _Places:
    """By word of one text, the columns of its sub-tokens within the sequence."""

    columns: dict[str, list[int]]

    @classmethod
    def of(cls, backbone: Backbone, text: str, words: set[str]) -> _Places:
        encoded = backbone.tokenizer(
            backbone.prompt + text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        before = backbone.wrap([-1]).index(-1)
        spans = encoded["offset_mapping"][: backbone.room]
        starts = {start + len(backbone.prompt): (word, end + len(backbone.prompt))
                  for word, start, end in words_of(text) if word in words}  # fmt: skip
        columns: dict[str, list[int]] = defaultdict(list)
        current, until = "", 0
        for column, (start, end) in enumerate(spans):
            # Tokenizers of bytes count the blank before a word as its own: the first character that is not one counts.
            first = start + len(here := (backbone.prompt + text)[start:end]) - len(here.lstrip())
            if first in starts:
                current, until = starts[first]
            if first < until and end > start:
                columns[current].append(before + column)
        return cls(dict(columns))
