"""Seconds of one epoch of LoRA over SMS texts, beside transformers' Trainer with PEFT.

Compared: the loop alone, from tokenised rows to the last step: ours (`nlptl.train.loop`), Trainer at its defaults
(batches of 8), Trainer at its best settings (`train_sampling_strategy="group_by_length"`, bf16; batches of 8 and of
64), and ours without dropout in the encoder, which is another regularisation and so stands apart.
Fair, because: the same texts, encoder, LoRA rank, scale and matrices, mean pooling and a linear head, one epoch over
the same rows, one process. Ours counts batches in tokens (2,048), which is about 64 of these texts.

A second cell sets ours beside itself with what is not attention in each layer put through ``torch.compile``; seconds
that compiling takes are kept beside the ratio and not in it.

    python benchmarks/training.py sms_spam.parquet [rows] [repeats] [compile]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paired import cell, paired
from _peer import Classifier, rows_of, trainer
from accelerate import Accelerator
from transformers import AutoModel, AutoTokenizer

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.locate import locate
from nlptl.encoder.tokens import tokenize
from nlptl.heads import Linear
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.loop import train
from nlptl.tune import Lora


def theirs(texts: list[str], labels: np.ndarray, **settings: Any) -> Any:
    base = locate("default", None).path
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = rows_of(tokenizer, texts, labels)
    model = Classifier(AutoModel.from_pretrained(base, dtype="float32", add_pooling_layer=False))

    def epoch() -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer(model, tokenizer, rows, folder, num_train_epochs=1, **settings).train()

    return epoch


def ours(
    texts: list[str], labels: np.ndarray, *, dropout: bool = True, encoder: Encoder | None = None,
    batch_tokens: int = 2048, compiled: bool = False,
) -> Any:  # fmt: skip
    accelerator = Accelerator()
    backbone = Lora().apply(Backbone.load(encoder or Encoder(), device=accelerator.device))
    backbone.freeze(resolve_precision("auto", accelerator.device))
    if not dropout:
        backbone.switch_off_dropout()
    for layer in backbone.body.encoder.layer if compiled else ():
        for part in (layer.attention.output, layer.intermediate, layer.output):
            part.forward = torch.compile(part.forward, dynamic=True)
    task = Task("spam", Linear(), ("ham", "spam"))
    network = Network(backbone, {"spam": TaskHead.fresh(task, "last", backbone.width)}).to(accelerator.device)
    tokens = tokenize(backbone, texts)
    ids = [str(row) for row in range(len(texts))]
    examples = Examples(ids, {"spam": task}, {"spam": labels}, tokens.row_lengths, tokens)

    settings = Train(batch_tokens=batch_tokens)

    def epoch() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(
                network, examples, validation=None, settings=settings, seed=0, folder=Path(folder), fingerprint="",
                resume=False, accelerator=accelerator, log=lambda entry: None, progress=lambda done, total: None,
            )  # fmt: skip

    return epoch


def compiling(texts: list[str], labels: np.ndarray, repeats: int) -> dict[str, Any]:
    """Ours, as it is and compiled; the first epoch of each, in which compiling happens, apart."""
    systems = {"ours": ours(texts, labels), "ours, compiled": ours(texts, labels, compiled=True)}
    first = {}
    for name, epoch in systems.items():
        began = time.perf_counter()
        epoch()
        first[name] = time.perf_counter() - began
    return paired(systems, repeats=repeats, warm=False) | {"seconds of the first epoch": first}


def main(data: str, rows: str = "512", repeats: str = "3", which: str = "peers") -> None:
    """All in turn; a network goes on learning where the repeat before left it."""
    table = pd.read_parquet(data).iloc[: int(rows)]
    texts, labels = list(table.text), (table.label == "spam").to_numpy().astype(np.int64)
    if which == "compile":
        cell("training", f"SMS, {rows} texts, compiled", lambda: compiling(texts, labels, int(repeats)))
        return
    best = {"train_sampling_strategy": "group_by_length", "bf16": True}
    systems = {
        "ours": ours(texts, labels),
        "Trainer, defaults": theirs(texts, labels),
        "Trainer, by length, bf16": theirs(texts, labels, **best),
        "Trainer, by length, bf16, batches of 64": theirs(texts, labels, per_device_train_batch_size=64, **best),
        "ours without dropout": ours(texts, labels, dropout=False),
    }
    cell("training", f"SMS, {rows} texts", lambda: paired(systems, repeats=int(repeats), warm=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
