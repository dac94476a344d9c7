"""Texts of many users in one batch, each through the user's own adapter, beside PEFT's `adapter_names` and by user.

Compared: token ids to hidden states of one batch of texts by as many users: ours (gathered, batched product), PEFT with
`adapter_names`, and PEFT with `set_adapter` user by user. Adapters lie in memory in all three; float32.
Fair, because: the same adapters, tokens and padding; the hidden states are compared (`furthest`).

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
    parts = [tokens.batch(np.arange(start, min(start + 64, users)), device) for start in range(0, users, 64)]
    seats = torch.arange(1, users + 1, device=device)
    found: dict[str, list[torch.Tensor]] = {}

    def ours() -> None:
        found["ours"] = []
        for place, batch in enumerate(parts):
            slots = seats[place * 64 : place * 64 + batch.rows]
            with bank.route.taken(slots, batch.owners):
                hidden = backbone.body(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
            found["ours"].append(hidden.last_hidden_state)

    def mixed() -> None:
        found["mixed"] = []
        for place, batch in enumerate(parts):
            hidden = peft(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask,
                adapter_names=names[place * 64 : place * 64 + batch.rows],
            )  # fmt: skip
            found["mixed"].append(hidden.last_hidden_state)

    def by_user() -> None:
        for place, batch in enumerate(parts):
            for row in range(batch.rows):
                length = int(batch.attention_mask[row].sum())
                peft.set_adapter(names[place * 64 + row])
                peft(input_ids=batch.input_ids[row : row + 1, :length],
                     attention_mask=batch.attention_mask[row : row + 1, :length])  # fmt: skip

    result = paired({"ours": ours, "adapter_names": mixed, "user by user": by_user}, repeats=repeats)
    furthest = max(float((a - b).abs().max()) for a, b in zip(found["ours"], found["mixed"], strict=True))
    return result | {"users": users, "furthest": furthest}


def main(data: str, users: str = "8,64,256", repeats: str = "5") -> None:
    """One cell a number of users; each has one text, in batches of 64."""
    texts = list(dict.fromkeys(pd.read_parquet(data).text))
    for count in map(int, users.split(",")):
        cell("mixed_users", f"{count} users", lambda count=count: measure(texts[:count], count, int(repeats)))


if __name__ == "__main__":
    main(*sys.argv[1:])
