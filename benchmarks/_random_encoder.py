"""A BERT of random weights in a folder, with a tokenizer of made words: speed and memory do not ask for sense."""

from __future__ import annotations

from pathlib import Path

WORDS = 1000


def random_encoder(
    folder: Path, *, width: int = 128, layers: int = 2, heads: int = 2, positions: int = 64, vocabulary: int = 0
) -> Path:
    """Write it to ``folder``; the matrices between are four times the width, the two-layer default's twice.

    Args:
        vocabulary: rows of the embeddings; 0: as many as there are words.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(WORDS))]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=positions).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=max(len(words), vocabulary), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=width * (2 if layers == 2 else 4), max_position_embeddings=positions,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def made_texts(count: int, words: int, seed: int = 0) -> list[str]:
    """``count`` texts of so many words."""
    import torch

    drawn = torch.randint(0, WORDS, (count, words), generator=torch.Generator().manual_seed(seed)).tolist()
    return [" ".join(f"w{word}" for word in row) for row in drawn]
