"""Does the order of `nlptl rank-sources` agree with what each source then reaches? 90 ordered pairs of review domains.

Each of ten domains is the target in turn and the nine others its sources. Scores read vectors of the target's texts, no
label. Reached: the accuracy of each source's own solved head on all labelled rows of the target. Shown is Spearman's
correlation over the nine sources, mean over targets, for our score and for the single scores beside it; `true labels`
is what as many rows with true labels, drawn from the labelled ones, would say.

    python benchmarks/rank_sources.py reviews_10domains.parquet [unlabelled texts a domain] [layers|last]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from nlptl._diagnosing_rank import head_answers
from nlptl.diagnose._source_scores import source_scores
from nlptl.diagnose.mmd import mmd
from nlptl.diagnose.probe import as_task, parts
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.heads._solved import solve_head
from nlptl.recipe import Encoder

RESULTS = Path(__file__).parent / "results" / "rank_sources.json"


def main(path: str, texts: str = "2000", reading: str = "layers") -> None:
    table = pd.read_parquet(path)
    given = table["label"].ne("").to_numpy()
    domains = table["domain"].to_numpy(dtype=object)
    kept = given.copy()
    for name in np.unique(domains):
        blank = np.flatnonzero(~given & (domains == name))
        kept[blank[np.random.default_rng(0).permutation(len(blank)) < int(texts)]] = True
    table, given, domains = table[kept], given[kept], domains[kept]
    backbone = Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))
    vectors = encode(backbone, list(table["text"]), readings=[reading], store=FeatureStore.of(backbone))[reading]
    labels = (table["label"] == "positive").to_numpy().astype(np.int64)
    task, _ = as_task(np.array([0, 1]))
    names = np.unique(domains[given])
    like = None
    found: dict[str, list[float]] = {}
    for target in names:
        taught, own = given & (domains != target), ~given & (domains == target)
        scored = given & (domains == target)
        if like is None:  # one strength of the prior for all, from the first pool
            like = solve_head(task, {reading: vectors[taught]}, labels[taught], parts(labels[taught], None, 3, 0))
        sources = [name for name in names if name != target]
        masks = np.stack([np.ones(taught.sum(), bool), *(domains[taught] == name for name in sources)])
        here = np.concatenate([vectors[own], vectors[scored]])
        pooled, *answers = head_answers(task, like, vectors[taught], labels[taught], masks, here)
        shown, told = np.stack(answers)[:, : own.sum()], np.stack(answers)[:, own.sum() :]
        right = told.argmax(axis=2) == labels[scored]
        reached = right.mean(axis=1)
        scores = dict(source_scores(shown, pooled[: own.sum()]))
        scores["confidence"] = shown.max(axis=2).mean(axis=1)
        scores["minus mmd"] = np.array([
            -mmd(vectors[given & (domains == name)][:500], vectors[own][:500], permutations=1)[0] for name in sources
        ])  # fmt: skip
        rows = np.random.default_rng(0).permutation(right.shape[1])[: own.sum()]
        scores["true labels"] = right[:, rows].mean(axis=1)
        for name, values in scores.items():
            found.setdefault(name, []).append(float(spearmanr(values, reached)[0]))
        print(target, {name: round(values[-1], 2) for name, values in found.items()}, flush=True)
    rows = {name: {"mean": float(np.mean(values)), "by_target": values} for name, values in found.items()}
    settings = {"texts": int(texts), "reading": reading, "targets": [str(name) for name in names]}
    RESULTS.write_text(json.dumps(settings | {"spearman": rows}, indent=1) + "\n", encoding="utf-8")
    print({name: round(row["mean"], 3) for name, row in rows.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
