"""Tiny random bodies of the families, width 32, and a stand-in for what holds them."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

FAMILIES = (
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "deberta-v2", "mpnet", "distilbert", "albert",
    "modernbert",
)  # fmt: skip


def tiny_body(family: str, layers: int = 2) -> Any:
    """A body of random weights, the same on every call, dropout off."""
    config = AutoConfig.for_model(
        family,
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_dim=64,  # as distilbert calls it
        embedding_size=16,
        max_position_embeddings=40,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    )
    torch.manual_seed(0)
    return AutoModel.from_config(config).eval()


def holding(body: Any) -> Any:
    """What ``Tune.apply`` reads of a backbone."""
    return SimpleNamespace(body=body)


def hidden_states(body: Any) -> Tensor:
    """(layers + 1, tokens, width) of two made-up texts of unlike lengths, without padding."""
    ids = torch.tensor([[1, 7, 8, 9, 10, 2], [1, 11, 12, 2, 0, 0]])
    states = body(input_ids=ids, attention_mask=(ids != 0).long(), output_hidden_states=True).hidden_states
    return torch.stack(tuple(states))[:, ids != 0]
