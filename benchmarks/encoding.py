"""Texts encoded a second, beside sentence-transformers and transformers' feature-extraction; and encoding again.

Compared: texts in memory to (texts, 384) float32 vectors, mean-pooled, 128 tokens: `nlptl.encoder.store.encode` in
float32, in bfloat16, and at its default precision, without a store and with one that has the texts;
`SentenceTransformer.encode` at its defaults (batches of 32, sorted by length), normalisation off, as ours; the
`feature-extraction` pipeline at batches of 32.
Fair, because: the same weights and tokens; no store is warm but where that is what is measured; vectors are compared
with sentence-transformers' (`furthest`: the largest difference of one number).

    python benchmarks/encoding.py sms_spam.parquet [texts] [repeats]
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paired import cell, paired
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, pipeline

from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.locate import locate
from nlptl.encoder.store import FeatureStore, encode
from nlptl.recipe import Encoder


def measure(texts: list[str], repeats: int) -> dict[str, Any]:
    base = locate("default", None).path
    plain = Backbone.load(Encoder()).freeze("float32")
    usual = Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))
    halves = Backbone.load(Encoder()).freeze("bfloat16")
    # Its last module normalises, which ours leaves to the reader of the vectors.
    theirs = SentenceTransformer(modules=list(SentenceTransformer(base).children())[:2])
    theirs.max_seq_length = 128
    extract = pipeline(
        "feature-extraction", model=AutoModel.from_pretrained(base, dtype="float32"),
        tokenizer=AutoTokenizer.from_pretrained(base, model_max_length=128), batch_size=32,
        tokenize_kwargs={"truncation": True},
    )  # fmt: skip

    def ours(backbone: Backbone) -> np.ndarray:
        return np.asarray(encode(backbone, texts, readings=("last",), store=None)["last"])

    def st() -> np.ndarray:
        return np.asarray(theirs.encode(texts, normalize_embeddings=False, show_progress_bar=False))

    def features() -> np.ndarray:
        return np.stack([np.asarray(tokens[0]).mean(0) for tokens in extract(texts)])

    with tempfile.TemporaryDirectory() as folder:
        os.environ["NLPTL_CACHE"] = folder
        store = FeatureStore.of(usual)
        encode(usual, texts, readings=("last",), store=store)

        def again() -> np.ndarray:
            return np.asarray(encode(usual, texts, readings=("last",), store=FeatureStore.of(usual))["last"])

        found = paired(
            {"ours, float32": lambda: ours(plain), "sentence-transformers": st, "feature-extraction": features,
             "ours, default precision": lambda: ours(usual), "ours, bfloat16": lambda: ours(halves)},
            repeats=repeats, warm=False,
        )  # fmt: skip
        seconds = found["seconds"]
        warm = paired({"ours again": again}, repeats=repeats)["seconds"]["ours again"]
    expected = st()
    return found | {
        "texts": len(texts),
        "again": {"seconds": warm, "times as fast as sentence-transformers": seconds["sentence-transformers"] / warm},
        "default precision against sentence-transformers": seconds["sentence-transformers"]
        / seconds["ours, default precision"],
        "furthest": {"float32": float(np.abs(ours(plain) - expected).max()),
                     "default": float(np.abs(ours(usual) - expected).max())},
    }  # fmt: skip


def main(data: str, texts: str = "2000", repeats: str = "3") -> None:
    """One cell for the file."""
    # Distinct texts: ours encodes equal ones once, which is not what is to be measured here.
    given = list(dict.fromkeys(pd.read_parquet(data).text))[: int(texts)]
    torch.manual_seed(0)
    cell("encoding", f"{os.path.basename(data)}, {len(given)} texts", lambda: measure(given, int(repeats)))


if __name__ == "__main__":
    main(*sys.argv[1:])
