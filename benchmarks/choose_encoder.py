"""Which encoder, and which of its layers, before anything is trained: do the scores order them as the test does?

Five sets; of each, 1,000 rows teach (drawn by seed 0, near copies of scored ones left out), at most 1,000 are scored.
Candidates: the default encoder and those in a folder of encoders, each read at its last layer, at each other layer, and
at the mean of all. Every score sees the teaching rows alone. Reached: the test accuracy of the head solved on them.
`leep` and `nce` need a source's head: they are means over heads solved, on the same vectors, on the other four sets.
Shown for each score, mean over sets: Spearman's correlation with what is reached, and regret, what the pick reaches
below the best candidate. `default` always says the default encoder as `encoder.pool: last` or `layers` reads it.

Each cell (set, encoder, reading) is written as it ends, and one that is there is not measured again.

    python benchmarks/choose_encoder.py FOLDER_OF_PARQUET_FILES FOLDER_OF_ENCODERS [table]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _sets import NAMES, LabelledSet, load
from scipy.stats import spearmanr

from nlptl.contracts import Floats
from nlptl.diagnose.hscore import hscore
from nlptl.diagnose.knn import knn_accuracy
from nlptl.diagnose.leep import leep
from nlptl.diagnose.logme import logme
from nlptl.diagnose.nce import nce
from nlptl.diagnose.nleep import nleep
from nlptl.diagnose.probe import as_task, parts
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.heads._reading import every_layer
from nlptl.heads._solved import Solved, solve_head
from nlptl.recipe import Encoder

RESULTS = Path(__file__).parent / "results" / "choose_encoder.jsonl"
TEACH = 1000
SCORES = ("probe", "probe_accuracy", "logme", "hscore", "nleep", "knn", "leep", "nce")


@cache
def rows(folder: Path, name: str) -> tuple[LabelledSet, np.ndarray]:
    """The set, and the rows of it that teach."""
    found = load(name, folder)
    return found, np.sort(np.random.default_rng((0, 8)).permutation(found.pool)[:TEACH])


class Reader:
    """One encoder: vectors of a set's teaching and scored rows at any reading."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.backbone = Backbone.load(Encoder(model=model)).freeze(resolve_precision("auto", "cpu"))
        self.store = FeatureStore.of(self.backbone)
        self.readings = ("last", "layers", *every_layer(self.backbone.depth)[:-1])  # the topmost is ``last``
        self._vectors: dict[str, dict[str, Floats]] = {}
        self._heads: dict[tuple[str, str], Solved] = {}

    def vectors(self, name: str, reading: str) -> tuple[Floats, Floats]:
        """(teaching, scored) rows' vectors."""
        found, teach = rows(self.folder, name)
        if name not in self._vectors:
            texts = list(found.texts[np.concatenate([teach, found.scored])])
            self._vectors[name] = encode(self.backbone, texts, readings=self.readings, store=self.store)
        here = self._vectors[name][reading]
        return here[: len(teach)], here[len(teach) :]

    def head(self, name: str, reading: str) -> Solved:
        """Solved on the teaching rows, its prior's strength chosen on five folds of them."""
        if (name, reading) not in self._heads:
            found, teach = rows(self.folder, name)
            labels = found.classes[teach]
            task, _ = as_task(labels)
            vectors, _ = self.vectors(name, reading)
            self._heads[name, reading] = solve_head(task, {reading: vectors}, labels, parts(labels, None, 5, 0))
        return self._heads[name, reading]

    def cell(self, name: str, reading: str) -> dict[str, Any]:
        """Each score of one candidate, and what it reaches."""
        found, teach = rows(self.folder, name)
        labels, truth = found.classes[teach], found.classes[found.scored]
        taught, scored = self.vectors(name, reading)
        task, _ = as_task(labels)
        head = self.head(name, reading)
        foreign = [self.answers(other, reading, taught) for other in NAMES if other != name]
        return {
            "reached": float(np.mean(task.probabilities(head.logits(scored)).argmax(axis=1) == truth)),
            "probe": -head.loss,
            "probe_accuracy": float(np.mean(task.probabilities(head.out_of_fold).argmax(axis=1) == labels)),
            "logme": logme(taught, labels),
            "hscore": hscore(taught, labels),
            "nleep": nleep(taught, labels),
            "knn": knn_accuracy(taught, labels),
            "leep": float(np.mean([leep(answers, labels) for answers in foreign])),
            "nce": float(np.mean([nce(answers.argmax(axis=1), labels) for answers in foreign])),
            "rows": {"teach": len(teach), "scored": len(found.scored)},
        }

    def answers(self, source: str, reading: str, vectors: Floats) -> Floats:
        """(rows, source labels) probabilities of the head that ``source`` taught."""
        found, teach = rows(self.folder, source)
        task, _ = as_task(found.classes[teach])
        return task.probabilities(self.head(source, reading).logits(vectors))


def cells() -> list[dict[str, Any]]:
    """Those that have been measured."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def measure(folder: Path, encoders: Path) -> None:
    """Every cell that is not there."""
    done = {(cell["encoder"], cell["set"], cell["reading"]) for cell in cells()}
    for model in ("default", *sorted(str(path) for path in encoders.iterdir() if path.is_dir())):
        reader = Reader(folder, model)
        for reading in reader.readings:
            for name in NAMES:
                about = {"encoder": Path(model).name, "set": name, "reading": reading}
                if tuple(about.values()) not in done:
                    line = json.dumps(about | reader.cell(name, reading))
                    with RESULTS.open("a", encoding="utf-8") as stream:
                        stream.write(line + "\n")
                    print(line, flush=True)


def judged(found: list[dict[str, Any]]) -> Iterator[tuple[str, str, float | None, float]]:
    """(set, score, Spearman with what is reached, regret); what always says one thing has no order."""
    for name in NAMES:
        here = [cell for cell in found if cell["set"] == name]
        reached = np.array([cell["reached"] for cell in here])
        for score in SCORES:
            values = np.array([cell[score] for cell in here])
            yield name, score, float(spearmanr(values, reached)[0]), float(reached.max() - reached[values.argmax()])
        for reading in ("last", "layers"):
            [said] = (c["reached"] for c in here if c["encoder"] == "default" and c["reading"] == reading)
            yield name, f"default, {reading}", None, float(reached.max() - said)


def table() -> None:
    """Each score's Spearman and regret by set and in the mean, as Markdown."""
    found = list(judged(cells()))
    print(f"| score | mean Spearman | mean regret | {' | '.join(NAMES)} |")
    print(f"|---|---|---|{'---|' * len(NAMES)}")
    for score in dict.fromkeys(row[1] for row in found):
        of_score = [row for row in found if row[1] == score]
        orders = [order for _, _, order, _ in of_score if order is not None]
        mean = f"{np.mean(orders):.2f}" if orders else "–"
        by_set = [f"{'–' if order is None else f'{order:.2f}'}, {regret:.3f}" for _, _, order, regret in of_score]
        print(f"| {score} | {mean} | {np.mean([row[3] for row in of_score]):.4f} | {' | '.join(by_set)} |")


def main(folder: str, encoders: str, only: str = "") -> None:
    if only != "table":
        measure(Path(folder), Path(encoders))
    table()


if __name__ == "__main__":
    main(*sys.argv[1:])
