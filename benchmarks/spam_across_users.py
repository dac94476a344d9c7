"""Wall time and accuracy of `recipes/spam_across_users.yaml` beside two epochs of transformers' Trainer with PEFT.

Compared: everything that each does, from the same rows in memory to answers on the unseen user's mail. Ours reads,
guards against leaks, encodes, solves, trains one epoch of LoRA and fits the baselines, with an empty store. Theirs
tokenises, trains two epochs and predicts.
Fair, because: the same teaching and scored rows (theirs are given ours, leaks already dropped), the same encoder, 128
tokens, LoRA of the same rank, scale and target matrices, the same peak learning rate and warm-up, batches of 32 as is
usual; mean pooling and a linear head on both sides. Trainer runs at its defaults (float32) in a fresh process.

    python benchmarks/spam_across_users.py mail.parquet williams-w3 [seed]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "spam_across_users.yaml"
RESULTS = Path(__file__).parent / "results" / "spam_across_users.json"


def ours(data: str, target: str, seed: str, folder: Path) -> dict[str, float]:
    """The whole command, with an empty store."""
    command = [sys.executable, "-m", "nlptl", "run", str(RECIPE), f"data.path={data}", f"transfer.target=[{target}]"]
    began = time.perf_counter()
    subprocess.run([*command, f"seed={seed}", "--out", str(folder)], check=True, capture_output=True,
                   env=os.environ | {"NLPTL_CACHE": str(folder / "cache")})  # fmt: skip
    seconds = time.perf_counter() - began
    results = json.loads((folder / "results.json").read_text())
    return {"seconds": seconds, "accuracy": results["overall"]["accuracy"]} | {
        name: table["overall"]["accuracy"] for name, table in results["baselines"].items()
    }


def theirs(data: str, target: str, seed: str) -> dict[str, float]:
    """This file again in a fresh process, as a Trainer script."""
    command = [sys.executable, __file__, "--trainer", data, target, seed]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"seconds": time.perf_counter() - began} | json.loads(done.stdout.splitlines()[-1])


def trainer(data: str, target: str, seed: int) -> None:
    """Two epochs of Trainer with PEFT LoRA on the rows of our plan; prints accuracy and the seconds of planning."""
    import numpy as np
    import torch
    from _peer import Classifier, rows_of
    from _peer import trainer as make
    from transformers import AutoModel, AutoTokenizer

    from nlptl.contracts import Quarantine
    from nlptl.data._read import read
    from nlptl.encoder.locate import locate
    from nlptl.fitting.corpus import Corpus
    from nlptl.recipe import Recipe
    from nlptl.transfer.leaks import Signatures, guard
    from nlptl.transfer.plan import plan

    began = time.perf_counter()
    recipe = Recipe.load(RECIPE, f"data.path={data}", f"transfer.target=[{target}]")
    corpus = Corpus.of(read(recipe.data, recipe.heads, Quarantine()), recipe.heads)
    [turn] = plan(corpus.dataset, recipe.transfer, corpus.tasks, sample=recipe.data.sample, seed=seed)
    turn, _ = guard(turn, Signatures.of(list(corpus.texts)), leaks="drop", near=recipe.transfer.near)
    planning = time.perf_counter() - began

    base = locate("default", None).path
    tokenizer = AutoTokenizer.from_pretrained(base)

    def encoded(rows: np.ndarray) -> list[dict[str, object]]:
        return rows_of(tokenizer, list(corpus.texts[rows]), corpus.encoded["spam"][rows])

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        model = Classifier(AutoModel.from_pretrained(base, dtype="float32", add_pooling_layer=False))
        run = make(
            model, tokenizer, encoded(turn.teach), folder, num_train_epochs=2, per_device_train_batch_size=32,
            per_device_eval_batch_size=32, warmup_steps=0.1, seed=seed,
        )  # fmt: skip
        run.train()
        logits = run.predict(encoded(turn.score)).predictions
    accuracy = float((logits.argmax(1) == corpus.encoded["spam"][turn.score]).mean())
    print(json.dumps({"accuracy": accuracy, "planning": planning}))


def main(data: str, target: str, seed: str = "0") -> None:
    """Both in turn; the ratio of their seconds, planning taken off theirs."""
    with tempfile.TemporaryDirectory() as folder:
        mine = ours(data, target, seed, Path(folder) / "run")
    other = theirs(data, target, seed)
    ratio = (other["seconds"] - other["planning"]) / mine["seconds"]
    print(json.dumps({"ours": mine, "trainer": other, "ratio": ratio}, indent=1), flush=True)
    table = {"target": target, "seed": int(seed), "ours": mine, "trainer": other, "ratio": ratio}
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    kept = [row for row in kept if (row["target"], row["seed"]) != (target, int(seed))]
    RESULTS.write_text(json.dumps([*kept, table], indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--trainer":
        trainer(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(*sys.argv[1:])
