"""LoRA adapters of many users: trained side by side in one bank, beside one PEFT adapter after another.

Compared: ours (`nlptl.train.lanes`, one bank) against our own loop on a stock PEFT adapter for each user in turn: the
same rows, batches, order, start, optimizer, schedule and clipping, dropout off in both, so that every loss is the same
(`furthest loss`: the largest difference over all steps and users, in nats). The body is loaded once, one PEFT adapter
is filled anew for each user, and none is saved.
Fair, because: what is left is only that many small batches became few large ones.

    python benchmarks/adapters_together.py enron_spam_4users.parquet [users] [texts a user] [repeats]

Users are made by dealing the file's mails to so many people; labels are as they are.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paired import cell, paired
from accelerate import Accelerator
from peft import get_peft_model

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.heads import Linear
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.lanes import train_lanes
from nlptl.train.loop import train
from nlptl.tune import Lora
from nlptl.tune._bank import PREFIX

TASK = Task("spam", Linear(), ("ham", "spam"))
SETTINGS = Train(epochs=2, batch_rows=16)


def measure(
    texts: list[str], labels: np.ndarray, users: int, repeats: int, precision: str, *,
    encoder: Encoder | None = None, warm: bool = False,
) -> dict[str, Any]:  # fmt: skip
    accelerator = Accelerator()
    device = accelerator.device
    encoder = encoder or Encoder(max_length=64)
    own = np.repeat(np.arange(1, users + 1), len(texts) // users)
    stacked = Backbone.load(encoder, device=device).freeze(precision).switch_off_dropout()
    torch.manual_seed(0)
    start = torch.nn.Linear(stacked.width, 1)
    tokens = tokenize(stacked, texts)
    examples = Examples(
        [str(row) for row in range(len(texts))], {"spam": TASK}, {"spam": labels}, tokens.row_lengths, tokens
    )
    bank = Lora(per="domain", together=users).stack(stacked)
    together = Network(stacked, {"spam": TaskHead(TASK, "last", bank.own_head("spam", start))}).to(device)
    alone = Backbone.load(encoder, device=device).freeze(precision)
    alone.body = get_peft_model(alone.body, Lora()._config(alone))  # PEFT's own layers, not ours
    alone.switch_off_dropout()
    adapted = dict(alone.body.named_parameters())
    losses: dict[str, dict[int, list[float]]] = {}

    def side_by_side() -> None:
        found: dict[int, list[float]] = {}
        for slot in range(1, users + 1):
            bank.draw(slot, torch.Generator().manual_seed(slot))

        def log(entry: dict[str, Any]) -> None:
            for lane, loss in entry["losses"].items():
                found.setdefault(lane, []).append(loss)

        train_lanes(
            together, bank, examples, own, settings=SETTINGS, seed=0, accelerator=accelerator, log=log,
            progress=lambda done, total: None,
        )  # fmt: skip
        losses["together"] = found

    def one_after_another() -> None:
        found: dict[int, list[float]] = {}
        for slot in range(1, users + 1):
            bank.draw(slot, torch.Generator().manual_seed(slot))
            with torch.no_grad():
                for name, tensor in bank.adapter(slot).items():
                    place = name.replace(".weight", ".default.weight")
                    adapted[place if place in adapted else place.removeprefix(PREFIX)].copy_(tensor)
            for name, parameter in adapted.items():
                parameter.requires_grad_(".lora_" in name)
            head = TaskHead(TASK, "last", torch.nn.Linear(stacked.width, 1).to(device))
            head.net.load_state_dict(start.state_dict())
            rows = np.flatnonzero(own == slot)
            part = replace(
                examples, ids=[examples.ids[row] for row in rows], labels={"spam": labels[rows]},
                lengths=examples.lengths[rows], tokens=tokenize(alone, [texts[row] for row in rows]),
            )  # fmt: skip
            logged: list[dict[str, Any]] = []
            with tempfile.TemporaryDirectory() as folder:
                train(
                    Network(alone, {"spam": head}), part, validation=None,
                    settings=SETTINGS.model_copy(update={"checkpoint_steps": 10**6}), seed=0, folder=Path(folder),
                    fingerprint="", resume=False, accelerator=accelerator, log=logged.append,
                    progress=lambda done, total: None,
                )  # fmt: skip
            found[slot] = [entry["loss"] for entry in logged]
        losses["alone"] = found

    found = paired({"side by side": side_by_side, "one after another": one_after_another}, repeats=repeats, warm=warm)
    apart = [np.subtract(losses["together"][slot], losses["alone"][slot]) for slot in range(1, users + 1)]
    about = {"users": users, "texts a user": len(texts) // users, "precision": precision}
    return found | about | {"furthest loss": float(np.abs(np.concatenate(apart)).max())}


def main(data: str, users: str = "64", each: str = "32", repeats: str = "3") -> None:
    """One cell a precision of the frozen weights."""
    count = int(users) * int(each)
    table = pd.read_parquet(data).sample(count, random_state=0)
    texts, labels = list(table.text), (table.label == "spam").to_numpy().astype(np.int64)
    for precision in ("float32", "bfloat16"):
        cell(
            "adapters_together", f"{users} users, {each} texts each, {precision}",
            lambda kind=precision: measure(texts, labels, int(users), int(repeats), kind),
        )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
