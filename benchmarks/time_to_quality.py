"""Seconds until an unseen user's mail is answered as well as Trainer with PEFT answers it after three epochs.

Compared: wall seconds of fresh processes, everything included. Ours climbs the ladder: `nlptl run` of
`recipes/leave_one_user_out.yaml` for the one target, solved heads alone (`tune.kind=frozen`); only where its accuracy
is below Trainer's, LoRA from the solved head as well, whose seconds are added. Each run reads the whole file, guards
against leaks, encodes with an empty store, fits the baselines too and writes its report. Theirs reads the rows that
teach and those that are scored from a file of their own, tokenises, trains three epochs in batches of 32 and predicts.
Fair, because: the same teaching and scored rows, leaks already dropped, 800 mails a user, 128 tokens, the same encoder,
rank, scale and matrices of LoRA, mean pooling and a linear head, the same peak learning rate and warm-up. Ours reads
words beside the vectors (`encoder.lexical`), which is part of how it gets there sooner. `reached` says whether ours got
to Trainer's accuracy at all; where not, the ratio is of the whole ladder, and no time to quality.

    python benchmarks/time_to_quality.py enron_spam_4users.parquet [target,target,…] [repeats]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).parents[1] / "recipes" / "leave_one_user_out.yaml"


def trainer(rows: str, seed: int) -> None:
    """Three epochs of Trainer with PEFT on the rows in a file; prints the accuracy."""
    import pandas as pd
    import torch
    from _peer import Classifier, rows_of
    from _peer import trainer as make
    from transformers import AutoModel, AutoTokenizer

    table = pd.read_parquet(rows)
    base = table.encoder[0]
    teach, score = table[table.part == "teach"], table[table.part == "score"]
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = Classifier(AutoModel.from_pretrained(base, dtype="float32", add_pooling_layer=False))
    with tempfile.TemporaryDirectory() as folder:
        run = make(
            model, tokenizer, rows_of(tokenizer, list(teach.text), teach.label), folder, num_train_epochs=3, seed=seed,
            per_device_train_batch_size=32, per_device_eval_batch_size=32, warmup_steps=0.1,
        )  # fmt: skip
        run.train()
        logits = run.predict(rows_of(tokenizer, list(score.text), score.label)).predictions
    print(json.dumps({"accuracy": float((logits.argmax(1) == score.label.to_numpy()).mean())}))


def write_rows(data: str, target: str, seed: int, path: Path) -> None:
    """The rows of our plan as a file."""
    import pandas as pd

    from nlptl.contracts import Quarantine
    from nlptl.data._read import read
    from nlptl.encoder.locate import locate
    from nlptl.fitting.corpus import Corpus
    from nlptl.recipe import Recipe
    from nlptl.transfer.leaks import Signatures, guard
    from nlptl.transfer.plan import plan

    recipe = Recipe.load(RECIPE, *_settings(data, target))
    corpus = Corpus.of(read(recipe.data, recipe.heads, Quarantine()), recipe.heads)
    [turn] = plan(corpus.dataset, recipe.transfer, corpus.tasks, sample=recipe.data.sample, seed=seed)
    turn, _ = guard(turn, Signatures.of(list(corpus.texts)), leaks="drop", near=recipe.transfer.near)
    parts = [
        pd.DataFrame({"text": corpus.texts[rows], "label": corpus.encoded["spam"][rows].astype(int), "part": part})
        for part, rows in (("teach", turn.teach), ("score", turn.score))
    ]
    pd.concat(parts).assign(encoder=locate("default", None).path).to_parquet(path, index=False)


def _settings(data: str, target: str) -> list[str]:
    """One target, and no matrix of single sources, which is not asked for here."""
    return [f"data.path={data}", "transfer.protocol=joint", f"transfer.target=[{target}]", "evaluate.matrix=false"]


def measure(data: str, target: str, repeats: int) -> dict[str, Any]:
    """Trainer runs first: ours has to know what to reach."""
    from _paired import paired

    seen: dict[str, list[float]] = {"Trainer": [], "solved": [], "lora": []}

    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.parquet"
        write_rows(data, target, 0, rows)

        def theirs() -> None:
            command = [sys.executable, __file__, "--trainer", str(rows), "0"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seen["Trainer"].append(json.loads(done.stdout.splitlines()[-1])["accuracy"])

        def run(tune: str) -> float:
            with tempfile.TemporaryDirectory() as out:
                settings = [*_settings(data, target), f"tune.kind={tune}", "--out", f"{out}/run"]
                subprocess.run(
                    [sys.executable, "-m", "nlptl", "run", str(RECIPE), *settings], check=True, capture_output=True,
                    env=os.environ | {"NLPTL_CACHE": f"{out}/cache"},
                )  # fmt: skip
                results = json.loads(Path(out, "run", "results.json").read_text(encoding="utf-8"))
            return float(results["overall"]["accuracy"])

        def ladder() -> None:
            seen["solved"].append(run("frozen"))
            if seen["solved"][-1] < min(seen["Trainer"]):
                seen["lora"].append(run("lora"))

        found = paired({"ours": ladder, "Trainer, three epochs": theirs}, repeats=repeats, warm=False, begin=1)
    accuracy = {name: each[-1] for name, each in seen.items() if each}
    reached = max(accuracy.get("lora", 0.0), accuracy["solved"]) >= accuracy["Trainer"]
    return found | {"accuracy": accuracy, "reached": reached}


def main(data: str, targets: str = "williams-w3", repeats: str = "1") -> None:
    """One cell a target."""
    from _paired import cell

    for target in targets.split(","):
        cell(
            "time_to_quality",
            f"{target} unseen, repeats {repeats}",
            lambda target=target: measure(data, target, int(repeats)),
        )


if __name__ == "__main__":
    if sys.argv[1] == "--trainer":
        trainer(sys.argv[2], int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
