"""Is "this source will hurt this target" right? Said before training; held to what leaving the source out then does.

Each domain is a target in turn; heads are solved on all other domains, 400 rows each, and on all but one of them. A
source hurt the target where the head without it answers more of the target's scored rows rightly; by how much, and
whether that is more than chance (exact McNemar test), is in the table. Three rules say so
before:

- blind: no label of the target. The source's own head has an expected log-likelihood under the pooled head
  that is lower than the mean over sources by more than a standard deviation.
- shift: kind `shift` between that source alone and the target finds concept shift, with 50 labels of the target.
- trial: on the same 50 labels, the head without the source has the lower log loss.

    python benchmarks/negative_transfer.py FOLDER [rows a domain]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nlptl.contracts import Task
from nlptl.contracts.diagnose import View
from nlptl.diagnose.probe import as_task, parts
from nlptl.diagnose.shift import Shift
from nlptl.diagnosing.rank import head_answers
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.evaluate.compare import mcnemar
from nlptl.heads._solved import solve_head
from nlptl.recipe import Encoder
from nlptl.transfer.leaks import Signatures

RESULTS = Path(__file__).parent / "results"
SETS = {"enron_spam_4users": "user", "reviews_10domains": "domain"}
LABELS = 50
READING = "layers"
RULES = ("blind", "shift", "trial")
HURTS = {"gain > 0": lambda row: row["gain"] > 0, "gain ≥ 1 point": lambda row: row["gain"] >= 0.01,
         "p ≤ .05": lambda row: row["gain"] > 0 and row["p"] <= 0.05}  # fmt: skip


def pairs(folder: Path, name: str, rows: int) -> list[dict[str, Any]]:
    """A row a (target, source): what each rule said, and what leaving the source out did."""
    table = pd.read_parquet(folder / f"{name}.parquet").dropna(subset=["label"])
    table = table.sample(frac=1, random_state=0).groupby(SETS[name], sort=True).head(rows).reset_index(drop=True)
    texts, domains = table["text"].astype(str).tolist(), table[SETS[name]].to_numpy(dtype=object)
    task, labels = as_task(table["label"].to_numpy())
    backbone = Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))
    vectors = encode(backbone, texts, readings=[READING], store=FeatureStore.of(backbone))[READING]
    signatures = Signatures.of(np.array(texts, dtype=object))
    groups = signatures.groups(np.arange(len(texts)), near=0.85)
    found = []
    for target in sorted(set(domains)):
        own, others = np.flatnonzero(domains == target), np.flatnonzero(domains != target)
        others = others[~np.isin(groups[others], groups[own])]
        found += _of_target(task, vectors, labels, domains, signatures, own, others, target)
        print(json.dumps(found[-1]), flush=True)
    return [{"data": name, **row} for row in found]


def _of_target(
    task: Task, vectors: np.ndarray, labels: np.ndarray, domains: np.ndarray, signatures: Signatures, own: np.ndarray,
    others: np.ndarray, target: str,
) -> list[dict[str, Any]]:  # fmt: skip
    taught, x = labels[others], vectors[others]
    sources = sorted(set(domains[others]))
    groups = signatures.groups(others, near=0.85)
    pooled = solve_head(task, {"": x}, taught, parts(taught, groups, 5, 0))
    alone = np.stack([domains[others] == source for source in sources])
    without = head_answers(task, pooled, x, taught, ~alone, vectors[own])
    single = head_answers(task, pooled, x, taught, alone, vectors[own])
    whole = task.probabilities(pooled.logits(vectors[own]))
    shown, scored = np.arange(len(own)) < LABELS, np.arange(len(own)) >= LABELS
    likelihood = (whole * np.log(np.maximum(single, 1e-12))).sum(axis=2).mean(axis=1)

    def loss(answers: np.ndarray) -> float:
        return float(-np.log(np.maximum(answers[shown, labels[own][shown]], 1e-12)).mean())

    rows = []
    for place, source in enumerate(sources):
        rights = [answers.argmax(axis=1)[scored] == labels[own][scored] for answers in (without[place], whole)]
        both = np.concatenate([others[alone[place]], own])
        view = View(
            features=vectors[both], domain=domains[both], target=target,
            labels=np.where(np.isin(both, own[~shown]), -1, labels[both]), groups=signatures.groups(both, near=0.85),
        )  # fmt: skip
        rows.append({
            "target": target, "source": source, "gain": float(rights[0].mean() - rights[1].mean()),
            "p": mcnemar(*rights).p,
            "blind": bool(likelihood[place] < likelihood.mean() - likelihood.std()),
            "shift": "concept" in Shift(draws=299).measure(view)["found"],
            "trial": loss(without[place]) < loss(whole),
        })  # fmt: skip
    return rows


def described(rows: list[dict[str, Any]]) -> str:
    """Precision and recall of each rule, for each meaning of having hurt."""
    said_by = " | ".join(f"{rule}: precision (said), recall" for rule in RULES)
    lines = [f"| data | hurt | pairs | hurt in truth | {said_by} |", "|" + "---|" * (4 + len(RULES))]
    for data in SETS:
        for meaning, hurts in HURTS.items():
            here = [row for row in rows if row["data"] == data]
            truth = np.array([hurts(row) for row in here])
            cells = []
            for rule in RULES:
                said = np.array([row[rule] for row in here])
                right = int((said & truth).sum())
                precision = f"{right / said.sum():.2f} ({said.sum()})" if said.any() else "– (0)"
                cells.append(f"{precision}, {right / truth.sum():.2f}" if truth.any() else f"{precision}, –")
            lines.append(f"| {data} | {meaning} | {len(here)} | {truth.sum()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    every: list[dict[str, Any]] = []
    for name in SETS:
        every += pairs(Path(sys.argv[1]), name, count)
        (RESULTS / "negative_transfer.json").write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    text = f"# Will this source hurt this target?\n\n`python benchmarks/negative_transfer.py FOLDER {count}`\n\n"
    (RESULTS / "negative_transfer.md").write_text(text + described(every) + "\n", encoding="utf-8")
