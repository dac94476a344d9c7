"""Seconds from a command to the end of its first optimizer step, each in a fresh process.

Compared: `nlptl run` on LoRA over SMS texts, and a plain Trainer script with PEFT over the same rows and encoder (its
imports, the file, tokenising, the model, one step of 8 texts). Before its first step ours does what the script does not
do at all: it validates the recipe, looks for copies across the split, encodes every text and solves the heads that LoRA
starts from. So no bar is set for the ratio.
Fair, because: the same rows, encoder, rank and matrices of LoRA, files in the page cache, and one hook of torch that
ends either process after its first step.

    python benchmarks/first_step.py sms_spam.parquet [rows] [repeats]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any


def _end_at_first_step() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def end(*_: Any) -> None:
        os._exit(0)

    register_optimizer_step_post_hook(end)


def ours(path: str, folder: str) -> None:
    """The command, in this process."""
    from nlptl.cli import main

    _end_at_first_step()
    recipe = Path(folder, "recipe.yaml")
    recipe.write_text(
        f"name: first-step\ndata: {{kind: parquet, path: {path}}}\ntune: {{kind: lora}}\n"
        "heads: {spam: {kind: linear, column: label, labels: [ham, spam], positive: spam}}\n",
        encoding="utf-8",
    )
    main(["run", str(recipe), "--out", f"{folder}/run"])


def theirs(path: str, folder: str) -> None:
    """The script."""
    import pandas as pd
    from _peer import Classifier, rows_of, trainer
    from transformers import AutoModel, AutoTokenizer

    from nlptl.encoder.locate import locate

    _end_at_first_step()
    table = pd.read_parquet(path)
    base = locate("default", None).path
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = rows_of(tokenizer, list(table.text), (table.label == "spam").astype(int))
    model = Classifier(AutoModel.from_pretrained(base, dtype="float32", add_pooling_layer=False))
    trainer(model, tokenizer, rows, folder, num_train_epochs=1).train()


def main(data: str, rows: str = "512", repeats: str = "5") -> None:
    """One cell."""
    import pandas as pd
    from _paired import cell, paired

    def measured() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            pd.read_parquet(data).drop_duplicates("text").iloc[: int(rows)].to_parquet(path, index=False)
            return paired({"ours": partial(run, path, "ours"), "Trainer": partial(run, path, "theirs")},
                          repeats=int(repeats))  # fmt: skip

    cell("first_step", f"SMS, {rows} texts", measured)


def run(path: Path, which: str) -> None:
    """A fresh process, with a store of its own, up to the first step."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, __file__, f"--{which}", str(path), folder], check=True, capture_output=True,
            env=os.environ | {"NLPTL_CACHE": f"{folder}/cache"},
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] in ("--ours", "--theirs"):
        {"--ours": ours, "--theirs": theirs}[sys.argv[1]](*sys.argv[2:])
    else:
        main(*sys.argv[1:])
