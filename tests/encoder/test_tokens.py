from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import PAD_MULTIPLE, TextReader, Tokens, token_batches, tokenize
from nlptl.errors import ModelError
from nlptl.recipe import Encoder


def load(folder: Path, **settings: Any) -> Backbone:
    return Backbone.load(Encoder(model=str(folder), **{"max_length": 8, **settings}))


def written(backbone: Backbone, tokens: Tokens, row: int) -> list[str]:
    """The sequences of a row in words, one string each."""
    spans = zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    sequences = [tokens.ids[start:end].tolist() for start, end in spans][tokens.starts[row] : tokens.starts[row + 1]]
    return [" ".join(backbone.tokenizer.convert_ids_to_tokens(ids)) for ids in sequences]


LONG = "the of to and is in it you that"


@pytest.mark.parametrize(
    ("long", "expected"),
    [
        ("head", ["[CLS] the of to and is in [SEP]"]),
        ("head_tail", ["[CLS] the of to it you that [SEP]"]),
        ("chunks", ["[CLS] the of to and is in [SEP]", "[CLS] it you that [SEP]"]),
    ],
)
def test_what_is_read_of_long_texts(tiny_encoder: Path, long: str, expected: list[str]) -> None:
    backbone = load(tiny_encoder, long=long)
    tokens = tokenize(backbone, ["the of", LONG])
    assert written(backbone, tokens, 0) == ["[CLS] the of [SEP]"]
    assert written(backbone, tokens, 1) == expected
    assert tokens.truncated == (0 if long == "chunks" else 0.5)


def test_an_odd_room_keeps_the_larger_half_at_the_head(tiny_encoder: Path) -> None:
    backbone = load(tiny_encoder, long="head_tail", max_length=7)
    assert written(backbone, tokenize(backbone, [LONG]), 0) == ["[CLS] the of to you that [SEP]"]


def test_the_prompt_stands_before_every_text(tiny_encoder: Path) -> None:
    backbone = load(tiny_encoder, prompt="you are ")
    assert written(backbone, tokenize(backbone, ["the of"]), 0) == ["[CLS] you are the of [SEP]"]


def test_pairs_are_joined_and_only_the_cut_ones_count_as_truncated(tiny_encoder: Path) -> None:
    backbone = load(tiny_encoder)
    tokens = tokenize(backbone, ["the of", "the of to", "the of to and is"], ["you", "it you", "it you that"])
    assert written(backbone, tokens, 0) == ["[CLS] the of [SEP] you [SEP]"]
    assert len(written(backbone, tokens, 1)[0].split()) == 8, "just fits"
    assert len(written(backbone, tokens, 2)[0].split()) == 8
    assert tokens.truncated == pytest.approx(1 / 3)
    types = tokens.batch(np.array([0])).token_type_ids
    assert types is not None and types[0, :6].tolist() == [0, 0, 0, 0, 1, 1]


def test_a_tokenizer_in_python_reads_pairs_as_a_fast_one_does(tiny_encoder: Path) -> None:
    from transformers import BertJapaneseTokenizer

    fast = load(tiny_encoder)
    slow = BertJapaneseTokenizer(str(tiny_encoder / "vocab.txt"), word_tokenizer_type="basic", do_lower_case=True)
    reader = TextReader(slow, fast.settings, "", None)
    texts, pairs = ["the of", "the of to", "the of to and is"], ["you", "it you", "it you that"]
    read, expected = tokenize(reader, texts, pairs), tokenize(fast, texts, pairs)
    assert not slow.is_fast and np.array_equal(read.ids, expected.ids) and read.truncated == expected.truncated > 0
    assert read.types is not None and expected.types is not None and np.array_equal(read.types, expected.types)
    assert np.array_equal(tokenize(reader, texts).ids, tokenize(fast, texts).ids)


@pytest.mark.parametrize(
    ("long", "expected"),
    [
        ("head", ["[CLS] the [SEP]"]),
        ("head_tail", ["[CLS] the [SEP]"]),
        ("chunks", ["[CLS] the [SEP]", "[CLS] of [SEP]", "[CLS] to [SEP]"]),
    ],
)
def test_a_room_of_one_token_holds_one(tiny_encoder: Path, long: str, expected: list[str]) -> None:
    backbone = load(tiny_encoder, long=long, max_length=3)
    assert written(backbone, tokenize(backbone, ["the of to"]), 0) == expected


@pytest.mark.parametrize(("length", "pairs", "least"), [(2, None, 3), (2, ["you"], 5), (4, ["you"], 5)])
def test_no_room_for_a_token_is_refused(tiny_encoder: Path, length: int, pairs: list[str] | None, least: int) -> None:
    backbone = load(tiny_encoder, max_length=length)
    with pytest.raises(ModelError, match=f"special tokens around each .*; set encoder.max_length to {least} or more"):
        tokenize(backbone, ["the of"], pairs)
    roomy = load(tiny_encoder, max_length=least)
    assert len(tokenize(roomy, ["the of"], pairs).ids) == least


def test_unknown_tokens_are_counted(tiny_encoder: Path) -> None:
    tokens = tokenize(load(tiny_encoder), ["the \u4e2d of"])
    assert tokens.unknown == pytest.approx(1 / 5)


def test_batches_are_padded_and_know_their_owners(tiny_encoder: Path) -> None:
    backbone = load(tiny_encoder, long="chunks")
    tokens = tokenize(backbone, ["the of", LONG, ""])
    batch = tokens.batch(np.array([1, 2]))
    assert batch.rows == 2 and batch.owners.tolist() == [0, 0, 1]
    assert batch.input_ids.shape == batch.attention_mask.shape == (3, PAD_MULTIPLE)
    assert batch.attention_mask.sum(1).tolist() == [8, 5, 2]
    assert (batch.input_ids[batch.attention_mask == 0] == tokens.pad).all()


def test_no_texts_are_no_rows(tiny_encoder: Path) -> None:
    tokens = tokenize(load(tiny_encoder), [])
    assert len(tokens) == 0 and token_batches(tokens.row_lengths, 64) == []


def test_blocks_do_not_show(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load(tiny_encoder)
    texts = ["the " * count for count in range(7)]
    whole = tokenize(backbone, texts)
    monkeypatch.setattr("nlptl.encoder.tokens.CHUNK", 2)
    assert np.array_equal(tokenize(backbone, texts).ids, whole.ids)


def test_token_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 120, size=500)
    lengths[7] = 900
    batches = token_batches(lengths, 512)
    assert sorted(np.concatenate(batches)) == list(range(500))
    for batch in batches:
        padded = -(-int(lengths[batch].max()) // PAD_MULTIPLE) * PAD_MULTIPLE
        assert len(batch) * padded <= 512 or batch.tolist() == [7]
    ordered = lengths[np.concatenate(batches)]
    assert (np.diff(ordered) >= 0).all()
