"""Whether bfloat16 pays on this processor: products of the default encoder's matrices, in both precisions.

Compared: 2,048 tokens through its three shapes of matrix, forwards (`x Wᵀ + b`) and backwards (`g W`), float32 beside
bfloat16. What `encoder.precision: auto` takes here should be the faster: a ratio above 1 says that float32 is.

    python benchmarks/precision.py [repeats]
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from _paired import cell, paired

from nlptl.encoder.backbone import resolve_precision

SHAPES = ((384, 384), (384, 1536), (1536, 384))
TOKENS = 2048


def products(kind: torch.dtype) -> None:
    """Ten times each."""
    for inputs, outputs in SHAPES:
        x, w = torch.ones(TOKENS, inputs, dtype=kind), torch.ones(outputs, inputs, dtype=kind)
        b, g = torch.ones(outputs, dtype=kind), torch.ones(TOKENS, outputs, dtype=kind)
        for _ in range(10):
            torch.nn.functional.linear(x, w, b)
            g @ w


def main(repeats: str = "5") -> None:
    """One cell."""
    systems = {"float32": partial(products, torch.float32), "bfloat16": partial(products, torch.bfloat16)}
    taken = resolve_precision("auto", "cpu")
    cell("precision", "matrix products", lambda: paired(systems, repeats=int(repeats)) | {"auto takes": taken})


if __name__ == "__main__":
    main(*sys.argv[1:])
