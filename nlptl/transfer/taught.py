"""Which texts taught a model, for those who go on from it: what it learned by heart must not be scored later.

A model folder holds a hash of each text that taught it, and of those that taught what it went on from itself. Copies
are found that are equal once case, spacing and punctuation are taken away; near copies are not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from nlptl.errors import DataError, ModelError
from nlptl.transfer.words import compared_by

log = logging.getLogger("nlptl")

FILE = "taught.safetensors"
Hashes = npt.NDArray[np.uint64]


def hashes(texts: Sequence[str], pairs: Sequence[str] | None) -> Hashes:
    """(texts,) 64 bits of each normalised text, or pair of texts."""
    seconds: Sequence[Any] = [None] * len(texts) if pairs is None else pairs
    found = [
        hashlib.blake2b(compared_by(text, pair).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text, pair in zip(texts, seconds, strict=True)
    ]
    return np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)


def save_taught(folder: Path, taught: Hashes) -> None:
    """Write to a model folder what taught it."""
    save_file({"texts": np.unique(taught)}, folder / FILE)


def load_taught(folder: Path) -> Hashes | None:
    """What taught the model in ``folder``; None where that is not known.

    Raises:
        ModelError: the file is damaged.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        return np.asarray(load_file(folder / FILE)["texts"])
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"{folder / FILE} is damaged ({error}); save the model again.") from error


def scored_again(scored: Hashes, earlier: Hashes | None, *, model: str, keep: bool) -> int:
    """How many ``scored`` texts taught the earlier run; 0, with a warning, where that is not known.

    Args:
        model: the earlier run, as the recipe names it.
        keep: count them only.

    Raises:
        DataError: some did, and they are not to be kept: the earlier run cannot unlearn them.
    """
    if earlier is None:
        log.warning("%s does not say which texts taught it: whether any of them is scored now cannot be known", model)
        return 0
    again = int(np.isin(scored, earlier).sum())
    if again and not keep:
        raise DataError(
            f"{again} of {len(scored)} scored rows taught the run that encoder.model goes on from ({model}), and would "
            "be answered by heart. Let both runs hold out the same rows (the same data, transfer.target, hold_out and "
            "seed, evaluate.seeds: 1), score others, or count them only, with transfer.leaks: keep."
        )
    if again:
        log.warning("%d of %d scored rows taught the run in %s: scores say too much", again, len(scored), model)
    return again
