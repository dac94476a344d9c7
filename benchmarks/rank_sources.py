"""Does the order of `nlptl rank-sources` agree with what each source then reaches? 90 ordered pairs of review domains.

Each of ten domains is the target in turn and the nine others its sources. Reached: the accuracy of each source's own
solved head on all labelled rows of the target. Scores see no label of the target. They read the texts of those rows
(`scored`, as `transfer.transductive: true` lets the tool), or other texts of the target, which in this data have no
labels and come in natural shares of praise and blame where the scored rows are balanced.
Shown is Spearman's correlation over the nine sources, mean over targets, for our score and for the single scores beside
it, some of them published: proxy A-distance (Ben-David et al. 2007), MMD (Gretton et al. 2012), distance of means,
average confidence (Hendrycks & Gimpel 2017), agreement (Jiang et al. 2022), votes by Dawid & Skene (1979), accuracy on
the other sources' rows, weighted by density ratio (Sugiyama et al. 2007).

Ceiling: what a score that knew each source's true accuracy would have, as the scored rows are but a sample. They are
halved at random, 200 times; r is the mean Spearman of the two halves' accuracies, R = 2r / (1 + r) their reliability at
full length (Spearman 1910, Brown 1910), and √R the ceiling of a correlation with what was measured.

    python benchmarks/rank_sources.py reviews_10domains.parquet [scored|N other texts] [layers|last|words]
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


def main(path: str, texts: str = "scored", reading: str = "layers") -> None:
    table, given = drawn(pd.read_parquet(path), 0 if texts == "scored" else int(texts))
    domains = table["domain"].to_numpy(dtype=object)
    vectors = words(list(table["text"])) if reading == "words" else read(list(table["text"]), reading)
    labels = (table["label"] == "positive").to_numpy().astype(np.int64)
    task, _ = as_task(np.array([0, 1]))
    names = np.unique(domains[given])
    like = None
    found: dict[str, list[float]] = {}
    for target in names:
        taught, scored = given & (domains != target), given & (domains == target)
        own = scored if texts == "scored" else ~given & (domains == target)
        if like is None:  # one strength of the prior for all, from the first pool
            like = solve_head(task, {reading: vectors[taught]}, labels[taught], parts(labels[taught], None, 3, 0))
        sources = [name for name in names if name != target]
        masks = np.stack([domains[taught] == name for name in sources])
        weights, confusion = likeness(vectors[taught], vectors[own], masks)
        teach = np.vstack([weights, np.ones(taught.sum()), masks])

        here = np.concatenate([vectors[own], vectors[scored], vectors[taught]])
        answers = head_answers(task, like, vectors[taught], labels[taught], teach, here)
        read_rows, reached_rows, others = np.split(answers, np.cumsum([own.sum(), scored.sum()]), axis=1)
        teacher, pooled, shown = read_rows[0], read_rows[1], read_rows[2:]
        right = reached_rows[2:].argmax(axis=2) == labels[scored]
        on_sources = others[2:].argmax(axis=2) == labels[taught]
        of_sources = [vectors[given & (domains == name)][:MOST] for name in sources]
        scores = dict(source_scores(shown, teacher)) | {"confusion": confusion}
        scores |= {f"{name}, all rows alike": each for name, each in source_scores(shown, pooled).items()}
        scores["expected log-likelihood"] = (teacher * np.log(np.maximum(shown, 1e-12))).sum(axis=2).mean(axis=1)
        scores |= singles(shown, pooled) | distances(of_sources, vectors[own][:MOST])
        scores["weighted accuracy on other sources"] = np.array(
            [np.average(on_sources[place][~mask], weights=weights[~mask]) for place, mask in enumerate(masks)]
        )
        for name, values in scores.items():
            found.setdefault(name, []).append(float(spearmanr(values, right.mean(axis=1))[0]))
        found.setdefault("ceiling", []).append(ceiling(right))
        print(target, {name: round(values[-1], 2) for name, values in found.items()}, flush=True)
    rows_of = {name: {"mean": float(np.mean(values)), "by_target": values} for name, values in found.items()}
    settings = {"texts": texts, "reading": reading, "targets": [str(name) for name in names]}
    out = RESULTS / f"rank_sources_{texts}_{reading}"
    out.with_suffix(".json").write_text(json.dumps(settings | {"spearman": rows_of}, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(as_markdown(rows_of, settings), encoding="utf-8")


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


def singles(answers: np.ndarray, pooled: np.ndarray) -> dict[str, np.ndarray]:
    """(sources,) each, from (sources, rows, labels) answers and the (rows, labels) of the head that all rows taught."""
    likely = dawid_skene(np.concatenate([answers, pooled[None]]).argmax(axis=2), pooled.shape[1])
    return {
        "Dawid & Skene": likely[np.arange(len(likely)), answers.argmax(axis=2)].mean(axis=1),
        "expected log-likelihood, all rows alike": (pooled * np.log(np.maximum(answers, 1e-12)))
        .sum(axis=2)
        .mean(axis=1),
        "confidence": answers.max(axis=2).mean(axis=1),
    }


def dawid_skene(votes: np.ndarray, labels: int, *, tolerance: float = 1e-6, steps: int = 500) -> np.ndarray:
    """(rows, labels) probabilities of the true labels of (voters, rows) votes: EM of Dawid & Skene 1979, "Maximum
    likelihood estimation of observer error-rates using the EM algorithm", eq. 2.3–2.5.

    Begins with the share of votes; each rate is counted with one vote more a label.
    """
    shown = np.eye(labels)[votes]
    likely = shown.mean(axis=0)
    for _ in range(steps):
        counts = np.einsum("iy,via->vya", likely, shown) + 1
        rates = np.log(counts / counts.sum(axis=2, keepdims=True))
        logits = np.log(np.maximum(likely.mean(axis=0), 1e-12)) + np.einsum("via,vya->iy", shown, rates)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        before, likely = likely, raised / raised.sum(axis=1, keepdims=True)
        if np.abs(likely - before).max() < tolerance:
            break
    return likely


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


def as_markdown(rows: dict[str, Any], settings: dict[str, Any]) -> str:
    """The table, with the command that makes it."""
    texts, reading, targets = settings["texts"], settings["reading"], settings["targets"]
    said = "the scored rows, labels hidden" if texts == "scored" else f"at most {texts} other texts of the target"
    lines = [
        "# Which source serves a target, 90 pairs of review domains", "",
        f"Made by `python benchmarks/rank_sources.py reviews_10domains.parquet {texts} {reading}`; what is compared is",
        f"told there. Texts read: {said}.",
        "Spearman's correlation with the accuracy then reached, by target.", "",
        f"| score ({reading}) | mean | {' | '.join(targets)} |", f"|---|---|{'---|' * len(targets)}",
    ]  # fmt: skip
    for name, row in rows.items():
        lines.append(f"| {name} | {row['mean']:.3f} | {' | '.join(f'{value:.2f}' for value in row['by_target'])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
