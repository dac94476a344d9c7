"""Peak memory of encoding many texts, through a two-layer random encoder, with the wall time.

Measured in a fresh process for each number of texts: made texts of ten words, encoded into the store 65,536 at a time,
so that what is held does not grow with the number of texts; the peak is the process's largest resident size.
`vectors_mb` says what the vectors of all texts would take if they were held at once in float32, as one call of `encode`
returns them.

    python benchmarks/memory.py [texts,texts,…]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _paired import cell

WIDTH = 128


def child(texts: int) -> None:
    """Encode so many texts and print the peak."""
    import torch
    from _random_encoder import WORDS, random_encoder

    from nlptl.encoder.backbone import Backbone
    from nlptl.encoder.store import FeatureStore, encode
    from nlptl.recipe import Encoder

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NLPTL_CACHE"] = f"{folder}/cache"
        random_encoder(Path(folder), width=WIDTH)
        backbone = Backbone.load(Encoder(model=folder, max_length=32, batch_tokens=8192))
        store = FeatureStore.of(backbone)
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        generator = torch.Generator().manual_seed(0)
        for start in range(0, texts, 65536):
            drawn = torch.randint(0, WORDS, (min(65536, texts - start), 10), generator=generator).tolist()
            encode(backbone, [" ".join(f"w{word}" for word in row) for row in drawn], readings=("last",), store=store)
        print(json.dumps({
            "texts": texts, "seconds": time.perf_counter() - began, "before_mb": before / 1024,
            "vectors_mb": texts * WIDTH * 4 / 2**20,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }))  # fmt: skip


def main(texts: str = "1000,10000,100000") -> None:
    """A cell a number of texts."""
    for count in texts.split(","):
        command = [sys.executable, __file__, "--child", count]

        def measured(command: list[str] = command) -> dict[str, float]:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            return dict(json.loads(done.stdout.splitlines()[-1]))

        cell("memory", f"{count} texts", measured)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]))
    else:
        main(*sys.argv[1:])
