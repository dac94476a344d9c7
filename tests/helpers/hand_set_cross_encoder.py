"""A cross-encoder with weights set by hand, whose answers are known: a text entails the hypothesis about its topic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

TEXT_WORDS = (("goal", "team"), ("bank", "price"))
"""Words of texts, by topic."""
LABEL_WORDS = (("sport", "games"), ("money", "finance"))
"""Words of hypotheses, by topic."""
NLI = ("contradiction", "neutral", "entailment")
SURE, READINESS = 4.0, 5.0
LARGE = 1000.0


def logit(topics: Sequence[int], asked: int) -> tuple[float, float]:
    """What it says of a text with words of ``topics``: the logits of entailment and contradiction of topic ``asked``.

    It is readier to see topic 1 entailed, whatever the text says: a label that wins by its wording.
    """
    said = SURE * (asked in topics) - SURE / 2
    return said + READINESS * (asked == 1), -said


@torch.no_grad()
def save_cross_encoder(folder: Path, outputs: Sequence[str] = NLI) -> Path:
    """Write a BERT of one layer, ``outputs`` being what its three logits are called.

    Dimensions 0 and 1 hold words of texts by topic, 2 and 3 of hypotheses, 4 to 7 their negatives, so that layer norm
    finds a mean of zero; 14 and 15 a large number and its negative, beside which nothing else changes its scale.
    Attention is uniform and gives the first token 64 times each word's share. The feed-forward layer makes, in
    dimensions 8 and 9, ``gelu(64 share of text words of topic k − 64² share of hypothesis words of the other topic)``,
    above 1 or about 0; the pooler makes that 1 or 0; the classifier does what ``logit`` says.
    """
    words = [word for topic in (*TEXT_WORDS, *LABEL_WORDS) for word in topic]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "this", "text", "is", "about", "on", ".", *words]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16,
        max_position_embeddings=64, id2label=dict(enumerate(outputs)),
        label2id={name: place for place, name in enumerate(outputs)},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    for parameter in model.parameters():
        parameter.zero_()
    for name, module in model.named_modules():
        if name.endswith("LayerNorm"):
            module.weight.fill_(LARGE * (2 / 16) ** 0.5)
    bert, layer = model.bert, model.bert.encoder.layer[0]
    embeddings = bert.embeddings.word_embeddings.weight
    embeddings[:, 14], embeddings[:, 15] = LARGE, -LARGE
    for place, topic in enumerate((*TEXT_WORDS, *LABEL_WORDS)):
        for word in topic:
            embeddings[vocabulary.index(word), [place, place + 4]] = torch.tensor([1.0, -1.0])
    layer.attention.self.value.weight[:8, :8] = 64 * torch.eye(8)
    layer.attention.output.dense.weight.copy_(torch.eye(16))
    _matrix(layer.intermediate.dense.weight, {(0, 0): 1, (0, 3): -64, (1, 1): 1, (1, 2): -64})
    _matrix(layer.output.dense.weight, {(8, 0): 1, (9, 1): 1, (10, 0): -1, (11, 1): -1})
    _matrix(bert.pooler.dense.weight, {(0, 8): 10, (1, 9): 10, (2, 3): 10})
    entailment, contradiction = (_place(outputs, start, default) for start, default in (("entail", 2), ("contra", 0)))
    _matrix(
        model.classifier.weight,
        {(entailment, 0): SURE, (entailment, 1): SURE, (entailment, 2): READINESS,
         (contradiction, 0): -SURE, (contradiction, 1): -SURE},
    )  # fmt: skip
    model.classifier.bias[entailment], model.classifier.bias[contradiction] = -SURE / 2, SURE / 2
    model.save_pretrained(folder)
    return folder


def _place(outputs: Sequence[str], start: str, default: int) -> int:
    return next((place for place, name in enumerate(outputs) if name.lower().startswith(start)), default)


def _matrix(weight: Tensor, entries: dict[tuple[int, int], float]) -> None:
    for place, value in entries.items():
        weight[place] = value
