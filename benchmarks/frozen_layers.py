"""Training the top layers with the frozen lower ones run once a text, beside running them in every epoch.

One sample of SMS texts (or another parquet file with columns ``text`` and ``label``), the default encoder of six
layers, 64 tokens, three epochs; the top one, two or three layers learn (``top_layers``) or have an adapter (``lora``).
Timed is the loop of ``nlptl.train`` and, on our side, the one pass through the lower layers before it. Fair, because:
the same rows, batches, steps, precision, kernels and dropout draws. Outputs are compared: all losses within 1e-4, else
it fails.

    python benchmarks/frozen_layers.py PARQUET_FILE [TEXTS] [REPEATS]
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

from nlptl.contracts import Task, Tune
from nlptl.encoder._lower import with_lower
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.tokens import tokenize
from nlptl.heads import Linear
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.loop import train
from nlptl.tune import Lora, TopLayers

TOLERANCE = 1e-4
SETTINGS = Train(epochs=3, batch_tokens=1024, lr=1e-3, checkpoint_steps=10_000)


def network(tune: Tune, task: Task) -> Network:
    """The same weights at each call."""
    torch.manual_seed(0)
    backbone = tune.apply(Backbone.load(Encoder(max_length=64))).freeze(resolve_precision("auto", "cpu"))
    return Network(backbone, {task.name: TaskHead(task, "last", Linear().build(backbone.width, task.outputs))})


def losses(made: Network, examples: Examples, *, reuse: bool) -> list[float]:
    """Of every step."""
    if reuse and examples.tokens is not None:
        examples = replace(examples, tokens=with_lower(made.backbone, examples.tokens, made.readings))
    with tempfile.TemporaryDirectory() as folder:
        logged, _ = train(
            made, examples, validation=None, settings=SETTINGS, seed=0, folder=Path(folder), fingerprint="",
            resume=False, accelerator=Accelerator(cpu=True), log=lambda entry: None, progress=lambda done, total: None,
        )  # fmt: skip
    return [entry["loss"] for entry in logged]


def measure(tune: Tune, rows: pd.DataFrame, repeats: int) -> dict[str, Any]:
    """The ratio of the time without reuse to that with it."""
    task = Task("label", Linear(), tuple(sorted(rows.label.unique())))
    tokens = tokenize(network(tune, task).backbone, list(rows.text))
    examples = Examples(
        ids=[str(row) for row in range(len(rows))], tasks={task.name: task},
        labels={task.name: task.encode(list(rows.label))}, lengths=tokens.row_lengths, tokens=tokens,
    )  # fmt: skip
    found: dict[bool, list[float]] = {}

    def system(reuse: bool) -> Any:
        made = iter([network(tune, task) for _ in range(repeats)])  # loading is not timed

        def run() -> None:
            found[reuse] = losses(next(made), examples, reuse=reuse)

        return run

    timed = paired({"reused": system(True), "run in every epoch": system(False)}, repeats=repeats, warm=False)
    apart = float(np.abs(np.subtract(found[True], found[False])).max())
    if apart > TOLERANCE:
        raise SystemExit(f"losses differ by {apart}")
    return timed | {"texts": len(rows), "largest difference of a loss": apart}


def main(path: str, texts: str = "1000", repeats: str = "3") -> None:
    """Measure what is not there yet."""
    rows = pd.read_parquet(path).dropna(subset=["label"]).sample(int(texts), random_state=0)
    name = Path(path).stem
    for kind in (TopLayers, Lora):
        for tune in (kind(layers=count) for count in (1, 2, 3)):
            cell("frozen_layers", f"{name}, {tune.kind}, top {tune.layers} of 6",
                 lambda tune=tune: measure(tune, rows, int(repeats)))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
