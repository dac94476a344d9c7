"""Draws by keyed hash: the same rows for the same seed and ids, whatever the order or the rest of the data."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints


def keyed(ids: Iterable[str], *, seed: int, purpose: str) -> npt.NDArray[np.uint64]:
    """(rows,) 64-bit BLAKE2b hashes of ``ids``, independent between seeds and purposes.

    A hash, not a random generator: what is drawn does not change when other rows come, go or move, nor between
    versions of any library.
    """
    key = f"{seed}/{purpose}".encode()
    digests = b"".join(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest() for name in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def first_of_each(groups: Ints, quota: Ints, *keys: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """(rows,) bool: the ``quota[g]`` rows of each group ``g`` that come first by ``keys``, the first key first.

    Args:
        groups: (rows,) group of each row; rows of a negative group are never drawn.
        quota: (groups,) rows wanted of each group; a smaller group gives all it has.
        keys: (rows,) each; smaller comes first, later keys break the ties of earlier ones.
    """
    member = np.flatnonzero(groups >= 0)
    ordered = member[np.lexsort((*(key[member] for key in reversed(keys)), groups[member]))]
    sizes = np.bincount(groups[member], minlength=len(quota))
    rank = np.arange(len(ordered)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    drawn = np.zeros(len(groups), dtype=bool)
    drawn[ordered[rank < quota[groups[ordered]]]] = True
    return drawn
