"""Does the order of `nlptl rank-sources` agree with what each source then reaches? 90 ordered pairs of review domains.

Each of ten domains is the target in turn and the nine others its sources. Scores read vectors of the target's
unlabelled texts, no label. Reached: the accuracy of each source's own solved head on all labelled rows of the target.
Shown is Spearman's correlation over the nine sources, mean over targets, for our score and for the single scores beside
it, some of them published: proxy A-distance (Ben-David et al. 2007), MMD (Gretton et al. 2012), distance of means,
average confidence (Hendrycks & Gimpel 2017), agreement (Jiang et al. 2022), votes by Dawid & Skene (1979).

Ceiling: what a score that knew each source's true accuracy would have, as the scored rows are but a sample. They are
halved at random, 200 times; r is the mean Spearman of the two halves' accuracies, R = 2r / (1 + r) their reliability at
full length (Spearman 1910, Brown 1910), and √R the ceiling of a correlation with what was measured. `true labels` is
what as many rows with true labels as the scores read texts, drawn from the scored ones, would say.

    python benchmarks/rank_sources.py reviews_10domains.parquet [unlabelled texts a domain] [layers|last|words]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from nlptl.diagnose._source_scores import likeness, source_scores
from nlptl.diagnose.mmd import mmd
from nlptl.diagnose.probe import as_task, parts
from nlptl.diagnose.proxy_a import proxy_a_distance
from nlptl.diagnosing.rank import head_answers
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.heads._solved import solve_head
from nlptl.recipe import Encoder

RESULTS = Path(__file__).parent / "results"
HALVINGS = 200
MOST = 500
"""Rows a side that distances between domains are measured on."""


def main(path: str, texts: str = "2000", reading: str = "layers") -> None:
    table, given = drawn(pd.read_parquet(path), int(texts))
    domains = table["domain"].to_numpy(dtype=object)
    vectors = words(list(table["text"])) if reading == "words" else read(list(table["text"]), reading)
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
        masks = np.stack([domains[taught] == name for name in sources])
        weights, confusion = likeness(vectors[taught], vectors[own], masks)
        teach = np.vstack([weights, np.ones(taught.sum()), masks])
        here = np.concatenate([vectors[own], vectors[scored]])
        teacher, pooled, *answers = head_answers(task, like, vectors[taught], labels[taught], teach, here)
        shown, told = np.stack(answers)[:, : own.sum()], np.stack(answers)[:, own.sum() :]
        right = told.argmax(axis=2) == labels[scored]
        reached = right.mean(axis=1)
        scores = dict(source_scores(shown, teacher[: own.sum()], confusion))
        plain = source_scores(shown, pooled[: own.sum()], confusion)
        scores |= {f"{name}, all rows alike": plain[name] for name in ("agreement", "expected_accuracy", "correlation")}
        scores["confidence"] = shown.max(axis=2).mean(axis=1)
        of_sources = [vectors[given & (domains == name)][:MOST] for name in sources]
        scores |= distances(of_sources, vectors[own][:MOST])
        rows = np.random.default_rng(0).permutation(right.shape[1])[: own.sum()]
        scores["true labels"] = right[:, rows].mean(axis=1)
        for name, values in scores.items():
            found.setdefault(name, []).append(float(spearmanr(values, reached)[0]))
        found.setdefault("ceiling", []).append(ceiling(right))
        print(target, {name: round(values[-1], 2) for name, values in found.items()}, flush=True)
    rows_of = {name: {"mean": float(np.mean(values)), "by_target": values} for name, values in found.items()}
    settings = {"texts": int(texts), "reading": reading, "targets": [str(name) for name in names]}
    out = RESULTS / f"rank_sources_{reading}.json"
    out.write_text(json.dumps(settings | {"spearman": rows_of}, indent=1) + "\n", encoding="utf-8")
    show(rows_of, settings)


def read(texts: list[str], reading: str) -> np.ndarray:
    """The default encoder's vectors; both readings come from one pass."""
    backbone = Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))
    return encode(backbone, texts, readings=["last", "layers"], store=FeatureStore.of(backbone))[reading]


def words(texts: list[str]) -> np.ndarray:
    """(texts, 150) latent semantic vectors of TF-IDF words: another kind of vector, without an encoder."""
    sparse = TfidfVectorizer(sublinear_tf=True, min_df=10, max_features=8000).fit_transform(t[:1500] for t in texts)
    return TruncatedSVD(150, random_state=0, n_iter=2).fit_transform(sparse).astype(np.float32)


def drawn(table: pd.DataFrame, texts: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The labelled rows and at most ``texts`` unlabelled ones a domain, and which have a label."""
    given = table["label"].ne("").to_numpy()
    domains, kept = table["domain"].to_numpy(dtype=object), given.copy()
    for name in np.unique(domains):
        blank = np.flatnonzero(~given & (domains == name))
        kept[blank[np.random.default_rng(0).permutation(len(blank)) < texts]] = True
    return table[kept], given[kept]


def distances(sources: list[np.ndarray], own: np.ndarray) -> dict[str, np.ndarray]:
    """(sources,) each: minus how far a source's texts are from the target's."""
    sides = [np.r_[np.zeros(len(of), int), np.ones(len(own), int)] for of in sources]
    both = [np.concatenate([of, own]) for of in sources]
    proxy = [proxy_a_distance(rows, side, folds=3)[0] for rows, side in zip(both, sides, strict=True)]
    return {
        "minus proxy A": -np.array(proxy),
        "minus mmd": np.array([-mmd(of, own, permutations=1)[0] for of in sources]),
        "minus distance of means": np.array([-np.linalg.norm(of.mean(axis=0) - own.mean(axis=0)) for of in sources]),
    }


def ceiling(right: np.ndarray) -> float:
    """√(2r / (1 + r)) for r the mean Spearman of halves of (sources, rows) ``right``."""
    rng, found = np.random.default_rng(0), []
    for _ in range(HALVINGS):
        order = rng.permutation(right.shape[1])
        half = len(order) // 2
        found.append(spearmanr(right[:, order[:half]].mean(axis=1), right[:, order[half:]].mean(axis=1))[0])
    r = float(np.mean(found))
    return float(np.sqrt(2 * r / (1 + r)))


def show(rows: dict[str, Any], settings: dict[str, Any]) -> None:
    """As Markdown."""
    print(f"\n| score ({settings['reading']}) | mean | {' | '.join(settings['targets'])} |")
    print(f"|---|---|{'---|' * len(settings['targets'])}")
    for name, row in rows.items():
        print(f"| {name} | {row['mean']:.3f} | {' | '.join(f'{value:.2f}' for value in row['by_target'])} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
