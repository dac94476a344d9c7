"""Texts of many users in one batch, each through the user's own adapter, beside PEFT's `adapter_names` and by user.

Compared: token ids to hidden states of one batch of texts by as many users, in the order in which they come: ours as
`predict` runs a batch (gathered, batched product; on a processor texts lie end to end), PEFT with `adapter_names`, and
PEFT with `set_adapter` user by user. Adapters lie in memory in all three; float32.
Fair, because: the same adapters and the same padded batch of token ids is given to both; the hidden states of all
tokens that count are compared (`furthest`).

    python benchmarks/mixed_users.py sms_spam.parquet [users,users,…] [repeats]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paired import cell, paired
from peft import PeftModel
from transformers import AutoModel

from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.recipe import Encoder
from nlptl.tune import Lora
from nlptl.tune._shelf import adapter_id, put_away


@torch.inference_mode()
def measure(
    texts: list[str], users: int, repeats: int, *, encoder: Encoder | None = None, device: str = "cpu"
) -> dict[str, Any]:
    backbone = Backbone.load(encoder or Encoder(max_length=64), device=device)
    bank = Lora(per="domain", together=users).stack(backbone)
    names = [adapter_id(str(user)) for user in range(users)]
    with tempfile.TemporaryDirectory() as folder:
        for user in range(users):
            generator = torch.Generator().manual_seed(user)
            bank.draw(user + 1, generator)
            for layer in bank.layers.values():
                drawn = torch.randn(layer.lora_B.shape[1:], generator=generator)
                layer.lora_B[user + 1] = 0.02 * drawn
            put_away(bank, user + 1, str(user), Path(folder), "base")
        body = AutoModel.from_pretrained(backbone.located.path, dtype="float32", add_pooling_layer=False)
        peft = PeftModel.from_pretrained(body, str(Path(folder) / names[0]), adapter_name=names[0])
        for name in names[1:]:
            peft.load_adapter(str(Path(folder) / name), adapter_name=name)
    peft.eval().to(device)
    tokens = tokenize(backbone, texts)
    batch = tokens.batch(np.arange(users), device)
    lengths = batch.attention_mask.sum(1).tolist()
    seats = torch.arange(1, users + 1, device=device)
    found: dict[str, torch.Tensor] = {}

    def ours() -> None:
        with bank.route.taken(seats, batch.owners):
            found["ours"] = backbone.token_vectors(batch)

    def mixed() -> None:
        given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        found["mixed"] = peft(**given, adapter_names=names).last_hidden_state

    def by_user() -> None:
        for row, length in enumerate(lengths):
            peft.set_adapter(names[row])
            peft(
                input_ids=batch.input_ids[row : row + 1, :length],
                attention_mask=batch.attention_mask[row : row + 1, :length],
            )

    result = paired({"ours": ours, "adapter_names": mixed, "user by user": by_user}, repeats=repeats)
    furthest = float((found["ours"] - found["mixed"])[batch.attention_mask.bool()].abs().max())
    return result | {"users": users, "furthest": furthest}


def main(data: str, users: str = "8,64,256", repeats: str = "5") -> None:
    """One cell a number of users; each has one text."""
    texts = list(dict.fromkeys(pd.read_parquet(data).text))
    for count in map(int, users.split(",")):
        cell("mixed_users", f"{count} users", lambda count=count: measure(texts[:count], count, int(repeats)))


if __name__ == "__main__":
    main(*sys.argv[1:])
