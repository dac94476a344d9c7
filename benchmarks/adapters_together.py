"""LoRA adapters of many users: trained side by side in one bank, beside one PEFT adapter after another.

Compared: ours (`nlptl.train.lanes`, one bank) against a stock PEFT adapter for each user in turn, trained by our own
loop and by transformers' Trainer: the same rows, batches (all rows of a user), start, optimizer, schedule and clipping,
dropout off in all, so that every loss is the same (`furthest loss`: the largest difference over all steps, users and
systems, in nats). The body is loaded once, one PEFT adapter is filled anew for each user, and none is saved.
Fair, because: what is left beside our own loop is only that many small batches became few large ones; beside Trainer
also what it does around a step, and its padding.

    python benchmarks/adapters_together.py enron_spam_4users.parquet [users] [texts a user] [repeats]

Users are made by dealing the file's mails to so many people; labels are as they are.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paired import cell, paired
from _peer import Classifier, rows_of
from accelerate import Accelerator
from peft import get_peft_model
from transformers import AutoModel, DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.heads import Linear
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.lanes import train_lanes
from nlptl.train.loop import train
from nlptl.train.schedule import midway, rate_factor
from nlptl.tune import Lora
from nlptl.tune._bank import PREFIX, Bank

TASK = Task("spam", Linear(), ("ham", "spam"))
EPOCHS = 2
Losses = dict[int, list[float]]
"""By user, from 1: of each step, in nats."""


class Spam(Classifier):
    """One logit, as the head of ``TASK`` has."""

    def __init__(self, body: Any) -> None:
        super().__init__(body, labels=1)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> dict[str, Any]:
        logits = super().forward(input_ids, attention_mask)["logits"][:, 0]
        return {"loss": torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float()), "logits": logits}


@dataclass
class Users:
    """Who has which texts, and what all systems start from."""

    texts: list[str]
    labels: np.ndarray
    users: int
    precision: str
    encoder: Encoder

    def __post_init__(self) -> None:
        self.each = len(self.texts) // self.users
        self.settings = Train(epochs=EPOCHS, batch_rows=self.each)
        self.accelerator = Accelerator()
        self.own = np.repeat(np.arange(1, self.users + 1), self.each)
        backbone = self.backbone().switch_off_dropout()
        torch.manual_seed(0)
        self.head = torch.nn.Linear(backbone.width, 1)
        self.bank = Lora(per="domain", together=self.users).stack(backbone)
        own_head = TaskHead(TASK, "last", self.bank.own_head("spam", self.head))
        self.network = Network(backbone, {"spam": own_head}).to(self.accelerator.device)
        tokens = tokenize(backbone, self.texts)
        ids = [str(row) for row in range(len(self.texts))]
        self.examples = Examples(ids, {"spam": TASK}, {"spam": self.labels}, tokens.row_lengths, tokens)

    def backbone(self) -> Backbone:
        """Loaded anew."""
        return Backbone.load(self.encoder, device=self.accelerator.device).freeze(self.precision)

    def drawn(self, slot: int) -> Bank:
        """The bank, its ``slot`` as the user's adapter starts."""
        self.bank.draw(slot, torch.Generator().manual_seed(slot))
        return self.bank

    def rows_of(self, slot: int) -> np.ndarray:
        """The rows of a user, all of which are a batch."""
        return np.flatnonzero(self.own == slot)


def side_by_side(users: Users) -> Losses:
    """Ours."""
    found: Losses = {}
    for slot in range(1, users.users + 1):
        users.drawn(slot)

    def log(entry: dict[str, Any]) -> None:
        for lane, loss in entry["losses"].items():
            found.setdefault(lane, []).append(loss)

    train_lanes(
        users.network, users.bank, users.examples, users.own, settings=users.settings, seed=0,
        accelerator=users.accelerator, log=log, progress=lambda done, total: None,
    )  # fmt: skip
    return found


def start_alike(adapted: torch.nn.Module, users: Users, slot: int) -> None:
    """Fill PEFT's one adapter with the start of a user's; it learns, and nothing else in the body."""
    places = dict(adapted.named_parameters())
    with torch.no_grad():
        for name, tensor in users.drawn(slot).adapter(slot).items():
            place = name.replace(".weight", ".default.weight")
            places[place if place in places else place.removeprefix(PREFIX)].copy_(tensor)
    for name, parameter in places.items():
        parameter.requires_grad_(".lora_" in name)


def our_loop(users: Users, alone: Backbone) -> Losses:
    """One user after another, by `nlptl.train.loop`, through PEFT's own layers."""
    found: Losses = {}
    for slot in range(1, users.users + 1):
        start_alike(alone.body, users, slot)
        head = TaskHead(TASK, "last", torch.nn.Linear(alone.width, 1).to(users.accelerator.device))
        head.net.load_state_dict(users.head.state_dict())
        rows, examples = users.rows_of(slot), users.examples
        part = replace(
            examples, ids=[examples.ids[row] for row in rows], labels={"spam": users.labels[rows]},
            lengths=examples.lengths[rows], tokens=tokenize(alone, [users.texts[row] for row in rows]),
        )  # fmt: skip
        logged: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder:
            train(
                Network(alone, {"spam": head}), part, validation=None,
                settings=users.settings.model_copy(update={"checkpoint_steps": 10**6}), seed=0, folder=Path(folder),
                fingerprint="", resume=False, accelerator=users.accelerator, log=logged.append,
                progress=lambda done, total: None,
            )  # fmt: skip
        found[slot] = [entry["loss"] for entry in logged]
    return found


class Logged(TrainerCallback):
    """What a Trainer says of its steps."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        self.losses += [logs["loss"]] if "loss" in logs else []


def by_trainer(users: Users, model: Spam, rows: list[dict[str, Any]], tokenizer: Any) -> Losses:
    """One user after another, by transformers' Trainer."""
    found: Losses = {}
    settings = users.settings
    for slot in range(1, users.users + 1):
        start_alike(model.body, users, slot)
        model.head.load_state_dict(users.head.state_dict())
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(midway(step, EPOCHS), warmup=settings.warmup, decay=settings.decay)
        )
        logged = Logged()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, num_train_epochs=EPOCHS, per_device_train_batch_size=users.each, logging_steps=1,
                max_grad_norm=settings.clip or 0.0, save_strategy="no", disable_tqdm=True, report_to="none",
                use_cpu=not torch.cuda.is_available(),
            )  # fmt: skip
            teaching = [rows[row] for row in users.rows_of(slot)]
            Trainer(
                model, arguments, train_dataset=teaching, data_collator=DataCollatorWithPadding(tokenizer),
                optimizers=(optimizer, schedule), callbacks=[logged],
            ).train()  # fmt: skip
        found[slot] = logged.losses
    return found


def measure(
    texts: list[str], labels: np.ndarray, count: int, repeats: int, precision: str, *,
    encoder: Encoder | None = None, warm: bool = False,
) -> dict[str, Any]:  # fmt: skip
    users = Users(texts, labels, count, precision, encoder or Encoder(max_length=64))
    alone = users.backbone()
    alone.body = get_peft_model(alone.body, Lora()._config(alone))  # PEFT's own layers, not ours
    alone.switch_off_dropout()
    body = AutoModel.from_pretrained(alone.located.path, dtype=getattr(torch, precision), add_pooling_layer=False)
    model = Spam(body)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    rows = rows_of(alone.tokenizer, texts, labels, length=users.encoder.max_length)
    losses: dict[str, Losses] = {}

    def keep(name: str, system: partial[Losses]) -> None:
        losses[name] = system()

    systems = {
        "side by side": partial(side_by_side, users),
        "one after another": partial(our_loop, users, alone),
        "one after another, Trainer": partial(by_trainer, users, model, rows, alone.tokenizer),
    }
    found = paired({name: partial(keep, name, system) for name, system in systems.items()}, repeats=repeats, warm=warm)
    apart = [
        np.subtract(losses["side by side"][slot], other[slot])
        for other in losses.values() for slot in range(1, count + 1)
    ]  # fmt: skip
    about = {"users": count, "texts a user": users.each, "precision": precision}
    return found | about | {"furthest loss": float(np.abs(np.concatenate(apart)).max())}


def main(data: str, users: str = "64", each: str = "16", repeats: str = "3") -> None:
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
