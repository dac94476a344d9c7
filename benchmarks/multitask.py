"""Every balance of several tasks beside each task learned alone: accuracy on the same scored rows, three seeds.

Two sets: trec_qc's coarse and fine types (two label sets over the same questions), and sst2 + subj + ag_news + sms_spam
(unlike tasks over unlike texts). 1,500 rows a task teach, drawn by seed; at most 600 fixed rows a task are scored.
Compared: LoRA r=8 from solved heads, 48 tokens, one epoch, once over all tasks together under each balance, once over
each task alone by the same settings (``solo``), so that each row is met as often. ``solved`` is the rung below.
Fair, because: the same rows, solved heads, tokens, rank, learning rate and passes; nothing is tuned for any balance.

Heads are solved once for each (set, seed), and that and solo serve every balance: the trainings are those of
``nlptl.fit``, without its baselines, which this table does not show. Each cell (set, seed, system) is written to
``results/multitask.jsonl`` as it ends, and one that is there is not run again. ``results/multitask.md`` pairs each
balance with solo on the same rows (exact McNemar, one vote a row over the seeds; Holm over tasks).

    python benchmarks/multitask.py FOLDER_OF_PARQUET_FILES [table]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accelerate import Accelerator

import nlptl
from nlptl import fitting
from nlptl.contracts import Floats, Quarantine
from nlptl.data import Frame
from nlptl.data._read import read
from nlptl.evaluate.compare import holm, mcnemar
from nlptl.fitting.account import Account
from nlptl.fitting.answers import answer
from nlptl.fitting.beside import SOLO, solo_models
from nlptl.fitting.clock import Clock
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.folder import RunFolder
from nlptl.fitting.setting import Setting, SolvedTurn
from nlptl.fitting.train import train_model
from nlptl.fitting.turn import SOLVED, solve_turn
from nlptl.registry import find, kinds
from nlptl.transfer.plan import Turn

RESULTS = Path(__file__).parent / "results" / "multitask.jsonl"
TEACH, SCORE, SEEDS = 1500, 600, (0, 1, 2)
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


def recipe(folder: Path, tasks: Mapping[str, tuple[str, str]], seed: int) -> nlptl.Recipe:
    """All tasks together; the balance is put in later."""
    names = sorted({name for name, _ in tasks.values()})
    data = {name: Frame(table=table(folder / f"{name}.parquet", seed), split="split") for name in names}
    heads = {
        task: {"kind": "linear", "column": column, "source": name if len(names) > 1 else None}
        for task, (name, column) in tasks.items()
    }
    return nlptl.Recipe(
        name="multitask", seed=seed, data=data if len(names) > 1 else data[names[0]], heads=heads,
        encoder={"max_length": 48, "pool": "layers"}, tune={"kind": "lora"}, train={"epochs": 1},
    )  # fmt: skip


def begun(made: nlptl.Recipe, out: Path) -> tuple[Setting, Turn, SolvedTurn]:
    """What ``nlptl.fit`` does before it trains: rows read, guarded and encoded, heads solved."""
    accelerator, folder = Accelerator(), RunFolder(out, main=True)
    folder.begin(made, resume=False, wait=accelerator.wait_for_everyone)
    corpus = Corpus.of(read(made.data, made.heads, Quarantine()), made.heads)
    planned, _, corpus = fitting._plan(made, corpus)
    backbone, precision = fitting._backbone(made, accelerator)
    vectors, _ = fitting._encode(made, corpus, planned, backbone, accelerator, Account())
    setting = Setting(made, corpus, vectors, backbone, accelerator, precision, folder, "", False, Clock())
    [(seed, turn, groups)] = planned
    return setting, turn, solve_turn(setting, turn, groups, seed=seed)


def systems(folder: Path, which: str, seed: int, todo: list[str]) -> Iterator[dict[str, Any]]:
    """The cells ``todo`` of a set and seed, as each ends."""
    with tempfile.TemporaryDirectory() as out:
        setting, turn, solved = begun(recipe(folder, SETS[which], seed), Path(out) / "run")
        trained = partial(train_model, seed=seed)
        none = np.array([], dtype=np.int64)
        for system in todo:
            began, cosines = time.perf_counter(), []
            if system == SOLVED:
                answers = answer(setting, turn, solved.model)
            elif system == SOLO:
                alone = solo_models(setting, turn, none, solved, trained)
                answers = {task: answer(setting, turn, model)[task] for task, model in alone.items()}
            else:
                here = setting.recipe.model_copy(update={"balance": find("balance", system)()})
                balanced, named = replace(setting, recipe=here), replace(turn, name=f"{turn.name} {system}")
                taught = train_model(balanced, named, none, solved, seed=seed)
                answers = answer(setting, turn, taught.model)
                cosines = [entry["conflicts"] for entry in taught.history if "conflicts" in entry]
            yield {
                "set": which, "seed": seed, "system": system, "seconds": round(time.perf_counter() - began, 1),
                "conflicts": np.round(np.mean(cosines, axis=0), 3).tolist() if cosines else None,
                **scored(setting.corpus, turn, answers),
            }  # fmt: skip


def scored(corpus: Corpus, turn: Turn, answers: Mapping[str, Floats]) -> dict[str, Any]:
    """By task: accuracy, how many rows, and which of them were answered rightly, as hexadecimal bits."""
    right = {}
    for task in answers:
        labelled = corpus.tasks[task].labelled(corpus.encoded[task][turn.score])
        order = np.argsort(corpus.ids[turn.score[labelled]].astype(str))  # the same for every seed
        truth = corpus.encoded[task][turn.score[labelled]]
        right[task] = (answers[task][labelled].argmax(1) == truth)[order]
    return {
        "accuracy": {task: round(float(bits.mean()), 4) for task, bits in right.items()},
        "rows": {task: len(bits) for task, bits in right.items()},
        "right": {task: np.packbits(bits).tobytes().hex() for task, bits in right.items()},
    }


def summary(cells: list[dict[str, Any]]) -> str:
    """The table: mean accuracy of each system, its gain over solo in points, and p by Holm over the tasks."""
    lines = [
        "# Several tasks on one encoder, beside each task alone",
        "",
        f"{TEACH} rows a task teach, at most {SCORE} are scored; LoRA r=8, one epoch. In brackets: points over solo",
        "on the same rows and p of the exact McNemar test over all seeds (one vote a row), Holm over the set's tasks;",
        "**bold** where surely worse. Made by `python benchmarks/multitask.py FOLDER` from `multitask.jsonl`; seconds",
        "(the median over seeds) are of a shared machine, on which cells were halted too, and say little.",
    ]
    for which, tasks in SETS.items():
        here = [c for c in cells if c["set"] == which]
        lines += ["", f"## {which}", "", f"| system | seeds | {' | '.join(tasks)} | seconds |",
                  f"|---|---|{'---|' * (len(tasks) + 1)}"]  # fmt: skip
        alone = {c["seed"]: c for c in here if c["system"] == SOLO}
        for system in (SOLVED, SOLO, *_balances()):
            mine = [c for c in here if c["system"] == system]
            if mine:
                lines.append(_row(system, mine, alone, list(tasks)))
    return "\n".join(lines) + "\n"


def _row(system: str, mine: list[dict[str, Any]], alone: Mapping[int, dict[str, Any]], tasks: list[str]) -> str:
    pairs = [(cell, alone[cell["seed"]]) for cell in mine if cell["seed"] in alone]
    adjusted = holm([_against_solo(pairs, task) for task in tasks]) if pairs else []
    cells = []
    for place, task in enumerate(tasks):
        text = f"{np.mean([cell['accuracy'][task] for cell in mine]):.3f}"
        if pairs and system != SOLO:
            gain = 100 * np.mean([ours["accuracy"][task] - solo["accuracy"][task] for ours, solo in pairs])
            text += f" ({gain:+.1f}, p {adjusted[place]:.2f})"
            text = f"**{text}**" if gain < 0 and adjusted[place] < 0.05 else text
        cells.append(text)
    seconds = np.median([cell["seconds"] for cell in mine])
    return f"| {system} | {len(mine)} | {' | '.join(cells)} | {seconds:.0f} |"


def _against_solo(pairs: list[tuple[dict[str, Any], dict[str, Any]]], task: str) -> float:
    """p of the exact McNemar test over all seeds' rows."""
    ours, solo = (np.concatenate([_bits(pair[side], task) for pair in pairs]) for side in (0, 1))
    ids = np.concatenate([np.arange(pair[0]["rows"][task]) for pair in pairs])
    return mcnemar(ours, solo, copies=ids).p


def _bits(cell: dict[str, Any], task: str) -> np.ndarray:
    packed = np.frombuffer(bytes.fromhex(cell["right"][task]), dtype=np.uint8)
    return np.unpackbits(packed)[: cell["rows"][task]].astype(bool)


def _balances() -> list[str]:
    return sorted(kinds("balance"), key=lambda kind: kind != "equal")


def main(folder: str, only: str = "") -> None:
    """Run what is not there yet: first the default balance beside solo on every seed, then the other balances."""
    cells = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(c["set"], c["seed"], c["system"]) for c in cells}
    balances = _balances()
    for wanted in [] if only == "table" else [[SOLVED, SOLO, balances[0]], balances[1:]]:
        for seed in SEEDS:
            for which in SETS:
                todo = [system for system in wanted if (which, seed, system) not in done]
                for one in systems(Path(folder), which, seed, todo) if todo else ():
                    cells.append(one)
                    with RESULTS.open("a") as stream:
                        stream.write(json.dumps(one) + "\n")
                    RESULTS.with_suffix(".md").write_text(summary(cells), encoding="utf-8")
                    print(which, seed, one["system"], one["accuracy"], f"{one['seconds']} s", flush=True)
    RESULTS.with_suffix(".md").write_text(summary(cells), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
