"""Which questions are of none of 150 intents? AUROC of four scores on clinc150_small, official splits, and what each
flags by a threshold that a deployed model can have.

As `recipes/anomalies.yaml`, but over the mean of all layers, where the recipe lets folds choose the reading: 7,500
questions teach a prototype head, 4,500 of the intents and 1,000 of none are scored. The thresholds are quantiles of the
7,500 by folds that did not see them, as `heads.<task>.anomaly` sets them; no question of the test split has a part in
them.

    python benchmarks/anomalies.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.diagnose.anomaly import Gaussians, energy, knn_distance, max_softmax
from nlptl.diagnose.probe import parts
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.evaluate.calibrate import threshold_of_share
from nlptl.fitting.anomalies import area
from nlptl.heads import Prototype
from nlptl.heads._evidence import Evidence, Folds
from nlptl.recipe import Encoder

READING = "layers"
SHARES = (0.01, 0.05)
"""Of rows like those that teach, that are to be flagged."""


def main(folder: Path) -> str:
    """The table."""
    table = pd.read_parquet(folder / "clinc150_small.parquet")
    odd = (table["label"] == "oos").to_numpy()
    teach, usual = (table["split"] == "train") & ~odd, (table["split"] == "test") & ~odd
    strange = (table["split"] == "test") & odd
    backbone = Backbone.load(Encoder(max_length=32)).freeze(resolve_precision("auto", "cpu"))
    store = FeatureStore.of(backbone)
    readings = ["last", READING]
    seen = encode(backbone, table["text"][teach].tolist(), readings=readings, store=store)[READING]
    asked = encode(backbone, table["text"][usual].tolist() + table["text"][strange].tolist(), readings=readings,
                   store=store)[READING]  # fmt: skip
    names, classes = np.unique(table["label"][teach], return_inverse=True)
    head = Prototype()
    task = Task("intent", head, tuple(names))
    folds = parts(classes, None, 5, 0)
    solved = head.solve(Evidence(task, {READING: seen}, classes, folds))
    assert solved.out_of_fold is not None, "prototypes tell it"
    with torch.no_grad():
        logits = solved.net(torch.from_numpy(asked)).double().numpy()
    truth = np.arange(len(asked)) >= int(usual.sum())
    right = (logits[~truth].argmax(axis=1) == np.searchsorted(names, table["label"][usual])).mean()
    gaussians = Gaussians.fit(seen, classes)
    scores: dict[str, Floats] = {
        "max_softmax": max_softmax(logits),
        "energy": energy(logits),
        "mahalanobis": gaussians.distances(asked),
        "knn (k = 10)": knn_distance(seen, asked, k=10),
        "knn (k = 1)": knn_distance(seen, asked, k=1),
    }
    kept = {"mahalanobis": gaussians.means.nbytes + gaussians.root.nbytes}
    kept |= dict.fromkeys(("knn (k = 10)", "knn (k = 1)"), seen.astype(np.float32).nbytes)
    lines = ["| score | AUROC | 95 % interval |", "|---|---|---|"]
    for name, values in scores.items():
        found, (low, high) = area(values, truth, np.arange(len(truth)), 1000, 0)
        lines.append(f"| {name} | {found:.3f} | {low:.3f} to {high:.3f} |")
    lines += ["", "| score | flagged of rows like those that teach | of the questions of an intent | of those of none |"
              " kept beside the head, MB |", "|---|---|---|---|---|"]  # fmt: skip
    for name, values in by_folds(seen, classes, folds, solved.out_of_fold).items():
        for share in SHARES:
            beyond = scores[name] >= threshold_of_share(values, share)
            lines.append(f"| {name} | {share:.0%} | {beyond[~truth].mean():.1%} | {beyond[truth].mean():.1%} | "
                         f"{kept.get(name, 0) / 1e6:.1f} |")  # fmt: skip
    counted = f"{int(truth.sum())} questions of no intent against {int((~truth).sum())} of one"
    return "\n".join([f"{counted}; accuracy on these {right:.3f}.", "", *lines])


def by_folds(seen: Floats, classes: Ints, folds: Folds, logits: Floats) -> dict[str, Floats]:
    """By score, (teaching rows,) values that each row's own fold did not make.

    Args:
        logits: (teaching rows, labels) of the head, by folds too.
    """
    found: dict[str, Floats] = {"max_softmax": max_softmax(logits), "energy": energy(logits)}
    for teach, held in folds:
        for name, values in _distances(seen, classes, teach, held):
            found.setdefault(name, np.zeros(len(seen)))[held] = values
    return found


def _distances(seen: Floats, classes: Ints, teach: Ints, held: Ints) -> Iterator[tuple[str, Floats]]:
    yield "mahalanobis", Gaussians.fit(seen[teach], classes[teach]).distances(seen[held])
    for k in (10, 1):
        yield f"knn (k = {k})", knn_distance(seen[teach], seen[held], k=k)


if __name__ == "__main__":
    out = Path(__file__).parent / "results" / "anomalies.md"
    text = "# Questions that the assistant is not for\n\n`python benchmarks/anomalies.py FOLDER`\n\n"
    out.write_text(text + main(Path(sys.argv[1])) + "\n", encoding="utf-8")
