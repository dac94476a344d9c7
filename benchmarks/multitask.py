"""Every balance of several tasks beside each task learned alone: accuracy on the same scored rows, three seeds.

Two sets: trec_qc's coarse and fine types (two label sets over the same questions), and sst2 + subj + ag_news + sms_spam
(unlike tasks over unlike texts). 1,500 rows a task teach, drawn by seed; at most 1,000 fixed rows a task are scored.
Compared: LoRA r=8 from solved heads, two epochs, once over all tasks together under each balance, once over each task
alone by the same settings (``solo``), so that each row is met as often. ``solved`` is the rung below, without LoRA.
Fair, because: the same rows, encoder, tokens, rank, learning rate and passes; nothing is tuned for any balance.

Each cell (set, seed, balance) is written to the results file as it ends, and one that is there is not run again. The
table printed last pairs each balance with solo on the same rows (exact McNemar, one vote a row over the seeds; Holm
over tasks).

    python benchmarks/multitask.py FOLDER_OF_PARQUET_FILES [table]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import nlptl
from nlptl.data import Frame
from nlptl.evaluate.compare import holm, mcnemar
from nlptl.registry import kinds

RESULTS = Path(__file__).parent / "results" / "multitask.jsonl"
TEACH, SCORE, SEEDS = 1500, 1000, (0, 1, 2)
SETS = {
    "trec": {"coarse": ("trec_qc", "label"), "fine": ("trec_qc", "label_fine")},
    "unlike": {
        "sst2": ("sst2_sentences", "label"),
        "subj": ("subj", "label"),
        "ag_news": ("ag_news_test", "label"),
        "sms_spam": ("sms_spam", "label"),
    },
}


def table(path: Path, seed: int) -> pd.DataFrame:
    """``TEACH`` rows drawn by seed and at most ``SCORE`` scored ones, the same for every seed."""
    rows = pd.read_parquet(path).drop_duplicates("text", ignore_index=True)
    official = "split" in rows and (rows.split == "train").any()
    test = rows[rows.split == "test"] if official else rows.sample(SCORE, random_state=0)
    rest = rows[rows.split == "train"] if official else rows.drop(test.index)
    test = test.sample(min(SCORE, len(test)), random_state=0)
    teach = rest.sample(TEACH, random_state=seed)
    return pd.concat([teach.assign(split="train"), test.assign(split="test")], ignore_index=True)


def recipe(folder: Path, tasks: dict[str, tuple[str, str]], balance: str, seed: int) -> nlptl.Recipe:
    names = sorted({name for name, _ in tasks.values()})
    data = {name: Frame(table=table(folder / f"{name}.parquet", seed), split="split") for name in names}
    heads = {
        task: {"kind": "linear", "column": column, "source": name if len(names) > 1 else None}
        for task, (name, column) in tasks.items()
    }
    return nlptl.Recipe(
        name="multitask", seed=seed, data=data if len(names) > 1 else data[names[0]], heads=heads,
        encoder={"max_length": 64}, tune={"kind": "lora"}, balance={"kind": balance}, train={"epochs": 2},
        evaluate={"metrics": ["accuracy"], "bootstrap": 100, "solo": balance == "equal"},
    )  # fmt: skip


def cell(folder: Path, which: str, balance: str, seed: int) -> Iterable[dict[str, Any]]:
    """What one run measured: of its balance, and of solo and the solved heads where it is ``equal``."""
    with tempfile.TemporaryDirectory() as out:
        run = nlptl.fit(recipe(folder, SETS[which], balance, seed), out=Path(out) / "run")
        answers = pd.read_parquet(Path(out) / "run" / "predictions.parquet").sort_values(["task", "id"])
    systems = {"model": balance, "solo": "solo", "solved": "solved"} if balance == "equal" else {"model": balance}
    for column, system in systems.items():
        right = {}
        for task, rows in answers.groupby("task"):
            labels = run.results["tasks"][task]["labels"]
            given = [labels[int(np.argmax(shares))] for shares in rows[column]]
            right[task] = [answer == truth[0] for answer, truth in zip(given, rows["labels"], strict=True)]
        yield {
            "set": which, "seed": seed, "system": system,
            "seconds": run.results["seconds"].get("solo" if system == "solo" else "train"),
            "conflicts": run.results["multitask"]["conflicts"] if column == "model" else None,
            "accuracy": {task: round(float(np.mean(bits)), 4) for task, bits in right.items()},
            "rows": {task: len(bits) for task, bits in right.items()},
            "right": {task: np.packbits(bits).tobytes().hex() for task, bits in right.items()},
        }  # fmt: skip


def summary(cells: list[dict[str, Any]]) -> None:
    """Mean accuracy of each system, its gain over solo, and whether any task is surely worse."""
    for which in SETS:
        here = [c for c in cells if c["set"] == which]
        for system in dict.fromkeys(c["system"] for c in here):
            alone = {c["seed"]: c for c in here if c["system"] == "solo"}
            pairs = [(c, alone[c["seed"]]) for c in here if c["system"] == system and c["seed"] in alone]
            if not pairs:
                continue
            tests = [_against_solo(pairs, task) for task in SETS[which]]
            words = []
            for task, p in zip(SETS[which], holm(tests), strict=True):
                ours, solo = (np.mean([pair[side]["accuracy"][task] for pair in pairs]) for side in (0, 1))
                words.append(f"{task} {ours:.3f} ({100 * (ours - solo):+.1f}, p {p:.2f})")
            seconds = np.mean([pair[0]["seconds"] for pair in pairs])
            print(f"{which} {system} ({len(pairs)} seeds, {seconds:.0f} s): " + "; ".join(words), flush=True)


def _against_solo(pairs: list[tuple[dict[str, Any], dict[str, Any]]], task: str) -> float:
    """p of the exact McNemar test over all seeds' rows."""
    ours, solo = (np.concatenate([_bits(pair[side], task) for pair in pairs]) for side in (0, 1))
    ids = np.concatenate([np.arange(pair[0]["rows"][task]) for pair in pairs])
    return mcnemar(ours, solo, ids=ids).p


def _bits(cell: dict[str, Any], task: str) -> np.ndarray:
    packed = np.frombuffer(bytes.fromhex(cell["right"][task]), dtype=np.uint8)
    return np.unpackbits(packed)[: cell["rows"][task]].astype(bool)


def main(folder: str, only: str = "") -> None:
    """Run what is not there yet, seeds outermost; print the table."""
    cells = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(c["set"], c["seed"], c["system"]) for c in cells}
    balances = sorted(kinds("balance"), key=lambda kind: kind != "equal")
    todo = [(s, w, b) for s in SEEDS for b in balances for w in SETS if (w, s, b) not in done]
    for seed, which, balance in [] if only == "table" else todo:
        began = time.perf_counter()
        for one in cell(Path(folder), which, balance, seed):
            cells.append(one)
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(one) + "\n")
        print(which, seed, balance, f"{time.perf_counter() - began:.0f} s", flush=True)
    summary(cells)


if __name__ == "__main__":
    main(*sys.argv[1:])
