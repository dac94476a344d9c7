"""Whether bfloat16 pays on this processor: products of the default encoder's matrices, in both precisions.

Compared: 2,048 tokens through its three shapes of matrix, forwards (`x Wᵀ + b`) and backwards (`g W`), float32 beside
bfloat16. What `encoder.precision: auto` takes here should be the faster: a ratio above 1 says that float32 is.
The second cell is forwards alone, float32 beside bytes: each token's row is scaled to 8 bits, multiplied with weights
that were, and scaled back, in pieces that fit the cache; and the product of bytes alone.

    python benchmarks/precision.py [repeats]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import torch
from _paired import cell, paired

from nlptl.encoder.backbone import resolve_precision

SHAPES = ((384, 384), (384, 1536), (1536, 384))
TOKENS = 2048
PIECE = 256


def products(kind: torch.dtype) -> None:
    """Ten times each."""
    for inputs, outputs in SHAPES:
        x, w = torch.ones(TOKENS, inputs, dtype=kind), torch.ones(outputs, inputs, dtype=kind)
        b, g = torch.ones(outputs, dtype=kind), torch.ones(TOKENS, outputs, dtype=kind)
        for _ in range(10):
            torch.nn.functional.linear(x, w, b)
            g @ w


class Bytes(torch.nn.Module):
    """A linear map whose weights, a row each, and inputs, a token each, are rounded to 8 bits."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        weights, self.bias = torch.randn(outputs, inputs), torch.randn(outputs)
        self.scale = weights.abs().amax(1) / 127
        self.weights = (weights / self.scale[:, None]).round().to(torch.int8).t().contiguous()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = x.new_empty(len(x), len(self.bias))
        for here, out in zip(x.split(PIECE), found.split(PIECE), strict=True):
            low, high = here.aminmax(dim=1, keepdim=True)
            scale = torch.maximum(high, -low).div_(127)
            product = torch._int_mm(here.div(scale).round_().to(torch.int8), self.weights)
            torch.mul(product, self.scale, out=out)
            torch.addcmul(self.bias, out, scale, out=out)
        return found


def forwards() -> dict[str, Callable[[], None]]:
    """Ten times each shape: float32, bytes, and their product alone."""
    linear = [torch.nn.Linear(*shape) for shape in SHAPES]
    bytes_ = [Bytes(*shape) for shape in SHAPES]
    x = [torch.randn(TOKENS, inputs) for inputs, _ in SHAPES]
    rounded = [(each * 30).to(torch.int8) for each in x]

    @torch.inference_mode()
    def run(maps: Sequence[Callable[[torch.Tensor], object]], given: list[torch.Tensor]) -> None:
        for one, vectors in zip(maps, given, strict=True):
            for _ in range(10):
                one(vectors)

    products = [partial(_times, weights=each.weights) for each in bytes_]
    return {
        "float32": partial(run, linear, x),
        "bytes": partial(run, bytes_, x),
        "bytes, the product alone": partial(run, products, rounded),
    }


def _times(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(x, weights)


def main(repeats: str = "5") -> None:
    """Both cells."""
    systems = {"float32": partial(products, torch.float32), "bfloat16": partial(products, torch.bfloat16)}
    taken = resolve_precision("auto", "cpu")
    cell("precision", "matrix products", lambda: paired(systems, repeats=int(repeats)) | {"auto takes": taken})
    cell("precision", "bytes, forwards", lambda: paired(forwards(), repeats=int(repeats)))


if __name__ == "__main__":
    main(*sys.argv[1:])
