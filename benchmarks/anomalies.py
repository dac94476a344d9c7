"""Which questions are of none of 150 intents? AUROC of four scores on clinc150_small, official splits.

As `recipes/anomalies.yaml`, but over the mean of all layers, where the recipe lets folds choose the reading: 7,500
questions teach a prototype head, 4,500 of the intents and 1,000 of none are scored.

    python benchmarks/anomalies.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nlptl.contracts import Task
from nlptl.diagnose.anomaly import energy, knn_distance, mahalanobis, max_softmax
from nlptl.diagnose.probe import parts
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.fitting.anomalies import area
from nlptl.heads import Prototype
from nlptl.heads._evidence import Evidence
from nlptl.recipe import Encoder

READING = "layers"


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
    solved = head.solve(Evidence(task, {READING: seen}, classes, parts(classes, None, 5, 0)))
    with torch.no_grad():
        logits = solved.net(torch.from_numpy(asked)).double().numpy()
    truth = np.arange(len(asked)) >= int(usual.sum())
    right = (logits[~truth].argmax(axis=1) == np.searchsorted(names, table["label"][usual])).mean()
    scores = {
        "max_softmax": max_softmax(logits),
        "energy": energy(logits),
        "mahalanobis": mahalanobis(seen, classes, asked),
        "knn (k = 10)": knn_distance(seen, asked, k=10),
        "knn (k = 1)": knn_distance(seen, asked, k=1),
    }
    lines = ["| score | AUROC | 95 % interval |", "|---|---|---|"]
    for name, values in scores.items():
        found, (low, high) = area(values, truth, np.arange(len(truth)), 1000, 0)
        lines.append(f"| {name} | {found:.3f} | {low:.3f} to {high:.3f} |")
    counted = f"{int(truth.sum())} questions of no intent against {int((~truth).sum())} of one"
    return "\n".join([f"{counted}; accuracy on these {right:.3f}.", "", *lines])


if __name__ == "__main__":
    out = Path(__file__).parent / "results" / "anomalies.md"
    text = "# Questions that the assistant is not for\n\n`python benchmarks/anomalies.py FOLDER`\n\n"
    out.write_text(text + main(Path(sys.argv[1])) + "\n", encoding="utf-8")
