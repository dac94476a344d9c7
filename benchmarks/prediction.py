"""Answers a second, beside `pipeline("text-classification")` at its best batch size, and our own int8 ONNX export.

Compared: texts in memory to labels and probabilities: `Model.predict` at its default precision and in float32, the
exported float32 and int8 graphs through ONNX Runtime, SetFit's `predict_proba` (a scikit-learn head on its vectors),
and the pipeline over a BertForSequenceClassification of the same encoder at batch sizes 1, 8, 32 and 64, the fastest of
which counts.
Fair, because: the same encoder weights, texts and 128 tokens, and one linear head; the pipeline sorts nothing, as it is
used. Labels of the exports are compared with the model's (`agreement`).

    python benchmarks/prediction.py sms_spam.parquet [texts] [repeats]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paired import cell, paired
from sentence_transformers import SentenceTransformer
from setfit import SetFitModel
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import nlptl
from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.locate import locate
from nlptl.encoder.store import encode
from nlptl.heads import Linear
from nlptl.heads._solved import solve_head
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder

SIZES = (1, 8, 32, 64)


def measure(texts: list[str], labels: np.ndarray, repeats: int) -> dict[str, Any]:
    base = locate("default", None).path
    task = Task("spam", Linear(), ("ham", "spam"))
    usual = Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))
    teach = np.arange(min(400, len(texts)))
    vectors = encode(usual, [texts[row] for row in teach], readings=("last",), store=None)
    halves = [(teach[::2], teach[1::2]), (teach[1::2], teach[::2])]
    solved = solve_head(task, {"last": vectors["last"]}, labels[teach], halves)
    model = nlptl.Model(Network(usual, {"spam": TaskHead.solved(task, solved)}))
    plain = nlptl.Model(Network(Backbone.load(Encoder()).freeze("float32"), {"spam": TaskHead.solved(task, solved)}))
    setfit = SetFitModel(
        model_body=SentenceTransformer(base, device="cpu"),
        model_head=LogisticRegression().fit(vectors["last"], labels[teach]),
    )
    setfit.model_body.max_seq_length = 128
    classifier = AutoModelForSequenceClassification.from_pretrained(base, dtype="float32", num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(base)

    def piped(size: int) -> None:
        pipe = pipeline("text-classification", model=classifier, tokenizer=tokenizer, batch_size=size)
        pipe(texts, truncation=True, max_length=128)

    tried = {}
    for size in SIZES:
        began = time.process_time()
        piped(size)
        tried[size] = time.process_time() - began
    best = min(tried, key=tried.__getitem__)
    with tempfile.TemporaryDirectory() as folder:
        served, agreement = {}, {}
        for int8 in (False, True):
            path = plain.export(Path(folder) / str(int8), int8=int8, texts=texts)
            served[int8] = nlptl.load(path)
            agreement["int8" if int8 else "float32"] = json.loads((path / "agreement.json").read_text())["spam"]
        found = paired(
            {"ours": lambda: model.predict(texts), f"pipeline, batches of {best}": lambda: piped(best),
             "ours, float32": lambda: plain.predict(texts), "ours, onnx": lambda: served[False].predict(texts),
             "ours, onnx int8": lambda: served[True].predict(texts),
             "SetFit": lambda: setfit.predict_proba(texts, show_progress_bar=False)},
            repeats=repeats, warm=False,
        )  # fmt: skip
    return found | {"texts": len(texts), "agreement": agreement, "pipeline batch sizes": tried}


def main(data: str, texts: str = "2000", repeats: str = "3") -> None:
    """One cell for the file."""
    table = pd.read_parquet(data).drop_duplicates("text").iloc[: int(texts)]
    labels = (table.label == "spam").to_numpy().astype(np.int64)
    torch.manual_seed(0)
    cell(
        "prediction", f"{os.path.basename(data)}, {len(table)} texts",
        lambda: measure(list(table.text), labels, int(repeats)),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
