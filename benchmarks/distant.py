"""Far pairs of reviews: straight across, by self-training on the target alone, and through the domains in between.

For each of the ten domains as the target, the source is the domain whose mean vector is furthest from its own. 400 rows
a domain; of the target's, half (by seed) are scored and half lend their texts; the source's labels teach; the other
eight domains lend texts. all-MiniLM-L6-v2, 64 tokens, the reading chosen on the source's folds.

    python benchmarks/distant.py DATA_FOLDER [SEEDS]       # writes results/distant.md
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from nlptl.contracts import Quarantine
from nlptl.data import Frame
from nlptl.data._read import read
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.fitting.distant import reach
from nlptl.heads import Linear
from nlptl.heads._reading import CHOICES, parts
from nlptl.heads._solved import Solved, solve_head
from nlptl.recipe import Encoder
from nlptl.transfer.distant import distances
from nlptl.transfer.folds import folds
from nlptl.transfer.plan import Turn

RESULT = Path(__file__).parent / "results" / "distant.md"
ROWS = 400
NOTHING = np.empty(0, np.int64)


def load(folder: Path) -> Corpus:
    """400 labelled rows a domain, the first of a fixed order of each."""
    table = pd.read_parquet(folder / "reviews_10domains.parquet")
    table = table[table["label"] != ""].drop_duplicates("text").sample(frac=1, random_state=0)
    table = table.groupby("domain").head(ROWS).reset_index(drop=True)
    heads = {"label": Linear()}
    return Corpus.of(read(Frame(table=table, domain="domain"), heads, Quarantine()), heads)


def encoded(corpus: Corpus) -> Vectors:
    """The vectors of all rows."""
    backbone = Backbone.load(Encoder(max_length=64)).freeze(resolve_precision("auto", "cpu"))
    wanted = parts(CHOICES["auto"])
    found = encode(backbone, list(corpus.texts), readings=wanted, store=FeatureStore.of(backbone))
    return Vectors(np.arange(len(corpus.texts)), found)


def accuracies(corpus: Corpus, vectors: Vectors, source: str, target: str, seed: int) -> tuple[list[float], list[str]]:
    """Straight across, self-trained on the target alone, and through the domains in between; and the way."""
    teach, own = (np.flatnonzero(corpus.domains == name) for name in (source, target))
    shuffled = np.random.default_rng(seed).permutation(own)
    scored, texts = np.sort(shuffled[: len(own) // 2]), np.sort(shuffled[len(own) // 2 :])
    between = np.flatnonzero(~np.isin(corpus.domains, [source, target]))
    turn = Turn(target, (source,), (target,), teach, NOTHING, scored, np.sort(np.r_[between, texts]), 0, 0)
    labels, task = corpus.encoded["label"], corpus.tasks["label"]
    folded = folds(labels=labels[teach], domains=corpus.domains[teach], groups=np.arange(len(teach)),
                   target_labels=0, seed=seed)  # fmt: skip
    direct = solve_head(task, {r: vectors.of(teach, r) for r in CHOICES["auto"]}, labels[teach], folded)
    alone, _ = reach(corpus, vectors, replace(turn, unlabelled=texts), "label", direct, always=True)
    through, record = reach(corpus, vectors, turn, "label", direct)

    def accuracy(head: Solved) -> float:
        shares = task.probabilities(head.logits(vectors.of(scored, head.reading)))
        return float((shares.argmax(1) == labels[scored]).mean())

    return [accuracy(head) for head in (direct, alone, through)], record["way"]


def main(folder: str, seeds: str = "3") -> None:
    """Run every pair and write the table."""
    corpus = load(Path(folder))
    vectors = encoded(corpus)
    names = sorted(set(corpus.domains))
    away = distances([vectors.of(np.flatnonzero(corpus.domains == name), "last") for name in names])
    lines = [
        "# Distant transfer on reviews: far pairs", "", "`python benchmarks/distant.py DATA_FOLDER`", "", __doc__ or "",
        f"Accuracy, mean of {seeds} seeds (200 scored rows each).", "",
        "| source → target | direct | self-training on the target | through | way (first seed) |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    every = []
    for place, target in enumerate(names):
        source = names[int(away[place].argmax())]
        found = [accuracies(corpus, vectors, source, target, seed) for seed in range(int(seeds))]
        means = np.mean([each for each, _ in found], axis=0)
        every.append([each for each, _ in found])
        cells = " | ".join(f"{mean:.3f}" for mean in means)
        lines.append(f"| {source} → {target} | {cells} | {' → '.join(found[0][1])} |")
        print(lines[-1], flush=True)
    gains = np.array(every)[..., 1:] - np.array(every)[..., :1]
    cells = " | ".join(f"{mean:.3f}" for mean in np.mean(every, axis=(0, 1)))
    won, lost = (gains > 0).sum(axis=(0, 1)), (gains < 0).sum(axis=(0, 1))
    lines += [f"| mean | {cells} | |", "", f"Of {gains.shape[0] * gains.shape[1]} cells, self-training on the target "
              f"alone wins {won[0]} and loses {lost[0]} against direct transfer; through the domains in between wins "
              f"{won[1]} and loses {lost[1]}.", ""]  # fmt: skip
    RESULT.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main(*sys.argv[1:])
