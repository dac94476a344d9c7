"""Every way to adapt to a target without labels, beside none: gains and losses.

Real: the six directed pairs of `amazon_3domains` and each user of `enron_spam_4users` taught by the other three; 400
rows a domain drawn by seed, 64 tokens, all of a target's labels hidden, half of its rows scored and the others its
unlabelled texts, leak guard on. Made: five mailboxes with one known shift; the targets are dan and eve (shares of spam
.7 and .1 under label shift, .4 and .4 under covariate shift). Under label shift only the first 12 tokens of a mail are
read: with 64 the solved head is right in .997, and shares of labels matter only where texts leave a doubt.

Kinds that join the loss, each at its defaults and none tuned on these rows, are compared with the same training
without them (`source only`), on one of two bodies: `frozen`, a hidden layer of 64 over vectors that do not move, 150
steps of 32 rows; or `lora`, rank 8 from the solved head, 40 steps of 32 rows. The others are compared with the solved
head. `tapt` needs a body that learns; there it guesses masked words of the 200 unlabelled texts first.

Defaults were chosen on other rows: pairs of other review domains, and mail that is made with other seeds.

Each cell (body, case, seed, kind) is a line of the results file, written as it ends, and one that is there is not run
again; bodies and seeds are the outermost loops, so that a table that was cut short is balanced. With ``--jobs`` so many
cases are worked on at a time, in processes of one thread each that share the card where there is one. `table` writes
the Markdown.

    python benchmarks/unsupervised_adaptation.py run FOLDER_OF_PARQUET_FILES [--seeds N] [--body frozen|lora] [--jobs N]
    python benchmarks/unsupervised_adaptation.py table
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from _jobs import in_processes
from _paired import RESULTS
from accelerate import Accelerator

import nlptl
from nlptl import fitting
from nlptl.contracts import Quarantine
from nlptl.contracts.adapt import Before, Term
from nlptl.data._read import read
from nlptl.fitting.account import Account
from nlptl.fitting.adapt import corrected
from nlptl.fitting.answers import answer
from nlptl.fitting.before import before_solving
from nlptl.fitting.clock import Clock
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.folder import RunFolder
from nlptl.fitting.setting import Setting
from nlptl.fitting.train import train_model, trains
from nlptl.fitting.turn import solve_turn
from nlptl.registry import find, kinds

CELLS = RESULTS / "unsupervised_adaptation.jsonl"
ROWS, TOKENS = 400, 64
CATEGORIES = ("books", "dvd", "kitchen")
USERS = ("farmer-d", "kaminski-v", "kitchen-l", "williams-w3")
MADE = {
    "covariate": {"covariate": 1.0, "label_shift": 0.0, "concept": 0.0},
    "label shift": {"covariate": 0.0, "label_shift": 1.0, "concept": 0.0},
}
BODIES = {
    "frozen": {"tune": {"kind": "frozen"}, "head": {"kind": "mlp", "hidden": [64], "dropout": 0.0}, "steps": 150},
    "lora": {"tune": {"kind": "lora"}, "head": {"kind": "linear"}, "steps": 40},
}
PLAIN = ("source only", "solved")


def cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Each case's sections of a recipe."""
    amazon = {"kind": "parquet", "path": str(folder / "amazon_3domains.parquet"), "domain": "domain", "sample": ROWS}
    enron = {"kind": "parquet", "path": str(folder / "enron_spam_4users.parquet"), "domain": "user", "sample": ROWS}
    labels = {"labels": ["negative", "positive"], "positive": "positive"}
    spam = {"labels": ["ham", "spam"], "positive": "spam"}
    found: dict[str, dict[str, Any]] = {}
    for name, shift in MADE.items():
        for person in ("dan", "eve"):
            found[f"made {name} → {person}"] = {
                "data": {"kind": "mailboxes", "mails": ROWS, **shift},
                "transfer": {"source": "*", "target": person}, "labels": spam,
                "tokens": 12 if name == "label shift" else TOKENS,
            }  # fmt: skip
    found |= {
        f"{source} → {target}": {"data": amazon, "transfer": {"source": source, "target": target}, "labels": labels}
        for source, target in permutations(CATEGORIES, 2)
    }
    found |= {
        f"others → {user}": {"data": enron, "transfer": {"source": list(USERS), "target": user}, "labels": spam}
        for user in USERS
    }
    return found


def recipe(case: dict[str, Any], seed: int, kind: str, body: str) -> nlptl.Recipe:
    """``kind``: a kind of ``adapt``, ``source only`` for training without any, ``solved`` for the solved head alone."""
    chosen = (
        BODIES[body] if against(kind) == "source only" else {"tune": {"kind": "frozen"}, "head": {"kind": "linear"}}
    )
    return nlptl.Recipe(
        name="benchmark",
        seed=seed,
        data=case["data"],
        transfer={**case["transfer"], "target_labels": 0, "hold_out": 0.5},
        encoder={"max_length": case.get("tokens", TOKENS), "pool": "layers"},
        tune=chosen["tune"],
        heads={"task": {**chosen["head"], "column": "label", **case["labels"]}},
        adapt=[] if kind in PLAIN else [{"kind": kind}],
        train={"epochs": 100, "max_steps": BODIES[body]["steps"], "batch_rows": 32, "checkpoint_steps": 10**6},
    )


def prepared(case: dict[str, Any], seed: int, body: str, folder: Path) -> Callable[[str], dict[str, Any]]:
    """What runs a kind on the case, whose texts are read, guarded, encoded and solved once for all kinds."""
    from sklearn.metrics import roc_auc_score

    plain = recipe(case, seed, "label_shift", body)  # its unlabelled rows are to be encoded too
    corpus = Corpus.of(read(plain.data, plain.heads, Quarantine()), plain.heads)
    planned, _, corpus = fitting._plan(plain, corpus)
    [(_, turn, groups)] = planned
    accelerator = Accelerator()
    backbone, precision = fitting._backbone(plain, accelerator)
    vectors, _ = fitting._encode(plain, corpus, planned, backbone, accelerator, Account())
    base = Setting(
        recipe=recipe(case, seed, "solved", body), corpus=corpus, vectors=vectors, backbone=backbone,
        accelerator=accelerator, precision=precision, folder=RunFolder(folder, main=True), fingerprint="", resume=False,
        clock=Clock(),
    )  # fmt: skip
    shared = solve_turn(base, turn, groups, seed=seed)

    def cell(kind: str) -> dict[str, Any]:
        began = time.perf_counter()
        mine = recipe(case, seed, kind, body)
        tasks = {name: replace(task, head=mine.heads[name]) for name, task in corpus.tasks.items()}
        learning = replace(base, recipe=mine, corpus=replace(corpus, tasks=tasks))
        setting = before_solving(learning, turn, turn.validate, seed=seed)
        anew = kind == "importance" or setting.vectors is not vectors
        solved = solve_turn(setting, turn, groups, seed=seed) if anew else shared
        nothing = np.empty(0, dtype=np.int64)
        model = train_model(setting, turn, nothing, solved, seed=seed).model if trains(mine) else solved.model
        model, notes = corrected(setting, turn, nothing, solved, model, model)
        shares, truth = answer(setting, turn, model)["task"], corpus.encoded["task"][turn.score]
        shares, truth = shares[truth >= 0], truth[truth >= 0]
        return {
            "n": len(truth),
            "accuracy": round(float((shares.argmax(1) == truth).mean()), 4),
            "auc": round(float(roc_auc_score(truth, shares[:, 1])), 4),
            "found": notes["task"],
            "seconds": round(time.perf_counter() - began, 1),
            "on": f"{accelerator.device.type}, {precision}",
        }

    return cell


def finished() -> list[dict[str, Any]]:
    """The cells that are there."""
    return [json.loads(line) for line in CELLS.read_text(encoding="utf-8").splitlines()] if CELLS.is_file() else []


def run_case(folder: Path, body: str, seed: int, name: str, todo: list[str]) -> None:
    """The cells of ``todo``, kinds of ``adapt`` and what they are compared with, on one case."""
    with tempfile.TemporaryDirectory() as scratch:
        cell = prepared(cases(folder)[name], seed, body, Path(scratch))
        for kind in todo:
            row = json.dumps({"body": body, "case": name, "seed": seed, "kind": kind, **cell(kind)}, ensure_ascii=False)
            print(row, flush=True)
            with CELLS.open("a", encoding="utf-8") as stream:
                stream.write(row + "\n")


def run(folder: Path, seeds: int, bodies: list[str], jobs: int) -> None:
    """Whatever is not there yet."""
    done = {(row["body"], row["case"], row["seed"], row["kind"]) for row in finished()}
    work = []
    for body, seed, name in ((body, seed, name) for body in bodies for seed in range(seeds) for name in cases(folder)):
        possible = (*PLAIN, *(kind for kind in kinds("adapt") if body == "lora" or kind != "tapt"))
        if todo := [kind for kind in possible if (body, name, seed, kind) not in done]:
            work.append((folder, body, seed, name, todo))
    in_processes(run_case, work, jobs)


def against(kind: str) -> str:
    """What ``kind`` is compared with; itself where it is what others are compared with."""
    if kind in PLAIN:
        return kind
    return "source only" if issubclass(find("adapt", kind), (Term, Before)) else "solved"


def lines(rows: list[dict[str, Any]], metric: str) -> Iterator[str]:
    """A Markdown table: cases down, kinds across; the gain of each kind over what it is compared with, in points."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        values.setdefault((row["case"], row["kind"]), {})[row["seed"]] = row[metric]
    columns = [kind for kind in kinds("adapt") if any(key[1] == kind for key in values)]
    yield f"| {metric} | source only | solved | {' | '.join(columns)} |"
    yield "|---|" + "---|" * (len(columns) + 2)
    gains: dict[str, list[float]] = {kind: [] for kind in columns}
    for case in dict.fromkeys(row["case"] for row in rows):
        cells = []
        for kind in ("source only", "solved"):
            found = values.get((case, kind), {})
            cells.append(f"{np.mean(list(found.values())):.3f} ({len(found)})" if found else "")
        for kind in columns:
            mine, base = values.get((case, kind), {}), values.get((case, against(kind)), {})
            paired = [100 * (mine[seed] - base[seed]) for seed in mine.keys() & base.keys()]
            gains[kind] += paired
            cells.append(f"{np.mean(paired):+.1f}" if paired else "")
        yield f"| {case} | {' | '.join(cells)} |"
    means = [f"{np.mean(gains[kind]):+.1f}" if gains[kind] else "" for kind in columns]
    counts = [f"{sum(g > 0 for g in gains[k])} / {sum(g < 0 for g in gains[k])}" for k in columns]
    yield f"| mean gain | | | {' | '.join(means)} |"
    yield f"| cells won / lost | | | {' | '.join(counts)} |"


def table() -> str:
    """All tables as Markdown."""
    order = list(cases(Path()))
    rows = sorted(finished(), key=lambda row: order.index(row["case"]))
    text = [
        "# Adapting to a target without labels",
        "",
        "Gains in points over `source only` (kinds that join the loss) or",
    ]
    text += ["`solved` (the others), paired by seed; in brackets how many seeds. Setting and command stand in",
                 "`benchmarks/unsupervised_adaptation.py`.", ""]  # fmt: skip
    for body in BODIES:
        for metric in ("accuracy", "auc"):
            for title, made in (("real", False), ("made, with a known shift", True)):
                chosen = [row for row in rows if row["body"] == body and row["case"].startswith("made") == made]
                text += [f"## {body}, {title}: {metric}", "", *lines(chosen, metric), ""] if chosen else []
    return "\n".join(text)


def main() -> None:
    """Run, or write the table."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table")
    running = commands.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--body", choices=tuple(BODIES), action="append")
    running.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    if asked.command == "table":
        CELLS.with_suffix(".md").write_text(table(), encoding="utf-8")
    else:
        run(asked.folder, asked.seeds, asked.body or list(BODIES), asked.jobs)


if __name__ == "__main__":
    main()
